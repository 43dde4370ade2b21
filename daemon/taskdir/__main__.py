"""``python -m taskdir`` is the command ``taskdir``."""

from __future__ import annotations

import sys

from taskdir.cli import main

sys.exit(main())
