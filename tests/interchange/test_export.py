"""taskdir export: CloudEvents and OpenTelemetry spans, each read back by its format's own library."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from faults.world import Countdown, World
from taskdir.cli import main
from taskdir.interchange import spans

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A log with a retry, a refused result, a dead letter that was redriven, a cancel, a dependency, a wait."""
    world = World(tmp_path_factory.mktemp("export"), Countdown())
    world.write("inbox/a.json", {"type": "count", "x-traceparent": PARENT, "max_attempts": 2})
    world.write("inbox/b.json", {"type": "count", "after": ["a"], "max_attempts": 1, "priority": 7})
    world.passes()
    for number, result in enumerate([{"status": "error", "error": {"message": "no"}, "retry": True}, "{", 7, None, 8]):
        world.clock.seconds += 1.5
        world.claim(f"w{number}")
        world.passes()
        if result is None:
            world.result(f"w{number}", {"status": "error", "error": {"code": "disk", "message": "full"}})
        elif result == "{":
            world.result(f"w{number}", result)
            world.passes()
            world.give_back(f"w{number}")
        else:
            world.result(f"w{number}", {"status": "ok", "output": result} if isinstance(result, int) else result)
        world.passes()
        if result is None:
            (world.root / "failed/b.json").rename(world.root / "inbox/b.json")
            world.passes()
    world.write("inbox/c.json", {"type": "echo"})
    world.write("inbox/s.json", {"kind": "state", "key": "head", "value": 1})
    world.write("inbox/d.json", {"type": "echo"})
    world.passes()
    world.write("inbox/stop.json", {"kind": "cancel", "task": "c"})
    world.passes()
    world.stop()
    return str(world.root)


def exported(capsys: pytest.CaptureFixture[str], root: str, *words: str, code: int = 0) -> list[str]:
    capsys.readouterr()
    assert main(["--root", root, "export", *words]) == code
    return capsys.readouterr().out.splitlines()


def test_cloudevents(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = exported(capsys, root, "cloudevents")
    logged = Path(root, "log.jsonl").read_text().splitlines()
    assert len(lines) == len(logged)
    ids = set()
    for line, event in zip(lines, map(json.loads, logged), strict=True):
        found = JSONFormat().read(CloudEvent, line)
        assert found.get_data() == event
        assert (found.get_type(), found.get_id()) == (f"taskdir.v1.{event['event']}", str(event["seq"]))
        assert found.get_time() is not None
        assert found.get_subject() == (event.get("id") or event.get("key") or event.get("by"))
        ids.add((found.get_source(), found.get_id()))
    assert len(ids) == len(lines)
    assert exported(capsys, root, "cloudevents", "--since-seq", "5") == lines[4:]


def parsed(line: str) -> ExportTraceServiceRequest:
    """Read OTLP JSON, in which ids are hexadecimal where the JSON of protobuf has base64; no unknown field passes."""

    def mend(value: Any) -> Any:
        if isinstance(value, list):
            return [mend(each) for each in value]
        if not isinstance(value, dict):
            return value
        hexes = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
        made = {name: mend(each) for name, each in value.items()}
        for name in hexes.keys() & made.keys():
            data = bytes.fromhex(made[name])
            assert len(data) == hexes[name]
            assert any(data)
            made[name] = base64.b64encode(data).decode()
        return made

    made = ExportTraceServiceRequest()
    json_format.ParseDict(mend(json.loads(line)), made)
    return made


def found_spans(request: ExportTraceServiceRequest) -> list[Span]:
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def about(span: Span) -> dict[str, Any]:
    return {each.key: each.value.int_value or each.value.string_value for each in span.attributes}


def test_spans(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = exported(capsys, root, "otel")
    request = parsed(line)
    every = found_spans(request)
    (resource,) = request.resource_spans
    assert resource.resource.attributes[0].value.string_value == "taskdir"
    lives = [about(span) for span in every if span.name.startswith("task")]
    ends = [(each["taskdir.id"], each["taskdir.outcome"]) for each in lives]
    assert ends == [("a", "done"), ("b", "failed"), ("b", "done"), ("c", "canceled")], "d has not ended"
    for span in every:
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
    story = [span for span in every if about(span)["taskdir.id"] == "a"]
    whole, attempts = story[0], story[1:]
    trace, above = PARENT.split("-")[1:3]
    assert {span.trace_id.hex() for span in story} == {trace}
    assert whole.parent_span_id.hex() == above
    assert {span.parent_span_id for span in attempts} == {whole.span_id}
    assert [about(span)["taskdir.outcome"] for span in attempts] == ["errored", "returned", "done"]
    codes = [span.status.code for span in attempts]
    assert codes == [Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET, Status.STATUS_CODE_OK]
    assert attempts[0].status.message == "error: no"
    assert [event.name for event in whole.events] == ["refused"]
    first, second = [span for span in every if about(span)["taskdir.id"] == "b" and span.name == "task count"]
    assert [(each.trace_id, each.span_id) for each in first.links] == [(whole.trace_id, whole.span_id)]
    assert [each.span_id for each in second.links] == [whole.span_id, first.span_id]
    ids = [span.span_id for span in every]
    assert len(set(ids)) == len(ids)


def test_spans_are_the_same_each_time(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exported(capsys, root, "otel") == exported(capsys, root, "otel")
    assert spans.span_id("log", "a", attempt=1) != spans.span_id("log", "a", life=1)
    assert spans.trace_id("log", "a") != spans.trace_id("other", "a")


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, str, bytes]], list[int]]]:
    """A collector on the loopback: where it is, what it was sent, and how it answers."""
    got: list[tuple[str, str, bytes]] = []
    answers = [200]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Content-Type"], body))
            self.send_response(answers[0])
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *about: Any) -> None:  # noqa: A002 - its name is the library's
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got, answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_sent_to_a_collector(
    root: str, collector: tuple[str, list[tuple[str, str, bytes]], list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, got, answers = collector
    assert exported(capsys, root, "otel", "--endpoint", url, "--json") == ['{"sent":9}']
    ((path, kind, body),) = got
    assert (path, kind) == ("/v1/traces", "application/json")
    assert len(found_spans(parsed(body.decode()))) == 9
    exported(capsys, root, "otel", "--endpoint", url + "/own/path")
    assert got[-1][0] == "/own/path"
    answers[0] = 503
    assert exported(capsys, root, "otel", "--endpoint", url, code=1) == []
    exported(capsys, root, "otel", "--endpoint", "http://127.0.0.1:1", code=1)


@pytest.mark.parametrize("words", ["otel --since-seq 2", "cloudevents --since-seq 0", "cloudevents --endpoint http://x",
                                   "otel --endpoint ftp://x"])  # fmt: skip
def test_what_makes_no_sense(root: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    exported(capsys, root, *words.split(), code=2)
