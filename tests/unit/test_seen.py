"""What one look showed: nothing, until something was seen, and nothing shared between two looks."""

from __future__ import annotations

from dataclasses import fields

from taskdir.names import Stem
from taskdir.seen import Holding, Paper, Seen, Slot


def test_two_looks_share_nothing() -> None:
    one, other = Seen(), Seen()
    for field in fields(Seen):
        value = getattr(one, field.name)
        assert not value
        assert isinstance(value, bool) or value is not getattr(other, field.name), field.name


def test_what_is_not_known_is_empty() -> None:
    holding = Holding(Stem(5, 1, "a", 1))
    assert not any(getattr(holding, field.name) for field in fields(Holding) if field.name != "stem")
    paper = Paper("p", "n")
    assert not any(getattr(paper, field.name) for field in fields(Paper) if field.name not in ("path", "name"))
    assert Slot("alice", "s") == ("alice", "s")
