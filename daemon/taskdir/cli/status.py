"""taskdir status: how the root is doing, on one screen."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from taskdir import facts, overview
from taskdir.cli.frame import Env, plain
from taskdir.clock import Clock

HELP = """Say how the root is doing: daemon, queues, agents, failures, contracts, log. Works without a daemon."""

_SHOWN = 12
"""So many queues or agents fit on a screen; --json has all."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: none of its own."""


def run(args: argparse.Namespace, env: Env) -> int:
    """Print the overview."""
    now = Clock().now()
    with closing(facts.open_facts(str(env.root()), now)) as known:
        found = overview.overview(known, now)
    if env.json:
        env.out(found)
    else:
        for line in _lines(found):
            env.out(plain(line))
    return 0


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['root']}: {_daemon(found['daemon'])}"
    yield "tasks     " + ", ".join(f"{count} {state}" for state, count in found["tasks"].items())
    yield f"messages  {found['inbox']} in inbox/, {found['rejected']} refused"
    for label, told in _titled("queues", [_queue(each) for each in found["queues"]]):
        yield f"{label:8}  {told}"
    for label, told in _titled("agents", [_agent(each) for each in found["agents"]]):
        yield f"{label:8}  {told}"
    for label, told in _titled("failures", [f"{each['id']}: {each['message']}" for each in found["failures"]]):
        yield f"{label:8}  {told}"
    yield f"contracts {found['contracts']['good']} in use"
    for bad in found["contracts"]["bad"]:
        at = f" at {bad['pointer']}" if bad.get("pointer") else ""
        yield f"  BAD     {bad['file']}{at}: {bad.get('message', 'cannot be read')} [{bad['code']}]"
    if "settings" in found:
        yield f"  BAD     taskdir.json: {found['settings']['message']} [{found['settings']['code']}]"
    log = found["log"]
    yield f"log       seq {log['seq']}, {_size(log['bytes'])} in {log['segments']} segments"
    if "damage" in found:
        torn = found["damage"]["torn"]
        yield f"  {'torn' if torn else 'DAMAGED'} at seq {found['damage']['seq']}: `taskdir check` tells more"


def _titled(title: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines[:_SHOWN]):
        yield title if number == 0 else "", line
    if len(lines) > _SHOWN:
        yield "", f"… and {len(lines) - _SHOWN} more"


def _daemon(told: dict[str, Any]) -> str:
    if not told["running"]:
        return "no daemon is running"
    about = ", ".join(f"{name} {told[name]}" for name in ("pid", "host", "version") if name in told)
    return f"a daemon runs{f' ({about})' if about else ''}" + (f" since {told['started']}" if "started" in told else "")


def _queue(told: dict[str, Any]) -> str:
    delayed = f", {told['delayed']} of them in backoff" if told["delayed"] else ""
    oldest = f", the oldest {_age(told['oldest_seconds'])}" if "oldest_seconds" in told else ""
    return f"{told['queue']}: {told['depth']} waiting{delayed}{oldest}"


def _agent(told: dict[str, Any]) -> str:
    held = [f"{each['id']} #{each['attempt']} for {_age(each['seconds'])}" for each in told["holds"]]
    return f"{told['agent']}: {', '.join(held) or 'idle'}"


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _size(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
