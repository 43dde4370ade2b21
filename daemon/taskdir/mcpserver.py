"""The tools of ``toolbox`` as an MCP server, over stdio or loopback HTTP. Only this module imports the SDK, and late.

Nothing is kept between calls, so any number of clients may share one server, and a server may be started anew at any
time. Over HTTP whoever asks needs the bearer token, and the Host and Origin headers must name this very server: else a
web page could reach it by a name of its own that resolves to 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import hmac
import signal
import socket
from typing import TYPE_CHECKING, Any

from taskdir import __version__, strictjson, toolbox
from taskdir.errors import CannotCreate, ConfigError, TaskdirError
from taskdir.toolbox import TOOLS, Answer, Toolbox

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from starlette.types import ASGIApp, Receive, Scope, Send

HOST = "127.0.0.1"
PATH = "/mcp"
_PAUSES = (0.01, 0.25)
"""Seconds between two looks of a call that waits: the first and the longest."""


def check_installed() -> None:
    """Raise ConfigError when the extra is missing."""
    from importlib.util import find_spec

    if find_spec("mcp") is None:
        told = "the MCP SDK is not installed"
        raise ConfigError("no-mcp", told, hint="pip install 'taskdir[mcp]'")


def serve_stdio(root: str) -> None:
    """Serve one client on stdin and stdout until stdin ends."""
    import anyio
    from mcp.server.stdio import stdio_server

    server = _server(Toolbox(root))

    async def serve() -> None:
        async with stdio_server() as (reader, writer):
            await server.run(reader, writer, server.create_initialization_options())

    anyio.run(serve)


def listen(port: int) -> socket.socket:
    """Return a socket that listens on the loopback interface; port 0 is any. Raises CannotCreate."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        told = f"cannot listen on {HOST}:{port}: {error.strerror}"
        raise CannotCreate("port-taken", told, hint="name another port, or 0 for any") from None


def serve_http(root: str, listening: socket.socket, token: str) -> None:
    """Serve any number of clients on a listening socket until SIGTERM or SIGINT."""
    before = signal.signal(signal.SIGTERM, _leave)  # uvicorn drains first, then raises the signal again for us
    import uvicorn

    app = _app(Toolbox(root), listening.getsockname()[1], token)
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def tool_list() -> list[dict[str, Any]]:
    """Return what a client gets when it asks for the tools."""
    return [
        {"name": name, "description": tool.about, "inputSchema": tool.schema()}
        | ({"annotations": {"readOnlyHint": True}} if tool.reads else {})
        for name, tool in TOOLS.items()
    ]


def _server(tools: Toolbox) -> Server[Any]:
    import mcp_types as types
    from mcp.server.lowlevel import Server

    listed = types.ListToolsResult.model_validate({"tools": tool_list()})

    async def on_list(_context: Any, _params: Any) -> types.ListToolsResult:
        return listed

    async def on_call(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            answer, bad = await _answer(tools, params.name, params.arguments or {}), False
        except TaskdirError as fault:
            answer, bad = toolbox.error(fault), True
        except OSError as fault:
            named = str(fault.filename) if fault.filename else None
            answer, bad = toolbox.error(TaskdirError("os-error", fault.strerror or str(fault), path=named)), True
        text = answer if isinstance(answer, str) else strictjson.dumps(answer)
        return types.CallToolResult(content=[types.TextContent(text=text)], is_error=bad)

    return Server("taskdir", version=__version__, on_list_tools=on_list, on_call_tool=on_call)


async def _answer(tools: Toolbox, name: str, arguments: dict[str, Any]) -> Answer:
    """Run a tool in threads, a look each; between them nothing is held up, and a client may cancel."""
    import anyio
    from anyio import to_thread

    steps, (pause, longest) = tools.call(name, arguments), _PAUSES

    def look() -> tuple[bool, Answer]:
        try:
            next(steps)
        except StopIteration as stop:  # it must not leave a thread
            return True, stop.value
        return False, ""

    while not (found := await to_thread.run_sync(look))[0]:
        await anyio.sleep(pause)
        pause = min(pause * 1.2, longest)
    answer: Answer = found[1]
    return answer


def _app(tools: Toolbox, port: int, token: str) -> ASGIApp:
    from mcp.server.transport_security import TransportSecuritySettings

    names = [f"{host}:{port}" for host in (HOST, "localhost")]
    security = TransportSecuritySettings(allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names])
    app = _server(tools).streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, json_response=True, transport_security=security
    )
    return _with_token(app, token)


def _with_token(app: ASGIApp, token: str) -> ASGIApp:
    """Refuse every request without the token, before anything else looks at it."""
    wanted = f"Bearer {token}".encode()

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) == 1 and hmac.compare_digest(given[0], wanted):
            await app(scope, receive, send)
            return
        body = b'{"error":{"code":"no-token","message":"the bearer token is missing or wrong"}}\n'
        headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return checked
