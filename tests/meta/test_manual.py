"""The manual page and the completions: made from the parsers, in step with them, and read by the real programs."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taskdir.cli import described, main

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "share/man/man1/taskdir.1"
LOADERS = {
    "bash": ROOT / "share/bash-completion/completions/taskdir",
    "zsh": ROOT / "share/zsh/site-functions/_taskdir",
    "fish": ROOT / "share/fish/vendor_completions.d/taskdir.fish",
}
CASES = [
    ("servi", {"service"}),
    ("--ver", {"--version"}),
    ("service uninst", {"uninstall"}),
    ("--root /tmp service st", {"start", "status", "stop"}),
    ("service --system pri", {"print"}),
    ("service print --manager lau", {"launchd"}),
    ("list --bloc", {"--blocked"}),
    ("state --if-version 3 wat", {"watch"}),  # the value of an option is no word of the verb's
    ("run --log-format js", {"json"}),
    ("service print unin", set()),  # an action has been given
]


def need(tool: str) -> str:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"NOT TESTED: no {tool} here")
    return found


def taskdir(*words: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(words) == 0
    return said.getvalue()


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The completion of each shell as a file."""
    made = {shell: tmp_path_factory.mktemp("completion") / shell for shell in LOADERS}
    for shell, path in made.items():
        path.write_text(taskdir("completion", shell), encoding="utf-8")
    return made


def test_the_page_is_what_the_parsers_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == taskdir("man"), f"run: taskdir man > {PAGE.relative_to(ROOT)}"


def test_the_page_has_every_verb_and_option() -> None:
    page = PAGE.read_text(encoding="utf-8").replace("\\-", "-")
    for verb in described.described():
        section = page.partition(f".SS {verb.name}\n")[2].partition("\n.S")[0]
        lost = [flag for each in verb.options for flag in each.flags if f"\\fB{flag}\\fR" not in section]
        assert set(lost) <= {"-h", "--help", "--root", "--json"}, verb.name


def test_mandoc_finds_nothing() -> None:
    done = subprocess.run([need("mandoc"), "-T", "lint", PAGE], capture_output=True, text=True, check=False)
    # It has no date: the page changes with the parsers, and the same parsers make the same page.
    assert [line for line in (done.stdout + done.stderr).splitlines() if "missing date" not in line] == []


def test_groff_finds_nothing(tmp_path: Path) -> None:
    done = subprocess.run([need("groff"), "-man", "-ww", "-Tutf8", PAGE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "taskdir service [OPTION ...]" in " ".join(re.sub(".\x08", "", done.stdout).split())
    (tmp_path / "bad.1").write_text(PAGE.read_text() + "\n.SHH\n")
    bad = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", tmp_path / "bad.1"], capture_output=True, text=True, check=False
    )
    assert bad.stderr, "the linter lints"


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_bash(line: str, offered: set[str], scripts: dict[str, Path]) -> None:
    program = f"""
        source {scripts["bash"]}
        COMP_WORDS=(taskdir {line}) COMP_CWORD={len(line.split())}
        _taskdir
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([need("bash"), "--norc", "-c", program], capture_output=True, text=True, check=False)
    assert (set(done.stdout.split()), done.stderr) == (offered, "")


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_fish(line: str, offered: set[str], scripts: dict[str, Path], tmp_path: Path) -> None:
    program = f"source {scripts['fish']}; complete -C 'taskdir {line}'"
    env = os.environ | {"HOME": str(tmp_path)}
    done = subprocess.run(
        [need("fish"), "-N", "-c", program], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ({each.split("\t")[0] for each in done.stdout.splitlines()}, done.stderr) == (offered, "")


def test_zsh(scripts: dict[str, Path], tmp_path: Path) -> None:
    """Typed at a terminal, with TAB: where one word is offered, it is filled in."""
    shell = Terminal([need("zsh"), "-f", "-i"], tmp_path)
    shell.type(f"autoload -Uz compinit; compinit -u -D; source {scripts['zsh']}; PS1='> '; echo read''y\n", "ready")
    for line, offered in CASES:
        if len(offered) == 1:
            (word,) = offered
            typed = line.rpartition(" ")[2]
            shell.type(f"taskdir {line}\t", f"{line.removesuffix(typed)}{word}")
            shell.type("\x15echo cleare''d\n", "cleared")
    shell.close()


def test_the_loaders_of_an_install(tmp_path: Path, scripts: dict[str, Path]) -> None:
    """What is put into share/ asks the installed taskdir itself, so that it never is of another version."""
    (tmp_path / "taskdir").write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT / 'daemon')!r})\n"
                                      "from taskdir.cli import main\nsys.exit(main())\n")  # fmt: skip
    (tmp_path / "taskdir").chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    tried = {
        "bash": f"source {LOADERS['bash']}; complete -p taskdir",
        "fish": f"source {LOADERS['fish']}; complete -C 'taskdir servi'",
    }
    for shell, program in tried.items():
        done = subprocess.run([need(shell), "-c", program], env=env, capture_output=True, text=True, check=False)
        assert ("taskdir" in done.stdout or "service" in done.stdout, done.stderr) == (True, "")
    shell_at = Terminal([need("zsh"), "-f", "-i"], tmp_path, PATH=env["PATH"])
    shell_at.type(
        f"fpath=({LOADERS['zsh'].parent} $fpath); autoload -Uz compinit; compinit -u -D; echo read''y\n", "ready"
    )
    shell_at.type("taskdir servi\t", "service")
    shell_at.type("\x15taskdir service uninst\t", "uninstall")
    shell_at.close()


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, command: list[str], home: Path, **env: str) -> None:
        self._fd, child = pty.openpty()
        given = os.environ | {"HOME": str(home), "TERM": "dumb", "COLUMNS": "200"} | env
        self._process = subprocess.Popen(
            command, stdin=child, stdout=child, stderr=child, env=given, cwd=home, start_new_session=True
        )
        os.close(child)

    def type(self, keys: str, word: str) -> None:
        """Type, then read until the word has come."""
        os.write(self._fd, keys.encode())
        seen, limit = "", time.monotonic() + 30
        while word not in seen:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, limit - time.monotonic()))
            assert ready, f"{keys!r}: no {word!r} in {seen!r}"
            seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[\r\x07]", "", os.read(self._fd, 4096).decode(errors="replace"))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)
