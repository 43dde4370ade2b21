"""An adapter's README is taken at its word: its example, copied literally, drains a live root.

`example` cuts the code out; the test makes a program of it as the README says; `drain` runs that against a real daemon.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.live import PATIENCE, Root, taskdir, until

ADAPTERS = Path(__file__).resolve().parents[2] / "adapters"


def example(readme: Path, language: str) -> str:
    """Return the only code block of that language, as the README has it."""
    blocks = re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", readme.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 1, f"{readme} has {len(blocks)} blocks of {language}"
    return str(blocks[0])


def drain(tmp_path: Path, command: Sequence[str | Path], *, tasks: int = 8, **env: str) -> list[dict[str, Any]]:
    """Run a worker where ``tasks`` echo tasks are on offer until all are done; returns their records, in order.

    Task n is `job-n` with the input {"n": n, "text": "task n"}. The root is $TASKDIR, the directory ``tmp_path``. The
    worker ends by itself with 0 once nothing is left. `taskdir check` then finds nothing.
    """
    ids = [f"job-{n}" for n in range(1, tasks + 1)]
    with Root(tmp_path / "root", scan_seconds=0.1) as root:
        for n, id in enumerate(ids, 1):
            root.put(f"inbox/{id}.json", {"type": "echo", "id": id, "input": {"n": n, "text": f"task {n}"}})
        until(lambda: len(root.offered()) == tasks, f"{tasks} offers")
        environment = {**os.environ, "TASKDIR": str(root.path), **env}
        with subprocess.Popen([*map(str, command)], cwd=tmp_path, env=environment) as worker:  # pytest shows its words
            try:
                done = {f"{id}.json" for id in ids}
                until(lambda: done <= set(root.names("done")) or worker.poll(), "all tasks to be done")
                assert worker.wait(PATIENCE) == 0
            finally:
                worker.kill()
        assert root.stop() == 0
        checked = taskdir("check", root=root.path)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        return [root.json(f"done/{id}.json") for id in ids]
