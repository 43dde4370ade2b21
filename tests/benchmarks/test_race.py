"""A lap counts what every queue does with its tasks; planted losses and doubles are seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import race
from bench.peers import Client, Peer, Skip
from bench.peers.files import BareRename, Floor, Maildir, Ours
from bench.peers.libraries import Huey, LiteQueue, PersistQueue
from bench.peers.servers import Beanstalkd, Postgres, RedisStreams, Rq

TASKS = 20


@pytest.mark.parametrize("kind", [Ours, Floor, BareRename, Maildir], ids=lambda kind: kind.name)
def test_a_lap_loses_nothing(kind: Callable[[], Peer], tmp_path: Path) -> None:
    with race.started(kind(), str(tmp_path)) as peer:
        lap = race.lap(peer, TASKS, 2)
    assert (lap.tasks, lap.lost, lap.twice) == (TASKS, 0, 0)
    assert lap.rate > 0
    assert list(tmp_path.iterdir()) == [], "a home was left behind"


@pytest.mark.parametrize(
    "kind", [Beanstalkd, RedisStreams, Postgres, Rq, Huey, PersistQueue, LiteQueue], ids=lambda kind: kind.name
)
def test_a_peer_that_is_here_takes_part(kind: Callable[[], Peer], tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    try:
        with race.started(kind(), str(tmp_path)) as peer:
            lap = race.lap(peer, TASKS, 1)
            assert peer.version()
    except Skip as missing:
        pytest.skip(f"NOT TESTED: {missing}")
    assert lap.tasks + lap.lost == TASKS


class Faulty(Floor):
    """A queue that loses one task and hands out another twice."""

    def client(self) -> Client:
        return _Faulty(super().client())


class _Faulty(Client):
    def __init__(self, client: Client) -> None:
        self._client, self._put = client, 0

    def put(self, body: bytes) -> None:
        self._put += 1
        for _ in range({3: 0, 5: 2}.get(self._put, 1)):
            self._client.put(body)

    def try_get(self) -> tuple[Any, bytes] | None:
        return self._client.try_get()

    def done(self, handle: Any) -> None:
        self._client.done(handle)

    def close(self) -> None:
        self._client.close()


def test_planted_losses_and_doubles_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "STALL", 0.2)
    with race.started(Faulty(), str(tmp_path)) as peer:
        lap = race.lap(peer, TASKS, 2)
    assert (lap.tasks, lap.lost, lap.twice) == (TASKS - 1, 1, 1)
