"""Every way to install taskdir finds its schemas: wheel, sdist → wheel, editable, and a bare PYTHONPATH.

Nothing is fetched: no dependencies, no build isolation, no index. That needs pip and hatchling beside pytest. uvx and
pipx install dependencies too, from what was fetched when .venv was made.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from support import fetch

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
LOAD = """
import json, pathlib, sys
from importlib.metadata import PackageNotFoundError, version
import taskdir, taskdir.rules as rules
from taskdir.conformance import vectors
try:
    found = version("taskdir")
except PackageNotFoundError:
    found = None
print(json.dumps({
    "package": str(pathlib.Path(taskdir.__file__).resolve().parent),
    "schemas": str(rules.schema_dir()),
    "id": rules.schema("message")["$id"],
    "codes": len(rules.codes()),
    "vectors": str(vectors.vectors_dir()),
    "scenarios": len(list(vectors.scenarios())),
    "typed": pathlib.Path(taskdir.__file__).with_name("py.typed").is_file(),
    "version": found,
    "says": getattr(taskdir, "__version__", found),
}))
"""

missing = [name for name in ("pip", "hatchling") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(missing),
    reason=f"CANNOT BUILD: {' and '.join(missing)} missing beside pytest; `make test` installs them",
)


def run(*argv: str | Path, cwd: Path = ROOT, **env: str) -> str:
    """Run a command, return its stdout; a failure shows both streams."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(arg) for arg in argv], cwd=cwd, env=clean | env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", where)
    return next(where.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", where)
    return next(where.glob("*.tar.gz"))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Make an empty virtual environment; pip works on it from outside, so ensurepip is not needed."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    return tmp_path / "venv" / "bin" / "python"


def install(python: Path, *what: str | Path) -> None:
    """Install from files into another environment; the build backend is lent from this one."""
    lent = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    run(sys.executable, "-m", "pip", "--python", python, "install", *OFFLINE, *what, PYTHONPATH=lent)


def load(python: Path, cwd: Path, **env: str) -> dict[str, object]:
    """Import the package in a fresh interpreter and load one schema."""
    found: dict[str, object] = json.loads(run(python, "-c", LOAD, cwd=cwd, **env))
    assert found["id"] == "urn:taskdir:v1:message"
    assert found["typed"], "py.typed is missing: type checkers would ignore the annotations"
    assert found["codes"], "rules.json is empty"
    assert found["scenarios"], f"no vectors in {found['vectors']}"
    assert found["version"] in (found["says"], None), "pyproject.toml and taskdir.__version__ differ"
    return found


def inside(found: dict[str, object], python: Path) -> bool:
    return Path(str(found["package"])).is_relative_to(python.parents[1].resolve())


def test_wheel(wheel: Path, python: Path, tmp_path: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == {"taskdir"}, tops
    wanted = {"taskdir/schemas/v1/rules.json", "taskdir/vectors/trees/log.json", "taskdir/adapters/node/taskdir.mjs"}
    wanted |= {"taskdir/runner/profiles/claude.json"}
    assert wanted <= {*names}
    install(python, wheel)
    found = load(python, tmp_path)
    assert inside(found, python)
    assert found["schemas"] == f"{found['package']}/schemas"
    assert found["vectors"] == f"{found['package']}/vectors"
    assert (python.parent / "taskdir").is_file(), "no command"
    shared = [path.relative_to(ROOT) for path in (ROOT / "share").rglob("*") if path.is_file()]
    assert len(shared) == 4, "the manual page and a loader for each shell"
    for path in shared:
        assert (python.parents[1] / path).read_bytes() == (ROOT / path).read_bytes()


def test_wheel_by_way_of_the_sdist(sdist: Path, wheel: Path, python: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"README.md", "SPEC.md", "LICENSE", "CHANGELOG.md", "Makefile", "schemas/v1/rules.json",
              "tests/meta/test_packaging.py", "daemon/taskdir/py.typed",
              "share/man/man1/taskdir.1", "examples/container/Containerfile", "docs/service.md",
              "adapters/c/taskdir.c", "adapters/rust/Cargo.toml",
              "adapters/node/package.json", "adapters/python/agent.py"}  # fmt: skip
    assert wanted <= held, f"not in the sdist: {wanted - held}"
    run(sys.executable, "-m", "pip", "wheel", *OFFLINE, "-w", tmp_path / "again", sdist)
    again = next((tmp_path / "again").glob("*.whl"))
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()
    install(python, again)
    assert inside(load(python, tmp_path), python)


def programs(tmp_path: Path, name: str) -> dict[str, str]:
    """Return an environment where a program finds what was fetched, and no network; skips without the program."""
    if not (fetch.TOOLS / "bin" / name).exists() or not fetch.WHEELS.exists():
        pytest.skip(f"NOT TESTED: {name} or the wheels were not fetched when .venv was made (tests/support/fetch.py)")
    uv = tmp_path / "uv.toml"
    uv.write_text(f'no-index = true\nfind-links = ["{fetch.WHEELS}"]\n', encoding="utf-8")
    return {
        "HOME": str(tmp_path),
        "PATH": f"{fetch.TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(fetch.WHEELS),
        "UV_CONFIG_FILE": str(uv),
        "UV_PYTHON_DOWNLOADS": "never",
        **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"),
        **dict.fromkeys(("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "PIPX_HOME"), str(tmp_path / "xdg")),
    }


SESSION = """
set -e
$T init jobs >/dev/null
cd jobs
$T submit --type echo --id hi --input '"hi"' >/dev/null
$T run --once 2>/dev/null
$T finish "$($T claim --agent me)" --output '"hi"'
$T run --once 2>/dev/null
cat done/hi.json
"""


def test_uvx_runs_it_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    env = programs(tmp_path, "uvx")
    uvx = f"uvx -q --python {sys.executable} --from {wheel} taskdir"
    done = json.loads(run("sh", "-c", SESSION, cwd=tmp_path, T=uvx, **env))
    assert (done["state"], done["output"]) == ("done", "hi")


def test_pipx_installs_it_with_its_manual_page(wheel: Path, tmp_path: Path) -> None:
    env = programs(tmp_path, "pipx")
    env |= {"PIPX_BIN_DIR": str(tmp_path / "bin"), "PIPX_MAN_DIR": str(tmp_path / "man")}
    run("pipx", "install", "--python", sys.executable, wheel, cwd=tmp_path, **env)
    done = json.loads(run("sh", "-c", SESSION, cwd=tmp_path, T=str(tmp_path / "bin/taskdir"), **env))
    assert (done["state"], done["output"]) == ("done", "hi")
    assert (tmp_path / "man/man1/taskdir.1").read_bytes() == (ROOT / "share/man/man1/taskdir.1").read_bytes()


def test_editable(python: Path, tmp_path: Path) -> None:
    install(python, "--editable", ROOT)
    found = load(python, tmp_path)
    assert found["package"] == str(ROOT / "daemon" / "taskdir")
    assert found["schemas"] == str(ROOT / "schemas"), "an editable install must read the checkout's schemas, not a copy"


def test_bare_pythonpath(python: Path, tmp_path: Path) -> None:
    found = load(python, tmp_path, PYTHONPATH=str(ROOT / "daemon"))
    assert found["schemas"] == str(ROOT / "schemas")
