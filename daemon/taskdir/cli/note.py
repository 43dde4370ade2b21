"""taskdir note: a note beside a claimed task, or a remark in the log (SPEC section 7.7)."""

from __future__ import annotations

from taskdir import gestures, roots
from taskdir.cli.frame import Env, read_input, report_submitted
from taskdir.disk import Disk
from taskdir.errors import Usage, claim_lost

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

HELP = """Add a note to the task that you hold: it renews the lease and ends up in the task's record. Without PATH,
submit the text as a remark for the log, about a task or not."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("words", nargs="+", metavar="[PATH] TEXT", help="the claimed file; the text, - for stdin")
    parser.add_argument("--task", metavar="ID", help="without PATH: the task that the remark is about")
    parser.add_argument("--from", dest="from_", metavar="NAME", help="without PATH: who says it")


def run(args: argparse.Namespace, env: Env) -> int:
    """Append the note, or submit the remark."""
    if len(args.words) > 2:
        raise Usage("usage", "more than PATH and TEXT", hint="put the text in quotes")
    text = args.words[-1]
    if text == "-":
        text = read_input("-").decode("utf-8", "replace")
    if not text.strip():
        raise Usage("usage", "the text is empty")
    if len(args.words) == 2:
        if args.task or args.from_:
            raise Usage("usage", "--task and --from go without PATH")
        if not gestures.note(Disk(), args.words[0], text):
            raise claim_lost(args.words[0])
        return 0
    message: dict[str, Any] = {"kind": "note", "message": text, "task": args.task, "from": args.from_}
    message = {name: value for name, value in message.items() if value is not None}
    id = roots.mint_id(env.places().agent)
    report_submitted(env, [(id, gestures.submit(env.places(), Disk(), message, id))])
    return 0
