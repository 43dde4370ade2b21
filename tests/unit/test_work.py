"""The loop of a worker (taskdir.work) on a root made by hand, without a daemon: what it takes, hands in, and leaves."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskdir import AsyncClaim, AsyncTaskdir, Claim, Taskdir, gestures, held
from taskdir.disk import Disk
from taskdir.errors import CannotCreate
from taskdir.places import Places

Results = dict[str, Any]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "root"
    for place in ("inbox", "ready/default", "ready/review", "claimed/me"):
        (made / place).mkdir(parents=True)
    (made / "taskdir.json").write_text('{"protocol": 1, "queues": ["review"]}')
    monkeypatch.setenv("TASKDIR", str(made))
    return made


def offer(root: Path, seq: int, place: str = "ready/default") -> Path:
    path = root / place / f"5-{seq:012d}.t{seq}.1.json"
    path.write_text(json.dumps({"id": f"t{seq}", "attempt": 1, "type": "echo", "input": seq, "lease_seconds": 60}))
    return path


def results(root: Path, agent: str = "me") -> Results:
    """Return what was handed in: the output, or the error, by id."""
    handed_in = root.glob(f"claimed/{agent}/*.result.json")
    found = {file.name.split(".")[1]: json.loads(file.read_text()) for file in handed_in}
    return {id: result.get("output", result.get("error")) for id, result in sorted(found.items())}


def test_it_does_what_is_there_in_order(root: Path) -> None:
    for seq in (3, 1, 2):
        offer(root, seq)
    offer(root, 9, "ready/review")
    seen: list[int] = []

    def handler(claim: Claim) -> list[int]:
        seen.append(claim.input)
        return [claim.input]

    assert Taskdir().work("me", handler, idle=0) == 3
    assert seen == [1, 2, 3]
    assert results(root) == {"t1": [1], "t2": [2], "t3": [3]}
    assert Taskdir().work("you", lambda claim: None, "review", idle=0) == 1
    assert results(root, "you") == {"t9": None}


def test_when_it_ends(root: Path) -> None:
    for seq in range(1, 6):
        offer(root, seq)
    td, seen = Taskdir(), list[int]()
    assert td.work("me", lambda claim: seen.append(claim.input), tasks=2) == 2
    assert td.work("me", lambda claim: seen.append(claim.input), tasks=0) == 0
    assert td.work("me", lambda claim: seen.append(claim.input), stop=lambda: len(seen) == 4) == 2
    assert seen == [1, 2, 3, 4]
    assert td.work("me", lambda claim: seen.append(claim.input), idle=0.05) == 1


def test_an_exception_is_an_error_result_and_the_next_task_is_done(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    offer(root, 1), offer(root, 2)

    def handler(claim: Claim) -> int:
        return 10 // (int(claim.input) - 1)

    with caplog.at_level(logging.ERROR, "taskdir"):
        assert Taskdir().work("me", handler, idle=0) == 2
    told = "ZeroDivisionError: integer division or modulo by zero"
    assert results(root) == {"t1": {"code": "zerodivisionerror", "message": told}, "t2": 10}
    assert [record.getMessage() for record in caplog.records] == ["me failed in 5-000000000001.t1.1.json"]
    assert caplog.records[0].exc_info is not None


def test_a_handler_may_end_its_claim_by_itself(root: Path) -> None:
    for seq in (1, 2, 3):
        offer(root, seq)

    def handler(claim: Claim) -> str:
        if claim.input == 1:
            claim.finish_json(b"1.50", wait=0)
        elif claim.input == 2:
            claim.give_back()
        else:
            claim.fail("no", "not-mine", wait=0)
        return "not this"

    assert Taskdir().work("me", handler, idle=0) == 3
    assert results(root) == {"t1": 1.5, "t3": {"code": "not-mine", "message": "no"}}
    assert b"1.50" in (root / "claimed/me/5-000000000001.t1.1.result.json").read_bytes()
    assert not (root / "claimed/me/5-000000000002.t2.1.json").exists()


def test_unfinished_work_comes_first_and_what_was_refused_is_failed(root: Path) -> None:
    offer(root, 1)
    refused, unfinished = offer(root, 8, "claimed/me"), offer(root, 9, "claimed/me")
    refused.with_name(f"{refused.stem}.refused.json").write_text('{"code": "output-contract"}')
    seen: list[int] = []
    assert Taskdir().work("me", lambda claim: seen.append(claim.input), idle=0) == 2
    assert seen == [9, 1]
    assert unfinished.exists()
    assert results(root) == {"t1": None, "t8": {"code": "refused", "message": "the result was refused"}, "t9": None}


def test_a_result_that_a_program_of_the_handler_handed_in_stands(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    offer(root, 1), offer(root, 2)

    def handler(claim: Claim) -> int:
        stem = claim.path.removesuffix(".json")
        Path(f"{stem}.result.json").write_text('{"status": "ok", "output": "own"}')
        return 7

    async def later(claim: AsyncClaim) -> int:
        return handler(claim._sync)

    assert Taskdir().work("me", handler, tasks=1) == 1
    assert asyncio.run(AsyncTaskdir().work("me", later, tasks=1)) == 1
    assert (results(root), caplog.records) == ({"t1": "own", "t2": "own"}, [])


def test_refused_work_that_another_process_holds_is_let_be(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskdir.held.LOCK_SECONDS", 0.0)
    task = offer(root, 1, "claimed/me")
    task.with_name(f"{task.stem}.refused.json").write_text("{}")
    with task.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert Taskdir().work("me", lambda claim: None, idle=0) == 0
    assert results(root) == {}


def test_who_is_benched_between_the_look_and_the_rename_claims_nothing(root: Path) -> None:
    offer(root, 1)

    def bench(operation: str, path: str) -> None:
        if operation == "rename":
            (root / "claimed/me").chmod(0o555)
            raise PermissionError(13, "Permission denied", path)  # as the system says to all but root

    assert isinstance(gestures.claim(Places(str(root)), Disk(bench), "me"), gestures.Nothing)


def test_what_another_process_holds_is_let_be(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskdir.held.LOCK_SECONDS", 0.0)
    with offer(root, 1, "claimed/me").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert Taskdir().work("me", lambda claim: None, idle=0) == 0
    assert Taskdir().work("me", lambda claim: None, idle=0) == 1


def test_what_a_twin_finishes_before_we_have_the_lock_is_let_be(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = offer(root, 1, "claimed/me")
    real = held._lock

    def late(claimed: str) -> int | None:
        path.with_name(f"{path.stem}.result.json").write_text('{"status": "ok", "output": "the twin"}')
        return real(claimed)

    monkeypatch.setattr("taskdir.held._lock", late)
    assert Taskdir().work("me", lambda claim: "ours", idle=0) == 0
    assert results(root) == {"t1": "the twin"}


def test_a_lost_claim_is_left_alone(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    offer(root, 1), offer(root, 2)

    def handler(claim: Claim) -> int:
        if claim.input == 1:
            os.unlink(claim.path)
            assert claim.lost
        return 7

    assert Taskdir().work("me", handler, idle=0) == 2
    assert results(root) == {"t2": 7}
    assert [record.getMessage() for record in caplog.records] == ["me lost a claim: 5-000000000001.t1.1.json"]


def test_where_nothing_can_be_handed_in_it_ends(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    offer(root, 1)
    monkeypatch.setattr(Disk, "publish", full)
    with pytest.raises(CannotCreate):
        Taskdir().work("me", lambda claim: None)
    with pytest.raises(CannotCreate):
        asyncio.run(AsyncTaskdir().work("me", nothing))


async def nothing(claim: AsyncClaim) -> None:
    """Do nothing."""


def test_two_threads_of_one_agent_never_do_a_task_twice(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskdir.held.LOCK_SECONDS", 0.0)
    for seq in range(1, 41):
        offer(root, seq)
    seen: list[int] = []

    def worker() -> None:
        Taskdir().work("me", lambda claim: seen.append(claim.input), stop=lambda: len(seen) >= 40)

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(seen) == list(range(1, 41))


class TestAsync:
    def test_it_does_what_is_there(self, root: Path) -> None:
        offer(root, 1), offer(root, 2)

        async def handler(claim: AsyncClaim) -> int:
            if claim.input == 1:
                raise ValueError("odd")
            return int(claim.input)

        assert asyncio.run(AsyncTaskdir().work("me", handler, idle=0)) == 2
        assert results(root) == {"t1": {"code": "valueerror", "message": "ValueError: odd"}, "t2": 2}

    def test_the_handler_is_cancelled_when_the_claim_is_lost(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("taskdir.aio.LOOK_SECONDS", 0.01)
        offer(root, 1)
        ended: list[str] = []

        async def handler(claim: AsyncClaim) -> None:
            os.unlink(claim.path)
            await slept(lambda: ended.append("cancelled"))

        assert asyncio.run(AsyncTaskdir().work("me", handler, idle=0)) == 1
        assert ended == ["cancelled"]
        assert results(root) == {}
        assert [record.getMessage() for record in caplog.records] == ["me lost a claim: 5-000000000001.t1.1.json"]

    def test_cancelling_the_worker_gives_back(self, root: Path) -> None:
        offer(root, 1)
        ended: list[str] = []

        async def play() -> None:
            begun = asyncio.Event()

            async def handler(claim: AsyncClaim) -> None:
                begun.set()
                await slept(lambda: ended.append("cancelled"))

            worker = asyncio.create_task(AsyncTaskdir().work("me", handler))
            await begun.wait()
            worker.cancel()
            with pytest.raises(asyncio.CancelledError):
                await worker

        asyncio.run(play())
        assert ended == ["cancelled"]
        assert list(root.glob("claimed/me/*.json")) == []


async def slept(cancelled: Callable[[], object]) -> None:
    """Sleep until cancelled; tell of it after some clean-up that takes a while."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(0.05)
        cancelled()
        raise
