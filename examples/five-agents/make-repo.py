"""make-repo.py DIR: a git repository with ten functions still to be written: their names, docstrings and examples."""

import ast
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WHO = {"NAME": "Ann", "EMAIL": "ann@example.org", "DATE": "2026-01-05T12:00:00Z"}
ENV = {**os.environ, **{f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in WHO.items()}}


def stub(source: str) -> str:
    """Leave of a module all up to the end of its function's docstring."""
    (function,) = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    kept = source.splitlines(keepends=True)[: function.body[0].end_lineno]
    return "".join(kept) + "    raise NotImplementedError\n"


def main(repo: Path) -> None:
    """Make it, with one commit on main; whole or not at all."""
    new = repo.with_name(f".{repo.name}.{os.getpid()}")
    (new / "library").mkdir(parents=True)
    for path in sorted((HERE / "library").glob("*.py")):
        (new / "library" / path.name).write_text(stub(path.read_text()))
    (new / "check.py").write_text((HERE / "check.py").read_text())
    (new / "CHANGELOG.md").write_text("# What is written\n\n")
    (new / ".gitattributes").write_text("CHANGELOG.md merge=union\n")  # each task adds a line: no conflict
    (new / ".gitignore").write_text("__pycache__/\n")
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Say what the library shall do"]):
        subprocess.run(["git", "-C", str(new), *words], env=ENV, check=True)
    new.rename(repo)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
