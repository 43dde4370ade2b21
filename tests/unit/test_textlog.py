"""What the daemon says of an event, in one line."""

from __future__ import annotations

import logging

import pytest

from taskdir import textlog

REFUSED = {"event": "rejected", "file": "b.json", "sha256": "0", "reason": {"code": "unknown-type", "message": "no"}}
FAILED = {"event": "failed", "id": "b", "error": {"code": "timeout", "message": "no"}}
RETURNED = {"event": "breach", "id": "b", "reason": "resources"}


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (REFUSED, {"file": "b.json", "code": "unknown-type"}),
        (FAILED, {"id": "b", "code": "timeout"}),
        (RETURNED, {"id": "b"}),
    ],
)
def test_what_is_refused_is_told_with_its_code(
    event: dict[str, object], told: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "taskdir"):
        textlog.tell(event)
    assert [record.__dict__["fields"] for record in caplog.records] == [told]
