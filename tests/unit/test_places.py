"""Where everything lies under a root."""

from __future__ import annotations

from taskdir.places import Places

PUBLIC = ["inbox", "ready", "claimed", "done", "failed", "rejected", "state", "contracts"]


def test_places() -> None:
    places = Places("/r/../root")
    assert places.root == "/root"
    assert places.public() == [f"/root/{name}" for name in PUBLIC]
    assert places.private() == ["/root/.taskdir", *(f"/root/.taskdir/{n}" for n in ("staging", "taken", "torn"))]
    assert (places.settings, places.log) == ("/root/taskdir.json", "/root/log.jsonl")
    assert (places.index, places.who) == ("/root/.taskdir/index.sqlite", "/root/.taskdir/daemon.json")
    assert places.join("a", "b") == "/root/a/b"


def test_places_of_an_agent_behind_walls() -> None:
    places = Places("/root", "ann")
    assert places.inbox == "/root/agents/ann/inbox"
    assert (places.done, places.failed) == ("/root/agents/ann/done", "/root/agents/ann/failed")
    assert places.rejected == places.room("ann", "rejected") == "/root/agents/ann/rejected"
    assert (places.claimed, places.state, places.agent) == ("/root/claimed", "/root/state", "ann")
