"""taskdir import: another program's list becomes tasks (docs/interchange.md)."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

from taskdir import contracts, facts, gestures, names, roots
from taskdir.cli.frame import VERDICT_SECONDS, Env, read_file, why_waiting
from taskdir.clock import Clock
from taskdir.disk import Disk
from taskdir.errors import CannotCreate, Invalid, Missing, Usage
from taskdir.interchange import backlog, beads, taskmaster
from taskdir.interchange.items import Item, Known, Plan, plan

HELP = """Make tasks of another program's list: beads (.beads/issues.jsonl), backlog (backlog/ or its .md files) or
taskmaster (tasks.json). What is closed or done there is left out; what has no place in a task is kept in its input, as
context. Ids follow from theirs, so that importing again adds what is new and doubles nothing. All of it is one batch.
Exit code 65: something could not be imported, and is named by file and line; the rest was."""

_READERS = {"beads": beads.read, "backlog": backlog.read, "taskmaster": taskmaster.read}
_PREFIXES = {"beads": "", "backlog": "", "taskmaster": "tm"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("format", choices=sorted(_READERS))
    parser.add_argument("files", nargs="+", metavar="FILE", help="what to read; of backlog also a directory")
    parser.add_argument("--type", default="issue", help="the type of the tasks: it has a contract (default issue)")
    parser.add_argument("--queue", help="where they are offered")
    parser.add_argument("--prefix", metavar="WORD", help="put before each id (default: tm for taskmaster)")
    parser.add_argument("--dry-run", action="store_true", help="show what would be made, and submit nothing")


def run(args: argparse.Namespace, env: Env) -> int:
    """Read, plan, submit, report."""
    prefix = _PREFIXES[args.format] if args.prefix is None else args.prefix
    if prefix and not names.is_word(prefix):
        raise Usage("usage", "--prefix is 1 to 64 of a-z 0-9 _ -", hint="for example --prefix web")
    contract = _contract(env, args.type)
    faults: list[Invalid] = []
    items = list(_items(args, faults))
    with closing(facts.open_facts(str(env.root()), Clock().now())) as known:
        made = plan(items, _known(known), type=args.type, queue=args.queue, prefix=prefix, program=args.format)
    made.faults = faults + made.faults
    _check(made, contract)
    word = _submit(made, env) if made.messages and not args.dry_run else "accepted"
    _report(made, env, args, word)
    return 65 if made.faults else 0


def _contract(env: Env, type: str) -> contracts.Contract:
    """Return the contract that the tasks have to meet. Raises Missing, Invalid."""
    path = os.path.join(env.places().contracts, type + names.TASK)
    if not names.is_word(type) or not os.path.exists(path):
        hint = f"echo '{{}}' > contracts/{type}.json, or name another with --type"
        raise Missing("unknown-type", f"there is no contract for the type {type}", path=path, hint=hint)
    data = read_file(path)
    catalog = contracts.Catalog()
    catalog.load(type, data)
    found = catalog.get(type)
    if found is None:
        raise Invalid("schema-invalid", "the contract cannot be used", path=path, hint="`taskdir contract check`")
    return found


def _items(args: argparse.Namespace, faults: list[Invalid]) -> Iterator[Item]:
    """Yield what the files hold; what cannot be read is a fault."""
    for given in args.files:
        for path in backlog.files(given) if args.format == "backlog" else [given]:
            for each in _READERS[args.format](path, read_file(path)):
                if isinstance(each, Invalid):
                    faults.append(each)
                else:
                    yield each


def _known(found: facts.Facts) -> Known:
    """Return how to ask for what has an id in this root."""

    def known(id: str) -> Any:
        if found.index.task(id) is not None:
            return found.index.body(id)["input"]
        return None if found.index.register.message(id) is None else False

    return known


def _check(made: Plan, contract: contracts.Contract) -> None:
    """Take out what the contract refuses, and what waits for it: one bad task would refuse the whole batch."""
    bad: set[str] = set()
    for item, message in made.messages:
        fault = contract.input.check(message["input"], "/input") if contract.input is not None else None
        if fault is not None:
            made.faults.append(item.fault("input-contract", f"{fault.pointer}: {fault.message} ({fault.code})"))
            bad.add(message["id"])
    while more := [
        each for each in made.messages if each[1]["id"] in bad or bad.intersection(each[1].get("after", ()))
    ]:
        for item, message in more:
            if message["id"] not in bad:
                said = f"{item.source} waits for what cannot be imported"
                made.faults.append(item.fault("unknown-dependency", said))
                bad.add(message["id"])
        made.messages = [each for each in made.messages if each not in more]


def _submit(made: Plan, env: Env) -> str:
    """Submit everything as one batch, whose id follows from what is in it; returns the verdict. Raises Invalid."""
    places = env.places()
    data = gestures.encode({"kind": "batch", "messages": [message for _, message in made.messages]})
    id = f"import-{hashlib.sha256(data).hexdigest()[:16]}"
    try:
        gestures.submit_bytes(places, Disk(), data, id)
    except CannotCreate as error:
        if error.code != "name-taken" or read_file(os.path.join(places.inbox, id + names.TASK)) != data:
            raise  # else the same import waits there already
    runs = roots.daemon_runs(places.root)
    look = partial(gestures.submit_verdict, places, id, data)
    verdict = gestures.verdict(look, VERDICT_SECONDS) if runs else gestures.Verdict("waiting")
    if verdict.word == "refused":
        raise verdict.error()
    if verdict.word == "waiting":
        env.say(f"{id} in inbox/, not judged yet: {why_waiting(runs)}")
    return verdict.word


def _report(made: Plan, env: Env, args: argparse.Namespace, word: str) -> None:
    for item, message in made.messages:
        line: dict[str, Any] = {"outcome": "made", "id": message["id"], "from": item.source, "file": item.place}
        line |= {"verdict": word} if not args.dry_run else {"message": message}
        line |= {"kept": sorted(item.context)} if item.context else {}
        env.out(line if env.json else json.dumps(message, ensure_ascii=True) if args.dry_run else message["id"])
    for item, id, same in made.already:
        if env.json:
            env.out({"outcome": "already", "id": id, "from": item.source, "file": item.place, "same": same})
        elif not same:
            env.say(f"{item.place}: {item.source} is here as {id}, and differs there now; it was left as it is")
    for item in made.left_out if env.json else ():
        env.out({"outcome": "left-out", "from": item.source, "file": item.place, "why": item.status})
    for fault in made.faults:
        if env.json:
            env.out({"outcome": "refused", "reason": fault.as_dict()})
        env.say(str(fault))
    _sum_up(made, env, "would be made" if args.dry_run else "made")


def _sum_up(made: Plan, env: Env, word: str) -> None:
    why = Counter(item.status for item in made.left_out)
    told = [f"{len(made.messages)} {word}", f"{len(made.already)} already there"]
    those = f" ({', '.join(f'{count} {status}' for status, count in why.items())})" if why else ""
    told.append(f"{len(made.left_out)} left out{those}")
    told.append(f"{len(made.faults)} refused")
    kept = sorted({name for item, _ in made.messages for name in item.context})
    env.say(", ".join(told) + (f"; kept as context: {', '.join(kept)}" if kept else ""))
