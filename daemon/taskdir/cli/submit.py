"""taskdir submit: put messages into inbox/ and wait a moment for the verdict (SPEC section 7.1)."""

from __future__ import annotations

import os

from taskdir import gestures, names, roots, strictjson
from taskdir.cli.frame import Env, json_argument, read_file, read_input, report_submitted
from taskdir.disk import Disk
from taskdir.errors import Invalid, TaskdirError, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

HELP = """Submit messages from files, whose names give the ids, or a task from options. Prints the ids. With a daemon
running, waits up to 5 seconds for its verdict: exit code 65 and the reason if one was refused."""

_NUMBERS = {
    "priority": "0 is first, 9 is last (default 5)",
    "max_attempts": "failures until it goes to failed/: 1 to 100 (default 3)",
    "lease_seconds": "how long a claim lasts that nobody renews: 1 to 604800 (default 1800)",
    "timeout_seconds": "hard limit of one attempt, renewed or not (default 86400)",
    "backoff_seconds": "wait after a failure; doubles with each, to at most an hour (default 1)",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="a task, a batch or another message; - is stdin")
    parser.add_argument("--id", help="the id (default: of the file's name, or a fresh one)")
    task = parser.add_argument_group("a task without a file")
    task.add_argument("--type", help="the type of the task: it has a contract")
    task.add_argument("--input", metavar="JSON", help="what the agent gets: JSON, @FILE, or - for stdin")
    task.add_argument("--queue", help="where it is offered; @AGENT for one agent alone")
    task.add_argument("--after", action="append", metavar="ID", help="offered once this task is done; repeatable")
    task.add_argument("--resource", action="append", metavar="NAME", help="what it needs for itself; repeatable")
    task.add_argument("--not-before", metavar="TIME", help="not offered earlier: RFC 3339 in UTC, 2027-01-31T08:00:00Z")
    task.add_argument("--from", dest="from_", metavar="NAME", help="who asks")
    for name, told in _NUMBERS.items():
        task.add_argument(f"--{name.replace('_', '-')}", type=number, metavar="N", help=told)


def number(text: str) -> float:
    """Read a number as it is meant to stand in JSON: without a point when it has none."""
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def run(args: argparse.Namespace, env: Env) -> int:
    """Submit everything, then report the verdicts. Nothing is submitted if one of the files cannot be read."""
    fields = _fields(args)
    if bool(args.files) == (args.type is not None):
        raise Usage("usage", "either FILE or --type is needed", hint="`taskdir submit --help`")
    if args.files and fields:
        raise Usage("usage", "the options of a task do not go with FILE", hint="write them into the file")
    if args.id and len(args.files) > 1:
        raise Usage("usage", "--id goes with one FILE", hint="name the others by their files")
    places, disk = env.places(), Disk()
    if args.type is not None:
        id = args.id or roots.mint_id(places.agent)
        ready = [(id, gestures.encode({"type": args.type, **fields}))]
    else:
        ready = [_from_file(name, args.id, places.agent) for name in args.files]
    sent: list[tuple[str, bytes]] = []
    failed: TaskdirError | None = None
    for id, data in ready:
        try:
            gestures.submit_bytes(places, disk, data, id)
        except TaskdirError as error:
            failed = error
            break
        sent.append((id, data))
    report_submitted(env, sent)
    if failed is not None:
        raise failed
    return 0


def _fields(args: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in ("queue", "after", "not_before", *_NUMBERS)}
    given |= {"resources": args.resource, "from": args.from_}
    if args.input is not None:
        given["input"] = json_argument(args.input, "--input")
    return {name: value for name, value in given.items() if value is not None or name == "input"}


def _from_file(name: str, id: str | None, agent: str | None) -> tuple[str, bytes]:
    """Return id and bytes of a message in a file; the bytes stay as they are: submitting them again is harmless."""
    data = read_input("-") if name == "-" else read_file(name)
    try:
        value = strictjson.loads(data)
    except Invalid as error:
        raise Invalid(error.code, error.message, path=name, hint=error.hint) from None
    own = value.get("id") if isinstance(value, dict) else None
    if id is None and name == "-":
        id = own if isinstance(own, str) else roots.mint_id(agent)
    elif id is None:
        id = os.path.basename(name).removesuffix(names.TASK)
    if not names.is_word(id):
        bad = gestures.bad_word("id", id)
        bad.path, bad.hint = name, "rename the file, or give --id"
        raise bad
    return id, data
