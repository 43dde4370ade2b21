"""taskdir finish: hand in a result and wait a moment for the verdict (SPEC section 7.8)."""

from __future__ import annotations

import os
from functools import partial

from taskdir import gestures, names, roots
from taskdir.cli.frame import VERDICT_SECONDS, Env, json_argument, why_waiting
from taskdir.disk import Disk
from taskdir.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

HELP = """Hand in the output or the error of a claimed task. With a daemon running, waits up to 5 seconds for its
verdict: exit code 65 and the reason if the result was refused; the claim then goes on, hand in another."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("path", metavar="PATH", help="the claimed file, as `taskdir claim` printed it")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--output", metavar="JSON", help="the output: JSON, @FILE, or - for stdin")
    what.add_argument("--error", metavar="MESSAGE", help="why the task was not done")
    parser.add_argument("--code", metavar="WORD", help="with --error: a short word for programs")
    parser.add_argument("--retry", action="store_true", help="with --error: another attempt may help")


def run(args: argparse.Namespace, env: Env) -> int:
    """Write the result, then report the verdict."""
    gestures.stem_path(args.path)
    path = os.path.abspath(args.path)
    data = gestures.finish(Disk(), path, _result(args))
    runs = roots.daemon_runs(roots.of_claim(path).root)
    look = partial(gestures.finish_verdict, path, data)
    verdict = gestures.verdict(look, VERDICT_SECONDS) if runs else gestures.Verdict("waiting")
    if env.json:
        env.out({"path": path, "verdict": verdict.word} | ({"reason": verdict.reason} if verdict.reason else {}))
    elif verdict.word == "waiting":
        env.say("the result is handed in, not judged yet: " + why_waiting(runs))
    elif verdict.word == "accepted":
        env.say("accepted")
    if verdict.word in ("refused", "late"):
        raise verdict.error()
    return 0


def _result(args: argparse.Namespace) -> dict[str, Any]:
    if args.error is None:
        if args.code is not None or args.retry:
            raise Usage("usage", "--code and --retry go with --error", hint="`taskdir finish --help`")
        return {"status": "ok", "output": json_argument(args.output, "--output")}
    if args.code is not None and not names.is_word(args.code):
        raise gestures.bad_word("error code", args.code)
    error = ({} if args.code is None else {"code": args.code}) | {"message": args.error[:8192] or "no message"}
    return {"status": "error", "error": error, "retry": args.retry}
