"""Our own daemon behind the line protocol of adapters/CONTRACT.md section 2: ``python -m taskdir.conformance.driver``.

``--no-sync`` waits for no device: for tests of everything but power cuts.
"""

from __future__ import annotations

import json
import os
import sys

from taskdir.conformance.own import Own
from taskdir.errors import TaskdirError

_WRONG = (TaskdirError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError)


def main(argv: list[str]) -> int:
    """Answer each line on stdin by one on stdout, until there are no more."""
    if "--no-sync" in argv:
        for name in ("fsync", "fdatasync"):
            setattr(os, name, lambda fd: None)
    own = Own()
    for line in sys.stdin.buffer:
        try:
            answer = own.ask(json.loads(line))
        except _WRONG as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    own.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
