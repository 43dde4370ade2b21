"""merge.py: merges what one task wrote into main. Only one is at it at a time: its tasks hold the resource repo-main.

It works in its own worktree, tests there, and moves main forward as its last step. Done again after a crash, the merge
is there already, and nothing happens twice.
"""

import json
import os
import subprocess
import sys
from pathlib import Path


def git(*words: str) -> str:
    """Run git here; returns what it prints."""
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


def end(document: dict[str, object]) -> None:
    """Write the result, and end."""
    Path(os.environ["TASKDIR_RESULT"]).write_text(json.dumps(document))
    sys.exit(0)


task = json.loads(Path(os.environ["TASKDIR_TASK"]).read_text())
(written,) = task["context"].values()
commit = written["artifacts"]["commit"]
git("reset", "--quiet", "--hard", "main")
try:
    git("merge", "--no-ff", "-m", f"Merge {task['input']['task']}: {written['summary']}", commit)
    subprocess.run([sys.executable, "check.py", "--written"], check=True, capture_output=True, text=True)
except subprocess.CalledProcessError as error:
    message = f"{' '.join(error.cmd)}: {error.stdout}{error.stderr}"
    end({"status": "error", "error": {"code": "no-merge", "message": message}, "retry": False})
home = git("worktree", "list", "--porcelain").split("\n", 1)[0].removeprefix("worktree ")
git("-C", home, "merge", "--quiet", "--ff-only", git("rev-parse", "HEAD"))
end({"status": "ok", "output": {"main": git("rev-parse", "main")}})
