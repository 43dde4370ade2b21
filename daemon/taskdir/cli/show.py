"""taskdir show: one task's story, whatever its state (SPEC sections 3 and 6.6)."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import Any

from taskdir import facts, story, strictjson
from taskdir.cli.frame import Env, plain
from taskdir.clock import Clock
from taskdir.errors import Missing
from taskdir.nearby import nearby

HELP = """Show what is known of tasks: state, attempts, output or error, and why they wait. With --json, a record each,
whatever the state. Exit code 66: nobody knows an id."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="the task, or the message that was refused")


def run(args: argparse.Namespace, env: Env) -> int:
    """Print each story, and complain about unknown ids at the end."""
    now, unknown = Clock().now(), []
    with closing(facts.open_facts(str(env.root()), now)) as known:
        if known.damage is not None and not known.damage.torn:
            env.say(f"the log is damaged at seq {known.damage.seq}: no more is known; see `taskdir check`")
        for id in args.ids:
            found = story.story(known, id, now)
            if found is None:
                unknown.append(id)
            else:
                env.out(found if env.json else plain("\n".join(_lines(found, known.live))))
        hint = nearby(unknown[0], story.known_ids(known, unknown[0])) if unknown else None
    if unknown:
        said = f"nobody knows a task of the id {', '.join(unknown[:5])}"
        raise Missing("unknown-task", said, hint=hint or "`taskdir list` shows all")
    return 0


def _lines(found: dict[str, Any], live: bool) -> list[str]:
    lines = [f"{found['id']}  {found['state']}"]
    if "task" in found:
        task = found["task"]
        lines.append(f"  type {task['type']}, queue {task['queue']}, priority {task['priority']}")
    if "x-waiting" in found:
        lines.append(f"  waits: {_waiting(found['x-waiting'], live)}")
    if found["state"] == "submitted":
        lines.append(f"  waits in inbox/: {'not judged yet' if live else 'no daemon is running'}")
    if found["kind"] == "message":
        lines.append("  a message that was carried out: a batch, cancel or note; `taskdir log` has it")
    if "task" in found:
        lines.append(f"  input: {_short(found['task']['input'])}")
    ended = [name for name in ("output", "error") if name in found and "reason" not in found]
    lines += [f"  {name}: {_short(found[name])}" for name in ended]
    for attempt in found.get("attempts", ()):
        lines += _attempt(attempt)
    if "reason" in found:
        lines += _reason(found["id"], found["reason"])
    return lines


def _waiting(told: dict[str, Any], live: bool) -> str:
    if told["why"] == "backoff":
        return f"backoff until {told['until']}, {told['seconds']:.0f} s from now"
    place = f"place {told['position']} of {told['of']} in the line of {told['queue']}"
    offered = f", offered as {told['offer']}" if "offer" in told else ", not offered yet"
    return place + offered + ("" if live else "; no daemon is running")


def _attempt(told: dict[str, Any]) -> list[str]:
    end = f"{told['outcome']} {told['ended']}" if "outcome" in told else "holds it"
    error = f": {told['error']['code']}: {told['error']['message']}" if "error" in told else ""
    lines = [f"  attempt {told['attempt']}: {told['agent']}, claimed {told['claimed']}, {end}{error}"]
    return lines + [f"    {line}" for line in told.get("notes", "").splitlines()[:20]]


def _reason(id: str, told: dict[str, Any]) -> list[str]:
    where = f" at {told['pointer']}" if told.get("pointer") else ""
    lines = [f"  {told['message']}{where} [{told['code']}]"]
    lines += [f"  {name}: {told[name]}" for name in ("expected", "hint") if name in told]
    return [*lines, f"  repair: edit rejected/{id}.json, then mv rejected/{id}.json inbox/"]


def _short(value: Any) -> str:
    text = strictjson.dumps(value)
    return text if len(text) <= 400 else f"{text[:400]}… ({len(text)} bytes; --json shows all)"
