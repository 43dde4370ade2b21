"""The text budget: what a newcomer reads first stays short, and what it shows stays true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GESTURES = {"mkdir", "printf", "mv", "ls", "cat"}
AROUND = {"taskdir", "cd"}
SCREEN = 50
"""Lines of the README that a first screen shows."""


def text_of(name: str) -> str:
    path = ROOT / name
    if not path.is_file():
        pytest.fail(f"{name} is missing")
    return path.read_text(encoding="utf-8")


def session_of(readme: str) -> list[str]:
    """Return the commands of the README's first shell block, comments and empty lines left out."""
    block = readme.partition("```sh\n")[2].partition("\n```")[0]
    lines = (re.sub(r"\s+#.*", "", line).strip() for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def words_of(line: str) -> set[str]:
    """Return the commands that a shell line runs."""
    unquoted = re.sub(r"'[^']*'", "''", line)
    return {part.split()[0] for part in re.split(r"&&|\|\||[;&|]", unquoted) if part.split()}


def test_spec_is_read_in_one_sitting() -> None:
    lines = len(text_of("SPEC.md").splitlines())
    assert 300 <= lines <= 980, f"SPEC.md has {lines} lines, 300 to 980 are allowed"


def test_makefile_is_a_page() -> None:
    assert len(text_of("Makefile").splitlines()) <= 30


def test_decisions_are_short() -> None:
    faults = [
        f"{path.relative_to(ROOT)}: {lines} lines, under 60 are allowed"
        for path in (ROOT / "docs" / "decisions").glob("*.md")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) >= 60
    ]
    assert not faults, "\n".join(faults)


def test_readme_opens_with_a_sentence_a_picture_and_a_session() -> None:
    lines = text_of("README.md").splitlines()
    screen = lines[:SCREEN]
    assert lines[0].startswith("# "), "a title first"
    assert lines[2].startswith("**"), "one sentence, in bold, right below the title"
    assert lines[2].endswith(".**")
    assert any(line.startswith("    ") for line in lines[3:12]), "a picture in text"
    assert "```sh" in screen[:15], "the session starts on the first screen"
    assert any("make demo" in line for line in screen)
    assert any("make test" in line for line in screen)
    assert "](SPEC.md)" in "\n".join(lines)
    assert max(map(len, lines)) <= 120


def test_readme_session_is_six_lines_of_plain_commands() -> None:
    session = session_of(text_of("README.md"))
    plain = [line for line in session if not line.startswith("taskdir ")]
    assert len(plain) <= 6, f"{len(plain)} lines: {plain}"
    assert set().union(*map(words_of, plain)) <= GESTURES
    assert set().union(*map(words_of, session)) <= GESTURES | AROUND


def test_readme_session_is_json_that_parses() -> None:
    quoted = re.findall(r"'(\{.*?\})'", text_of("README.md"))
    assert len(quoted) >= 2
    for document in quoted:
        json.loads(document)


def test_readme_session_works(tmp_path: Path) -> None:
    """Play the session as printed; one `run --once` after each line stands in for the daemon."""
    root = tmp_path / "jobs"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "daemon")}

    def play(*argv: str, cwd: Path = root) -> str:
        done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    first, second, *lines = session_of(text_of("README.md"))
    assert (first, second) == ("taskdir init jobs && cd jobs", "taskdir run &")
    play(sys.executable, "-m", "taskdir", "init", "jobs", cwd=tmp_path)
    said = ""
    for line in lines:
        said = play("sh", "-c", line)
        play(sys.executable, "-m", "taskdir", "run", "--once")
    record = json.loads(said)
    assert (record["id"], record["state"], record["output"]) == ("greet", "done", "hi")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SPEC.md"])
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text_of(name))
    lost = [link for link in links if not re.match(r"[a-z]+:", link) and not (ROOT / link).exists()]
    assert not lost, f"{name} links to what is not there: {lost}"


def test_changelog_knows_the_version() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    changelog = text_of("CHANGELOG.md")
    assert f"## [{project['version']}]" in changelog
    assert "### Protocol" in changelog
    assert "### Package" in changelog


def test_scripts_parse() -> None:
    for shell, script in (("bash", ".ci/run"),):
        done = subprocess.run([shell, "-n", str(ROOT / script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (ROOT / script).stat().st_mode & 0o100, f"{script} is not executable"


def test_the_readers_read() -> None:
    readme = "```sh\ntaskdir run & # go\n\nprintf 'a; b' > x && mv x y   # z\nrm -r y | tee z\n```"
    assert session_of(readme) == ["taskdir run &", "printf 'a; b' > x && mv x y", "rm -r y | tee z"]
    assert words_of("printf 'a; b && c' > x && mv x y") == {"printf", "mv"}
    assert words_of("rm -r y | tee z") == {"rm", "tee"}
