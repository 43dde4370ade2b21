"""taskdir export: the log in formats that other programs read (docs/interchange.md)."""

from __future__ import annotations

import argparse
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

from taskdir import checkpoint, logread, strictjson
from taskdir.cli.frame import Env
from taskdir.clock import Clock
from taskdir.documents import Event
from taskdir.errors import TaskdirError, Usage
from taskdir.interchange import cloudevents, spans
from taskdir.logread import Follower

HELP = """Print the log as CloudEvents, one a line, or as OpenTelemetry spans, one request of OTLP JSON a line: a trace
for each task that has ended, a span for each of its attempts. With --endpoint spans go to a collector by OTLP/HTTP
instead. Ids follow from the log, so exporting again makes nothing new. Exit code 1: the collector did not take them."""

BATCH = 512
"""So many spans, or a few more, go into one request."""
SECONDS = 30
"""How long a collector may take to answer."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("format", choices=("cloudevents", "otel"))
    parser.add_argument("--since-seq", type=int, default=1, metavar="N", help="cloudevents: start at event N")
    parser.add_argument("--endpoint", metavar="URL", help="otel: send to this collector, as http://localhost:4318")


def run(args: argparse.Namespace, env: Env) -> int:
    """Print, or send."""
    if args.since_seq < 1 or (args.since_seq > 1 and args.format == "otel"):
        raise Usage("usage", "--since-seq is 1 or more, and goes with cloudevents: a span needs its task's whole story")
    if args.endpoint and args.format != "otel":
        raise Usage("usage", "--endpoint goes with otel", hint="pipe the lines into a program that sends them")
    root = str(env.root())
    log = checkpoint.take(root, Clock().now()).log
    if args.format == "cloudevents":
        for event in _events(root, args.since_seq):
            env.out(strictjson.dumps(cloudevents.envelope(log, event)))
        return 0
    sent = 0
    for found in _requests(log, root):
        body = strictjson.dumps(spans.request(found, log))
        if args.endpoint:
            _send(args.endpoint, body.encode())
        else:
            env.out(body)
        sent += len(found)
    if args.endpoint and env.json:
        env.out({"sent": sent})
    env.say(f"{sent} spans" + (f" sent to {args.endpoint}" if args.endpoint else ""))
    return 0


def _events(root: str, since: int) -> Iterator[Event]:
    follower = Follower(root, logread.mark_before(logread.segments(root), since))
    for batch in follower.news():
        yield from (event for event in batch.events if event["seq"] >= since)
    if follower.damage is not None and not follower.damage.torn:
        logread.raise_damage(follower.damage)


def _requests(log: str, root: str) -> Iterator[list[spans.Span]]:
    """Yield lists of spans, those of a task together."""
    found: list[spans.Span] = []
    for task in spans.spans(log, _events(root, 1)):
        found += task
        if len(found) >= BATCH:
            yield found
            found = []
    if found:
        yield found


def _send(endpoint: str, body: bytes) -> None:
    """Post one request. Raises Usage, or TaskdirError when the collector does not take it."""
    parts = urllib.parse.urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise Usage("usage", "--endpoint is an http or https URL", hint="for example http://localhost:4318")
    url = endpoint.rstrip("/") if parts.path.strip("/") else endpoint.rstrip("/") + "/v1/traces"
    ask = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(ask, timeout=SECONDS) as answer:
            answer.read()
    except (urllib.error.URLError, OSError) as error:
        hint = "is a collector with OTLP/HTTP listening there?"
        raise TaskdirError("not-sent", f"the collector did not take the spans: {error}", path=url, hint=hint) from None
