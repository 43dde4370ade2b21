"""What only a terminal gets: colours and tables; everybody else gets plain text."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.world import Countdown, World
from support.live import ENV
from taskdir import terminal
from taskdir.cli import main


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A root with a task that waits and one that an agent with a nasty error message lost."""
    made = World(tmp_path, Countdown())
    made.write("inbox/bad.json", {"type": "count", "max_attempts": 1})
    made.passes()
    made.claim("al")
    made.passes()
    made.result("al", {"status": "error", "error": {"message": "a \x1b[31mred [bold]herring[/bold]"}})
    made.write("inbox/line.json", {"type": "count"})
    made.passes()
    yield made
    if made.daemon is not None:
        made.daemon.abandon()


@pytest.mark.parametrize(
    ("env", "colours"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_when_there_are_colours(env: dict[str, str], colours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TERM", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert terminal.has_colours(Screen()) == colours
    assert terminal.has_colours(io.StringIO()) == (colours and "FORCE_COLOR" in env)


def test_paint() -> None:
    assert terminal.paint("x", "red") == "\x1b[31mx\x1b[0m"
    assert terminal.paint("x", "") == "x"


def test_log_in_colour(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["--root", str(world.root), "log"]) == 0
    coloured = capsys.readouterr().out
    assert "\x1b[31merrored  \x1b[0m bad" in coloured
    assert "a \N{REPLACEMENT CHARACTER}[31mred" in coloured, "what agents wrote brings no colour"
    monkeypatch.delenv("FORCE_COLOR")
    assert main(["--root", str(world.root), "log"]) == 0
    assert re.sub("\x1b\\[[0-9]+m", "", coloured) == capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["--root", str(world.root), "log", "--json"]) == 0
    assert capsys.readouterr().out == (world.root / "log.jsonl").read_text()


def test_log_of_one_key(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("one", "two"):
        world.write(f"inbox/set-{key}.json", {"kind": "state", "key": key, "value": 1})
    world.passes()
    assert main(["--root", str(world.root), "log", "--key", "two", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert (json.loads(line)["event"], json.loads(line)["key"]) == ("set", "two")


def on_terminal(world: World, *words: str, **env: str) -> str:
    """Run a command on a terminal of its own; returns what came there."""
    near, far = pty.openpty()
    command = [sys.executable, "-m", "taskdir", "--root", str(world.root), *words]
    quiet = {name: value for name, value in ENV.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    path = os.pathsep.join([ENV["PYTHONPATH"], *filter(None, sys.path)])
    around = quiet | {"TERM": "xterm", "COLUMNS": "100", "PYTHONPATH": path} | env
    with subprocess.Popen(command, env=around, stdout=far):
        os.close(far)
        found = b""
        try:
            while part := os.read(near, 65536):
                found += part
        except OSError:
            pass  # the other end is closed
    os.close(near)
    return found.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("words", [["status"], ["list"], ["list", "--state", "rejected"]])
def test_tables_on_a_terminal(words: list[str], world: World) -> None:
    pytest.importorskip("rich", reason="NOT TESTED: rich is not installed (the extra [tui])")
    world.write("inbox/wrong.json", {"typ": "count"})
    world.passes()
    shown = on_terminal(world, *words)
    plain = on_terminal(world, *words, NO_COLOR="1")
    assert "\x1b[" in shown
    assert not re.search("\x1b\\[3[0-9]", plain)
    if words == ["status"]:
        assert "queue " in shown
        assert "[bold]herring[/bold]" in shown, "what agents wrote is no markup"
        assert "\x1b[31mred" not in shown
    else:
        assert re.search(r"state +.*(id|file)", shown)
    assert "\x1b" not in subprocess.run(
        [sys.executable, "-m", "taskdir", "--root", str(world.root), *words],
        env=ENV, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_without_rich_it_is_plain_text(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    screen = Screen()
    assert not terminal.has_tables(screen)
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["--root", str(world.root), "list"]) == 0
    assert screen.getvalue() == "failed    bad  count  default  p5  attempt 2  al\nqueued    line  count  default  p5\n"
