"""adapters/c: its own tests under the sanitizers, its README, its install, and the kit over its program."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from adapters.compiled import ADAPTERS, c_house, run
from adapters.live import conforms
from adapters.readme import drain, example

SOURCES = ("taskdir.h", "taskdir.c", "agent.c", "check.c")


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return c_house(tmp_path_factory)


def test_its_own_tests_pass_under_the_sanitizers(house: Path, tmp_path: Path) -> None:
    said = run("make", "CC=gcc", "CFLAGS=-O1 -g", f"BUILD={tmp_path}", "check", cwd=house, TMPDIR=str(tmp_path))
    played = re.findall(r"^static void (\w+)\(void\)$", (house / "check.c").read_text(), re.M)
    assert len(played) > 20
    assert f"{len(played)} tests passed" in said
    assert all(f"\n{name}\n" in f"\n{said}" for name in played), "a test that is not in the table"


def test_a_planted_fault_turns_its_own_tests_red(house: Path, tmp_path: Path) -> None:
    source = (house / "taskdir.c").read_text()
    faulty = source.replace("link(aside, path)", "rename(aside, path)")
    assert faulty != source
    for name in SOURCES:
        shutil.copy(house / name, tmp_path)
    (tmp_path / "taskdir.c").write_text(faulty)
    run("gcc", "-std=c11", "check.c", "taskdir.c", "-o", "check", cwd=tmp_path)
    done = subprocess.run([tmp_path / "check"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "TD_TAKEN" in done.stderr


def test_the_example_of_the_readme_drains_a_live_root(house: Path, tmp_path: Path) -> None:
    (tmp_path / "adapters").symlink_to(ADAPTERS)
    (tmp_path / "drain.c").write_text(example(ADAPTERS / "c" / "README.md", "c"))
    [command] = example(ADAPTERS / "c" / "README.md", "sh").splitlines()
    run(*shlex.split(command), "-Wall", "-Wextra", "-Wpedantic", "-Werror", cwd=tmp_path)
    records = drain(tmp_path, [tmp_path / "drain"])
    assert all(record["output"] == record["id"] for record in records)


def test_what_is_installed_is_found_by_pkg_config(house: Path, tmp_path: Path) -> None:
    if shutil.which("pkg-config") is None:
        pytest.skip("NOT TESTED: the installed library, since this machine has no pkg-config")
    prefix = tmp_path / "usr"
    run("make", "CC=gcc", "CFLAGS=-O1 -g -Werror", f"PREFIX={prefix}", "install", cwd=house)
    found = run("pkg-config", "--cflags", "--libs", "taskdir", cwd=tmp_path,
                PKG_CONFIG_PATH=str(prefix / "lib" / "pkgconfig"))  # fmt: skip
    (tmp_path / "drain.c").write_text(example(ADAPTERS / "c" / "README.md", "c"))
    run("gcc", "-std=c11", "drain.c", *shlex.split(found), "-o", "drain", cwd=tmp_path)
    assert "give-back PATH" in run(prefix / "bin" / "taskdir-agent", "help", cwd=tmp_path)


def test_it_conforms(house: Path) -> None:
    conforms([house / "build" / "taskdir-agent"])


def test_a_cplusplus_compiler_takes_the_header(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("NOT TESTED: the header in C++, since this machine has no g++")
    run("g++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-x", "c++",
        ADAPTERS / "c" / "taskdir.h", cwd=tmp_path)  # fmt: skip


def test_the_house_style() -> None:
    for name in SOURCES:
        lines = (ADAPTERS / "c" / name).read_text().splitlines()
        assert max(map(len, lines)) <= 120, name
    assert len((ADAPTERS / "c" / "README.md").read_text().splitlines()) <= 40
    library = (ADAPTERS / "c" / "taskdir.c").read_text()
    assert not re.findall(r"\b(?:m|c|re)alloc\(|\bstrdup\(|\basprintf\(|\bfork\(|\bsigaction\(", library)
