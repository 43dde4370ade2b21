"""Property tests draw the same examples on every run: red means that something changed, not that luck did."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")
