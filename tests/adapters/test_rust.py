"""adapters/rust: cargo's own tests and lints, its README, its package, and the kit over its program."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest

from adapters.compiled import ADAPTERS, cargo, rust_house
from adapters.live import conforms
from adapters.readme import drain, example

CRATE = ADAPTERS / "rust"


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rust_house(tmp_path_factory)


def test_its_own_tests_pass(house: Path) -> None:
    said = cargo("test", "--quiet", "--lib", "--tests", cwd=house)
    assert sum(map(int, re.findall(r"test result: ok\. (\d+) passed; 0 failed; 0 ignored", said))) > 20


def test_clippy_and_rustfmt_have_nothing_to_say(house: Path) -> None:
    for tool in ("clippy", "fmt"):
        found = subprocess.run(["cargo", tool, "--version"], capture_output=True, check=False)
        if found.returncode != 0:
            pytest.skip(f"NOT CHECKED: the Rust adapter by {tool}, which this machine does not have")
    cargo("clippy", "--all-targets", cwd=house)  # it knows rust-version too: what is newer than that is a warning
    done = subprocess.run(["cargo", "fmt", "--check"], cwd=house, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_example_of_the_readme_drains_a_live_root(house: Path, tmp_path: Path) -> None:
    project = tmp_path / "drain"
    (project / "src").mkdir(parents=True)
    (project / "src" / "main.rs").write_text(example(CRATE / "README.md", "rust"))
    manifest = ["[package]", 'name = "drain"', 'version = "0.0.0"', 'edition = "2021"']
    (project / "Cargo.toml").write_text("\n".join([*manifest, "[dependencies]", f'taskdir = {{ path = "{house}" }}']))
    cargo("build", cwd=project, target=house / "target")
    records = drain(tmp_path, [house / "target" / "debug" / "drain"])
    assert all(isinstance(record["output"], int) and record["output"] > 100 for record in records)


def test_the_package_is_complete(house: Path, tmp_path: Path) -> None:
    crate = tmp_path / "rust"
    shutil.copytree(CRATE, crate, ignore=shutil.ignore_patterns("target"))
    cargo("package", "--no-verify", "--allow-dirty", cwd=crate)
    [archive] = (crate / "target" / "package").glob("taskdir-*.crate")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    sources = {str(path.relative_to(CRATE)) for place in ("src", "tests") for path in (CRATE / place).rglob("*.rs")}
    assert sources | {"Cargo.toml", "README.md"} <= names
    about = tomllib.loads((CRATE / "Cargo.toml").read_text())
    assert {"description", "license", "readme", "rust-version", "keywords", "categories"} <= set(about["package"])
    assert not about.get("dependencies"), "the standard library is all it may need"


def test_it_conforms(house: Path) -> None:
    conforms([house / "target" / "debug" / "taskdir-agent"])


def test_the_house_style() -> None:
    sources = [*(CRATE / "src").glob("*.rs"), *(CRATE / "tests").rglob("*.rs")]
    for path in sources:
        assert len(path.read_text().splitlines()) <= 420, path
    unsafe = {path.name for path in sources if re.search(r"\bunsafe \{", path.read_text())}
    assert unsafe == {"sys.rs", "process.rs"}, "all that is unsafe is in these two"
    assert len((CRATE / "README.md").read_text().splitlines()) <= 40
