"""One shell and one root made by hand: what the tests of adapters/shell/taskdir.sh stand on.

busybox runs with its own applets and nothing else on PATH; dash and bash with the tools of the system.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

LIB = Path(__file__).resolve().parents[2] / "adapters" / "shell" / "taskdir.sh"
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "ash"]}
Word = str | bytes | Path
Done = subprocess.CompletedProcess[bytes]


class Shell:
    """A shell, a root with spaces in its path, and `bin`, commands that come first on PATH."""

    def __init__(self, argv: list[str], tools: str, base: Path) -> None:
        self.argv, self.tools = argv, tools
        self.root, self.bin, self.cwd = base / "a root  with spaces", base / "bin", base
        self.env = {"PATH": f"{self.bin}:{tools}", "TASKDIR": str(self.root)}
        self.bin.mkdir()
        for name in ("inbox", "ready/default", "claimed/me", "done", "failed", "rejected"):
            (self.root / name).mkdir(parents=True)
        (self.root / "taskdir.json").write_text('{"protocol": 1}')

    def start(self, *args: Word) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen([*self.argv, *args], env=self.env, cwd=self.cwd, stdin=pipe, stdout=pipe, stderr=pipe)

    def run(self, *args: Word, stdin: bytes = b"") -> Done:
        """Run `taskdir.sh ARGS` to its end."""
        return self._end(self.start(LIB, *args), stdin)

    def sourcing(self, script: str, *args: Word) -> subprocess.Popen[bytes]:
        """Start a script that begins with sourcing the file; "$@" are `args`."""
        return self.start("-c", f'lib=$1; shift; . "$lib"; {script}', "a-script", LIB, *args)

    def source(self, script: str, *args: Word) -> Done:
        """Run a script that begins with sourcing the file to its end."""
        return self._end(self.sourcing(script, *args), b"")

    @staticmethod
    def _end(process: subprocess.Popen[bytes], stdin: bytes) -> Done:
        with process:
            out, err = process.communicate(stdin, timeout=60)
        return Done(process.args, process.returncode, out, err)

    @staticmethod
    def lines(processes: Iterable[subprocess.Popen[bytes]]) -> Iterator[str]:
        """Yield what all of them print; each must succeed."""
        for process in list(processes):
            with process:
                out, err = process.communicate(timeout=100)
            assert process.returncode == 0, err
            yield from out.decode().splitlines()

    def offer(self, seq: int, place: str = "ready/default", **fields: object) -> Path:
        """Put an offer there, as the daemon would (for a claimed one: as its claim would)."""
        path = self.root / place / f"5-{seq:012d}.t{seq}.1.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"id": f"t{seq}", "attempt": 1, "type": "echo", "input": {}, **fields}))
        return path

    @staticmethod
    def result(task: Path) -> object:
        return json.loads(task.with_name(task.stem + ".result.json").read_bytes())

    def fake(self, name: str, script: str) -> None:
        """Make a command that comes before the real one of that name; never write through a link to that one."""
        command = self.bin / name
        command.unlink(missing_ok=True)
        with command.open("x") as file:
            file.write(f"#!{shutil.which('sh')}\n{script}\n")
        command.chmod(0o755)

    def real(self, name: str) -> str:
        """Return the path of the command that `fake` hides."""
        found = shutil.which(name, path=self.tools)
        assert found
        return found

    def tree(self) -> set[str]:
        """Return the path of every file in the root, taskdir.json aside."""
        files = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}
        return files - {"taskdir.json"}


@pytest.fixture(scope="session")
def applets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a PATH that has busybox's own commands alone."""
    where, busybox = tmp_path_factory.mktemp("applets"), str(shutil.which("busybox"))
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        (where / name).symlink_to(busybox)
    return str(where)


@pytest.fixture(params=SHELLS)
def sh(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    argv = SHELLS[request.param]
    program = shutil.which(argv[0])
    if program is None:
        pytest.skip(f"NOT TESTED under {request.param}: this machine does not have it")
    tools = request.getfixturevalue("applets") if request.param == "busybox" else os.environ["PATH"]
    return Shell([program, *argv[1:]], tools, tmp_path)
