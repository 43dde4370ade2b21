"""taskdir status: how the root is doing, on one screen."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from taskdir import facts, overview, roots, terminal
from taskdir.cli import words
from taskdir.cli.frame import Env, plain
from taskdir.clock import Clock
from taskdir.errors import NoDaemon
from taskdir.terminal import Table

HELP = """Say how the root is doing: daemon, queues, agents, what is blocked and by what, failures, contracts, shared
state, log, disk. Works without a daemon; with --require-daemon its absence is exit code 69, for health checks."""

_SHOWN = 6
"""So many rows of one kind fit on a screen; --json has all."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--require-daemon", action="store_true", help="exit code 69 when no daemon runs here")


def run(args: argparse.Namespace, env: Env) -> int:
    """Print the overview."""
    code = NoDaemon.exit if args.require_daemon and not roots.daemon_runs(str(env.root())) else 0
    now = Clock().now()
    with closing(facts.open_facts(str(env.root()), now)) as known:
        found = overview.overview(known, now)
    if env.json:
        env.out(found)
        return code
    parts = list(_parts(found))
    if terminal.has_tables(sys.stdout):
        terminal.draw(sys.stdout, map(_plain, parts))
        return code
    for part in map(_plain, parts):
        for line in [part] if isinstance(part, str) else _flat(part):
            env.out(line)
    return code


def _plain(part: str | Table) -> str | Table:
    """Take control characters out of what agents wrote."""
    if isinstance(part, str):
        return plain(part)
    return Table(part.title, part.heads, [[plain(cell) for cell in row] for row in part.rows], part.style)


def _flat(table: Table) -> Iterator[str]:
    """Write a table as lines: the title before the first, the first cell as a heading of the rest."""
    for number, (first, *rest) in enumerate(table.rows):
        yield f"{table.title if number == 0 else '':9} {first}: " + ", ".join(cell for cell in rest if cell)


def _parts(found: dict[str, Any]) -> Iterator[str | Table]:
    yield f"{found['root']}: {_daemon(found['daemon'])}"
    yield "tasks     " + ", ".join(f"{count} {state}" for state, count in found["tasks"].items())
    yield f"messages  {found['inbox']} in inbox/, {found['rejected']} refused"
    queues = sorted(found["queues"], key=lambda told: -int(told["depth"]))
    agents = sorted(found["agents"], key=lambda told: -len(told["holds"]))
    yield from _table("queues", ("queue", "waiting", "oldest", "not ready"), map(_queue, queues))
    yield from _table("agents", ("agent", "holds", "benched"), map(_agent, agents))
    yield from _table("resources", ("resource", "held", "waiting"), map(_resource, found["resources"]))
    blocked = found["blocked"]
    if blocked["tasks"]:
        yield f"blocked   {words.count(blocked['tasks'], 'task')} by what failed or was canceled: redrive or cancel it"
    yield from _table("", ("cause", "state", "blocks"), map(_cause, blocked["by"]))
    failures = ([each["id"], each.get("message", "")] for each in found["failures"])
    yield from _table("failures", ("task", "error"), failures)
    yield from _contracts(found)
    if found["state"]["keys"]:
        latest = [f"{each['key']} v{each['version']}" for each in found["state"]["latest"]]
        yield f"state     {words.count(found['state']['keys'], 'key')}, changed last: {', '.join(latest)}"
    log, disk = found["log"], found["disk"]
    yield f"log       seq {log['seq']}, {words.size(log['bytes'])} in {words.count(log['segments'], 'segment')}"
    yield f"disk      {words.size(disk['free_bytes'])} free of {words.size(disk['bytes'])}"
    if "damage" in found:
        torn = found["damage"]["torn"]
        yield f"  {'torn' if torn else 'DAMAGED'} at seq {found['damage']['seq']}: `taskdir check` tells more"


def _table(title: str, heads: tuple[str, ...], rows: Iterator[list[str]]) -> Iterator[str | Table]:
    """Make a table of at most so many rows, nothing when there is none."""
    all_rows = list(rows)
    if all_rows:
        yield Table(title, heads, list(all_rows[:_SHOWN]))
    if len(all_rows) > _SHOWN:
        yield f"          … and {len(all_rows) - _SHOWN} more"


def _contracts(found: dict[str, Any]) -> Iterator[str]:
    keys = f", {found['contracts']['keys']} for keys of the state" if found["contracts"]["keys"] else ""
    yield f"contracts {found['contracts']['good']} in use{keys}"
    for bad in found["contracts"]["bad"]:
        at = f" at {bad['pointer']}" if bad.get("pointer") else ""
        yield f"  BAD     {bad['file']}{at}: {bad.get('message', 'cannot be read')} [{bad['code']}]"
    if "settings" in found:
        yield f"  BAD     taskdir.json: {found['settings']['message']} [{found['settings']['code']}]"


def _daemon(told: dict[str, Any]) -> str:
    if not told["running"]:
        return "no daemon is running"
    about = ", ".join(f"{name} {told[name]}" for name in ("pid", "host", "version") if name in told)
    return f"a daemon runs{f' ({about})' if about else ''}" + (f" since {told['started']}" if "started" in told else "")


def _queue(told: dict[str, Any]) -> list[str]:
    oldest = f"the oldest {words.age(told['oldest_seconds'])}" if "oldest_seconds" in told else ""
    said = {"delayed": "asleep", "blocked": "blocked", "stalled": "for a resource"}
    but = [f"{told[name]} {word}" for name, word in said.items() if told[name]]
    return [told["queue"], f"{told['depth']} waiting", oldest, ", ".join(but)]


def _agent(told: dict[str, Any]) -> list[str]:
    rest = f"benched for {words.age(told['benched_seconds'])} more" if "benched_seconds" in told else ""
    held = [_held(each) for each in told["holds"]]
    return [told["agent"], words.some(held[:3], len(held)) or ("" if rest else "idle"), rest]


def _held(told: dict[str, Any]) -> str:
    renewed = f", renewed {words.age(told['renewed_seconds'])} ago" if "renewed_seconds" in told else ""
    return f"{told['id']} #{told['attempt']} for {words.age(told['seconds'])}{renewed}"


def _resource(told: dict[str, Any]) -> list[str]:
    held = f"held by {words.some(told['held_by'][:3], len(told['held_by']))}" if told["held_by"] else "free"
    of = f" ({len(told['held_by'])} of {told['capacity']})" if told["capacity"] > 1 else ""
    return [told["resource"], held + of, f"{told['waiting']} waiting" if told["waiting"] else ""]


def _cause(told: dict[str, Any]) -> list[str]:
    return [told["id"], told["state"], f"blocks {words.count(told['tasks'], 'task')}"]
