"""agent.py DELAY: stands in for a coding agent, so that this runs anywhere. It has habits that real ones have, too.

It reads $TASKDIR_TASK, writes code in its working directory, and a result to $TASKDIR_RESULT: what any agent does. Of
`roman` its first try answers in prose, of `luhn` it is sure of code that is wrong, of `wrap` it hangs half way.
"""

import json
import os
import sys
import time
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent / "library"

task = json.loads(Path(os.environ["TASKDIR_TASK"]).read_text())
result = Path(os.environ["TASKDIR_RESULT"])
module, first = task["input"]["module"], os.environ["TASKDIR_TRY"] == "1"
path = Path("library") / f"{module}.py"
source = (LIBRARY / path.name).read_text()

print(f"reading {os.environ['TASKDIR_PROMPT']}, thinking about {module}", flush=True)
time.sleep(float(sys.argv[1]))
if module == "wrap" and task["attempt"] == 1:
    path.write_text(source[: len(source) // 2])
    time.sleep(3600)  # until somebody ends it
if module == "roman" and first:
    result.write_text("Sure! I have written roman() for you. Let me know if you need anything else.")
    sys.exit(0)  # which proves nothing
if module == "luhn" and first:
    source = source.replace("% 10 == 0", "% 10 == 1")
path.write_text(source)
with open("CHANGELOG.md", "a+") as log:
    line = f"- {module}\n"
    log.seek(0)
    if line not in log.readlines():
        log.write(line)
result.write_text(json.dumps({"status": "ok", "output": {"summary": f"write {module}()"}}))
