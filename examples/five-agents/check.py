"""check.py [MODULE… | --task | --written]: run the examples in docstrings; exit code 1 if one fails.

Without words: of all modules. --task: of the module that the task at $TASKDIR_TASK names. --written: of those written.
"""

import doctest
import importlib
import json
import os
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent
UNWRITTEN = "raise NotImplementedError"


def chosen(words: list[str]) -> list[str]:
    """Return the modules that the words name."""
    if words == ["--task"]:
        return [json.loads(Path(os.environ["TASKDIR_TASK"]).read_text())["input"]["module"]]
    every = sorted(path.stem for path in (HOME / "library").glob("*.py"))
    if words == ["--written"]:
        return [name for name in every if UNWRITTEN not in (HOME / "library" / f"{name}.py").read_text()]
    return words or every


sys.dont_write_bytecode = True
sys.path.insert(0, str(HOME))
failed = 0
for name in chosen(sys.argv[1:]):
    failed += doctest.testmod(importlib.import_module(f"library.{name}")).failed
print(f"check: {failed} examples fail" if failed else "check: all examples hold")
sys.exit(failed > 0)
