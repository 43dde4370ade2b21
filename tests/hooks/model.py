"""A language model's stand-in on loopback: asks for one tool after the other, then says that it is done.

It speaks the wire format of each vendor's API as far as their tools need; what it was told, it keeps.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Asked = tuple[str, dict[str, Any]]
"""A tool's name and its input."""


class Model(NamedTuple):
    """A running stand-in: where it answers, and the requests that it got, as text."""

    url: str
    told: list[str]


@contextmanager
def model(vendor: str, tools: list[Asked]) -> Iterator[Model]:
    """Run a stand-in that asks for these tools in order."""
    told: list[str] = []
    left = [*tools]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *told: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(200, b"")

        def do_GET(self) -> None:
            self.answer(404, b"")

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            has_tools = bool(json.loads(text or "{}").get("tools"))
            if has_tools:
                told.append(text)
            asked = left.pop(0) if left and has_tools else None
            self.answer(200, SPEAKS[vendor](asked, len(told)))

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Model(f"http://127.0.0.1:{server.server_address[1]}", told)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def claude(asked: Asked | None, number: int) -> bytes:
    """Answer as the Messages API does."""
    begin: dict[str, Any] = {"type": "text", "text": ""}
    delta: dict[str, Any] = {"type": "text_delta", "text": "all done"}
    if asked is not None:
        begin = {"type": "tool_use", "id": f"toolu_{number}", "name": asked[0], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(asked[1])}
    head: dict[str, Any] = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": "stand-in",
        "content": [],
    }
    head |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
    end = {"stop_reason": "tool_use" if asked else "end_turn", "stop_sequence": None}
    return _events(
        {"type": "message_start", "message": head},
        {"type": "content_block_start", "index": 0, "content_block": begin},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    )


def codex(asked: Asked | None, number: int) -> bytes:
    """Answer as the Responses API does."""
    name = f"r{number}"
    item: dict[str, Any] = {"type": "message", "id": name, "role": "assistant"}
    item |= {"content": [{"type": "output_text", "text": "all done"}]}
    if asked is not None:
        item = {"type": "function_call", "id": name, "call_id": name, "name": asked[0]}
        item |= {"arguments": json.dumps(asked[1])}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    whole = {"id": name, "object": "response", "status": "completed", "output": [item], "usage": usage}
    return _events(
        {"type": "response.created", "response": {"id": name}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    )


def gemini(asked: Asked | None, number: int) -> bytes:
    """Answer as streamGenerateContent does."""
    part: dict[str, Any] = {"text": "all done"}
    if asked is not None:
        part = {"functionCall": {"name": asked[0], "args": asked[1]}}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    return f"data: {json.dumps({'candidates': [candidate]})}\r\n\r\n".encode()


SPEAKS = {"claude": claude, "codex": codex, "gemini": gemini}


def _events(*events: dict[str, Any]) -> bytes:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
