"""taskdir show: one task's story, whatever its state (SPEC sections 3 and 6.6)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Any

from taskdir import facts, graph, story, strictjson
from taskdir.cli import words
from taskdir.cli.frame import Env, plain
from taskdir.clock import Clock
from taskdir.documents import parse_timestamp
from taskdir.errors import Missing
from taskdir.nearby import nearby

HELP = """Show what is known of tasks: state, history, output or error, and why they wait. With --json, a record each,
whatever the state. Exit code 66: nobody knows an id."""

_NOTES = 20
"""So many lines of an attempt's notes are shown."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="the task, or the message that was refused")
    parser.add_argument("--graph", choices=sorted(graph.WRITERS), help="the workflow around the tasks, as text to draw")


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
            elif not args.graph:
                env.out(found if env.json else plain("\n".join(_lines(known, found))))
        if args.graph and (drawn := graph.workflow(known, args.ids, graph.LIMITS[args.graph])).nodes:
            env.out(asdict(drawn) if env.json else graph.WRITERS[args.graph](drawn).rstrip())
        hint = nearby(unknown[0], story.known_ids(known, unknown[0])) if unknown else None
    if unknown:
        said = f"nobody knows a task of the id {', '.join(unknown[:5])}"
        raise Missing("unknown-task", said, hint=hint or "`taskdir list` shows all")
    return 0


def _lines(known: facts.Facts, found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['id']}  {found['state']}"
    if "task" in found:
        yield from _task(known, found)
    elif found["state"] == "submitted":
        yield f"  waits in inbox/: {'not judged yet' if known.live else 'no daemon is running'}"
    elif found["kind"] == "message":
        yield "  a message that was carried out: a batch, cancel, note or change of state; `taskdir log` has it"
    if "reason" in found:
        yield from _reason(found["id"], found["reason"])


def _task(known: facts.Facts, found: dict[str, Any]) -> Iterator[str]:
    task = found["task"]
    yield f"  type {task['type']}, queue {task['queue']}, priority {task['priority']}"
    if task.get("after"):
        yield f"  after {words.some(task['after'][:8], len(task['after']))}"
    if task.get("resources"):
        yield f"  needs {words.some(task['resources'][:8], len(task['resources']))}"
    if waiters := story.waiters(known, found["id"]):
        yield f"  {words.count(waiters, 'task')} wait{'s' if waiters == 1 else ''} for it"
    if "x-waiting" in found:
        yield f"  now: {words.waits(found['x-waiting'])}" + ("" if known.live else "; no daemon is running")
    yield f"  input: {_short(task['input'])}"
    yield from (f"  {name}: {_short(found[name])}" for name in ("output", "error") if name in found)
    yield "  history:"
    yield from _timeline(story.timeline(known, found["id"]))
    yield f"    every event: taskdir log --id {found['id']}"


def _timeline(steps: list[dict[str, Any]]) -> Iterator[str]:
    """Tell what happened, one line an event: when, how long after the one before, what, by whom."""
    before = parse_timestamp(steps[0]["time"])
    for step in steps:
        at = parse_timestamp(step["time"])
        later = f"+{words.age(max(0.0, at - before))}" if step is not steps[0] else ""
        who = f"  #{step['attempt']} {step['agent']}" if "attempt" in step else ""
        error = f": {step['error']['code']}: {step['error']['message']}" if "error" in step else ""
        yield f"    {step['time'][:19].replace('T', ' ')} {later:>8}  {step['event']}{who}{error}"
        yield from (f"{'':31}  {line}" for line in step.get("notes", "").splitlines()[:_NOTES])
        before = at


def _reason(id: str, told: dict[str, Any]) -> Iterator[str]:
    where = f" at {told['pointer']}" if told.get("pointer") else ""
    yield f"  {told['message']}{where} [{told['code']}]"
    yield from (f"  {name}: {told[name]}" for name in ("expected", "hint") if name in told)
    yield f"  repair: edit rejected/{id}.json, then mv rejected/{id}.json inbox/"


def _short(value: Any) -> str:
    text = strictjson.dumps(value)
    return text if len(text) <= 400 else f"{text[:400]}… ({len(text)} bytes; --json shows all)"
