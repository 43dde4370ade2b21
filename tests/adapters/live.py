"""An agent's program (adapters/CONTRACT.md, section 1) and a real daemon, for whatever language the program is in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.live import ENV, PATIENCE, Root, until

Program = Sequence[str | Path]


def start(root: Root, program: Program, *words: str | Path, **options: object) -> subprocess.Popen[str]:
    """Start a verb of the program on a root."""
    environment = os.environ | {"TASKDIR": str(root.path)}
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [*map(str, program), *map(str, words)], env=environment, text=True, stdout=subprocess.PIPE, **options
    )


def run(root: Root, program: Program, *words: str | Path, stdin: str = "", code: int = 0) -> str:
    """Run a verb to its end, which is to be with ``code``; returns the line it printed."""
    with start(root, program, *words, stdin=subprocess.PIPE) as process:
        said: str = process.communicate(stdin, timeout=PATIENCE)[0]
    assert process.returncode == code, f"{words}: exit code {process.returncode}"
    return said.removesuffix("\n")


def round_trip(tmp_path: Path, program: Program) -> None:
    """From submit to the record: a result that is refused, then `work`, whose command fails once and then does it."""
    with Root(tmp_path / "root", scan_seconds=0.1, settle_seconds=0) as root:
        id = run(root, program, "submit", stdin='{"type": "echo", "input": "hi"}')
        until(root.offered, "the offer")
        path = Path(run(root, program, "claim", "me"))
        run(root, program, "note", path, 'half "way"')
        run(root, program, "finish", path, "-", stdin="no JSON")
        until(lambda: path.with_name(f"{path.stem}.refused.json").exists(), "the refusal")
        script = '[ "$TASKDIR_ATTEMPT" -gt 2 ] && printf \'["%s"]\' "$TASKDIR_ID" || exit 4'
        with start(root, program, "work", "me", "--", "sh", "-c", script) as worker:
            assert run(root, program, "wait", id, "20") == str(root.path / "done" / f"{id}.json")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE) == 0
        ends = [
            (event["event"], event.get("error", {}).get("code")) for event in root.events("refused", "errored", "done")
        ]
        assert ends == [("refused", None), ("errored", "refused"), ("errored", "exit-4"), ("done", None)]
        record = root.json(f"done/{id}.json")
        assert record["output"] == [id]
        assert json.loads(record["attempts"][0]["notes"])["text"] == 'half "way"'


def report_of(program: Program, *options: str | Path) -> dict[str, Any]:
    """Run the kit for agents over a program; returns its report."""
    argv = [sys.executable, "-m", "taskdir", "conformance", "agent", "--json", *options, "--", *program]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENV, timeout=110, check=False)
    assert done.returncode in (0, 1), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) is report["ok"]
    return report


def conforms(program: Program, *options: str | Path) -> None:
    """The kit for agents has nothing to say."""
    report = report_of(program, *options)
    unexpected = [case for case in report["cases"] if case["name"] in report["unexpected"]]
    assert not unexpected, json.dumps(unexpected, indent=1)


def stale(tmp_path: Path, program: Program) -> None:
    """A worker that holds its claim by lock is killed: long before the lease is over somebody else has the task."""
    with Root(tmp_path / "root", scan_seconds=0.1, settle_seconds=0.2) as root:
        run(root, program, "submit", "x", stdin='{"type": "echo", "backoff_seconds": 0, "lease_seconds": 3600}')
        blocker = tmp_path / "go-on"
        waits = f'until [ -e "{blocker}" ]; do sleep 0.05; done'
        with start(root, program, "work", "me", "--", "sh", "-c", waits) as worker:
            until(lambda: root.events("claimed"), "the claim")
            for probe in range(3):  # the daemon looks at locks once a scan; what settled meanwhile shows that it has
                (root.path / f"inbox/probe-{probe}.json").write_text("{")
                until(lambda n=probe: len(root.events("rejected")) > n, "a scan")  # type: ignore[misc]
            worker.kill()
        until(lambda: root.events("abandoned"), "the lock's end to be seen")
        blocker.touch()
        run(root, program, "work", "you", "--tasks", "1", "--", "true")
        until(lambda: root.names("done"), "the second attempt")
        assert root.json("done/x.json")["attempts"][1]["agent"] == "you"
