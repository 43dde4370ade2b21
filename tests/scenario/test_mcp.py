"""`taskdir mcp` as a client sees it: the SDK's own client, both transports, a real daemon, two agents at once."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.fetch import TOKENS
from support.live import ENV, PATIENCE, Root, taskdir, until
from taskdir import briefing, cli, strictjson, toolbox
from taskdir.places import Places

try:
    version("mcp")
except PackageNotFoundError:
    pytest.skip("NOT TESTED: the extra [mcp] is not installed", allow_module_level=True)

TOKEN = "a-token-for-these-tests"
BYTES_A_TOKEN = 3
"""Fewer than any tokenizer in use needs for English and JSON: a bound from above that needs none of them."""
CONTRACT = {
    "description": "count to n",
    "defaults": {"lease_seconds": 60},
    "input": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
    "output": {"type": "object", "required": ["sum"], "properties": {"sum": {"type": "integer"}}},
}


class Said(NamedTuple):
    bad: bool
    text: str

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    @property
    def code(self) -> str | None:
        return self.data["error"]["code"] if self.bad else None


Call = Callable[..., Awaitable[Said]]


class Served(NamedTuple):
    root: Root
    url: str
    server: subprocess.Popen[str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A root with its daemon and an HTTP server."""
    root = Root(tmp_path_factory.mktemp("mcp") / "root", queues=["review"], settle_seconds=0, scan_seconds=0.2)
    root.put("contracts/count.json", CONTRACT)
    with root:
        words = [sys.executable, "-m", "taskdir", "--root", str(root.path), "mcp", "--http", "0"]
        server = subprocess.Popen(words, env=ENV | {"TASKDIR_MCP_TOKEN": TOKEN}, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            entry = json.loads(server.stdout.readline())
            assert entry["headers"] == {"Authorization": f"Bearer {TOKEN}"}
            yield Served(root, entry["url"], server)
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()
            server.wait()
            server.stdout.close()


@asynccontextmanager
async def http_client(served: Served, mode: str = "auto") -> AsyncIterator[Call]:
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    async with (
        create_mcp_http_client(headers={"Authorization": f"Bearer {TOKEN}"}) as http,
        Client(streamable_http_client(served.url, http_client=http), mode=mode) as client,
    ):
        yield caller(client)


@asynccontextmanager
async def stdio_client(served: Served, mode: str = "auto") -> AsyncIterator[Call]:
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters

    words = ["-m", "taskdir", "--root", str(served.root.path), "mcp"]
    async with Client(StdioServerParameters(command=sys.executable, args=words, env=ENV), mode=mode) as client:
        yield caller(client)


def caller(client: Any) -> Call:
    async def call(name: str, **arguments: Any) -> Said:
        if name == "list":
            listed = await client.list_tools()
            return Said(False, json.dumps([tool.model_dump(by_alias=True, exclude_none=True) for tool in listed.tools]))
        result = await client.call_tool(name, arguments)
        (content,) = result.content
        return Said(result.is_error, content.text)

    return call


TRANSPORTS = {"stdio": stdio_client, "http": http_client}


async def good(call: Awaitable[Said]) -> dict[str, Any]:
    said = await call
    assert not said.bad, said.text
    return said.data


async def work(call: Call, agent: str, tasks: int) -> list[str]:
    """Claim, renew and finish so many tasks."""
    done = []
    for _ in range(tasks):
        task = await good(call("claim", agent=agent, wait_seconds=20))
        mine = {"agent": agent, "id": task["id"], "attempt": task["attempt"]}
        assert (await good(call("renew", **mine, note=f"{agent} was here")))["renewed"] is True
        said = await good(call("finish", **mine, output={"sum": sum(range(task["input"]["n"] + 1))}))
        assert said == {"verdict": "accepted"}
        done.append(task["id"])
    return done


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_two_agents_at_once(served: Served, transport: str, mode: str) -> None:
    """Each has a client of its own; both revisions of the protocol, with and without a handshake."""

    async def play() -> None:
        async with TRANSPORTS[transport](served, mode) as one, TRANSPORTS[transport](served, mode) as two:
            ids = [f"{transport}-{mode}-{number}" for number in range(8)]
            members = [{"id": id, "type": "count", "input": {"n": n}} for n, id in enumerate(ids)]
            batch = await good(one("submit", message={"kind": "batch", "messages": members}))
            assert batch["verdict"] == "accepted"
            waiting = asyncio.create_task(good(two("wait", ids=ids, wait_seconds=30)))
            done = await asyncio.gather(work(one, "ann", 4), work(two, "bob", 4))
            assert sorted([*done[0], *done[1]]) == ids
            assert await waiting == {"states": dict.fromkeys(ids, "done"), "open": []}
            record = await good(two("read", id=ids[3]))
            assert (record["output"], record["attempts"][0]["notes"].rstrip()) == (
                {"sum": 6},
                record["attempts"][0]["agent"] + " was here",
            )
            assert record["attempts"][0]["attempt"] == 1

    asyncio.run(play())
    ended = [event["id"] for event in served.root.events("done")]
    assert len(ended) == len(set(ended))


def test_a_claim_outlives_client_and_server(served: Served) -> None:
    """Nothing is kept in the session: claimed over HTTP, gone on with and finished over stdio."""

    async def play() -> None:
        async with http_client(served) as call:
            await good(call("submit", id="long", message={"type": "count", "input": {"n": 4}}, agent="boss"))
            task = await good(call("claim", agent="cat", wait_seconds=20))
        async with stdio_client(served) as call:
            again = await call("claim", agent="cat")
            assert (again.bad, again.code) == (True, "unfinished")
            assert "long attempt 1" in again.data["error"]["message"]
            until(lambda: served.root.events("claimed")[-1]["id"] == "long", "the claim in the log")
            seen = await good(call("read", id="long"))
            assert {name: seen[name] for name in task} == task
            assert (seen["state"], seen["agent"], seen["task"]["from"]) == ("claimed", "cat", "boss")
            assert "You hold long attempt 1" in (await call("describe", agent="cat")).text
            refused = await call("finish", agent="cat", id="long", attempt=1, output={"sum": "ten"})
            assert (refused.code, refused.data["error"]["pointer"]) == ("output-contract", "/output/sum")
            assert await good(call("finish", agent="cat", id="long", attempt=1, output={"sum": 10})) == {
                "verdict": "accepted"
            }
            late = await call("finish", agent="cat", id="long", attempt=1, output={"sum": 10})
            assert (late.code, "hint" in late.data["error"]) == ("claim-lost", True)

    asyncio.run(play())


def test_the_rest_of_a_life(served: Served) -> None:
    """Give back, errors with and without retry, a lease that nobody renews, the shared state, cancels and blocks."""

    async def play(call: Call) -> None:
        await good(
            call(
                "submit", id="odd", message={"type": "count", "input": {"n": 1}, "lease_seconds": 1, "queue": "review"}
            )
        )
        await good(call("submit", id="next", message={"type": "count", "input": {"n": 1}, "after": ["odd"]}))
        mine = {"agent": "dan", "id": "odd"}
        await good(call("claim", agent="dan", queue="review", wait_seconds=20))
        assert await good(call("give_back", **mine, attempt=1)) == {"given_back": True}
        task = await good(call("claim", agent="dan", queue="review", wait_seconds=20))
        until(lambda: served.root.events("expired"), "the end of a lease that nobody renews")
        assert (await call("renew", **mine, attempt=task["attempt"])).code == "claim-lost"
        task = await good(call("claim", agent="dan", queue="review", wait_seconds=20))
        assert "outlived its lease" in task["last_error"]["message"]
        said = await good(call("finish", **mine, attempt=task["attempt"], error="no luck", code="no-luck", retry=False))
        assert said == {"verdict": "accepted"}
        ended = await good(call("wait", ids=["odd", "next", "nobody"], wait_seconds=30))
        assert ended["states"] == {"odd": "failed", "next": "queued", "nobody": "unknown"}
        assert (ended["blocked_by"], ended["open"]) == ({"next": ["odd"]}, [])
        assert (await good(call("read", id="odd")))["error"]["code"] == "no-luck"
        await good(call("submit", message={"kind": "cancel", "task": "odd", "dependants": True}))
        await good(call("submit", message={"kind": "state", "key": "head", "value": 7}, agent="dan"))
        assert ((await good(call("read", key="head")))["value"], served.root.events("set")[-1]["from"]) == (7, "dan")
        assert await good(call("read", key="tail")) == {"key": "tail", "version": 0}
        await good(call("submit", message={"kind": "note", "message": "all is well"}))
        assert await good(call("claim", agent="dan")) == {"task": None}

    async def on_http() -> None:
        async with http_client(served) as call:
            await play(call)

    asyncio.run(on_http())


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("claim", {"agent": "ann", "wait_secondz": 5}, "unknown-field"),
    ("claim", {}, "missing-field"),
    ("claim", {"agent": "Ann!"}, "name-grammar"),
    ("claim", {"agent": "ann", "queue": "nowhere"}, "unknown-queue"),
    ("claim", {"agent": "ann", "queue": "@bob"}, "wrong-queue"),
    ("claim", {"agent": "ann", "wait_seconds": 3600}, "out-of-range"),
    ("renew", {"agent": "ann", "id": "none", "attempt": 1}, "claim-lost"),
    ("renew", {"agent": "../x", "id": "none", "attempt": 1}, "name-grammar"),
    ("finish", {"agent": "ann", "id": "none", "attempt": "1", "output": 1}, "wrong-type"),
    ("finish", {"agent": "ann", "id": "none", "attempt": 1}, "usage"),
    ("finish", {"agent": "ann", "id": "none", "attempt": 1, "output": 1, "error": "x"}, "usage"),
    ("finish", {"agent": "ann", "id": "none", "attempt": 1, "output": 1, "retry": True}, "usage"),
    ("give_back", {"agent": "ann", "id": "none", "attempt": 1}, "claim-lost"),
    ("submit", {"message": {"type": "nope"}}, "unknown-type"),
    ("submit", {"message": {"type": "count", "input": {"n": "x"}}}, "input-contract"),
    ("submit", {"message": {"type": "echo"}, "id": "../x"}, "name-grammar"),
    ("read", {"id": "nobody"}, "unknown-task"),
    ("read", {"key": "../taskdir"}, "name-grammar"),
    ("read", {}, "usage"),
    ("clam", {}, "unknown-tool"),
]


def test_errors_tell_the_rule_and_the_next_step(served: Served) -> None:
    """They are results of the tool, which a model reads, and no errors of the protocol, which it may never see."""

    async def play() -> dict[str, dict[str, Any]]:
        async with http_client(served) as call:
            found = {f"{name} {words}": await call(name, **words) for name, words, _ in BAD}
            return {
                name: said.data.get("error", {}) if said.bad else {"code": said.text} for name, said in found.items()
            }

    told = asyncio.run(play())
    assert [error["code"] for error in told.values()] == [code for *_, code in BAD], told
    assert [
        name for name, error in told.items() if not {"hint", "expected"} & {*error} and error["code"] != "usage"
    ] == []


def test_who_may_ask(served: Served) -> None:
    """The token, the Host and the Origin are all wanted; the address is loopback alone."""
    name = served.url.removeprefix("http://").partition("/")[0]
    right = {"Authorization": f"Bearer {TOKEN}", "Host": name}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})

    def status(**headers: str) -> int:
        asked = http.client.HTTPConnection(name, timeout=PATIENCE)
        told = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **right, **headers}
        with contextlib.closing(asked):
            asked.request("POST", "/mcp", body, {name: value for name, value in told.items() if value})
            return asked.getresponse().status

    assert name.startswith("127.0.0.1:")
    assert status() == 200
    assert status(Origin=f"http://{name}") == 200
    assert status(Authorization="") == 401
    assert status(Authorization=f"Bearer {TOKEN}x") == 401
    assert status(Authorization=f"Basic {TOKEN}") == 401
    assert status(Host="evil.example") == 421
    assert status(Host=f"127.0.0.1.evil.example:{name.partition(':')[2]}") == 421
    assert status(Origin="http://evil.example") == 403
    assert status(Origin="null") == 403


def tokens(text: str) -> list[int]:
    """Count tokens from above, and by the tokenizer of a real model where it was fetched."""
    bound = -(-len(text.encode()) // BYTES_A_TOKEN)
    module = TOKENS / "node_modules/gpt-tokenizer/cjs/encoding/o200k_base.js"
    if not module.exists() or shutil.which("node") is None:
        return [bound]
    script = "const t = require(process.argv[1]); console.log(t.countTokens(require('fs').readFileSync(0, 'utf8')))"
    words = ["node", "-e", script, str(module)]
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60, check=True)
    return [bound, int(done.stdout)]


def test_what_a_model_reads_is_short(served: Served, tmp_path: Path) -> None:
    """The list of tools has less than 1,500 tokens, and describe less than 1,000, however large the root is."""

    async def listed() -> str:
        async with http_client(served) as call:
            return (await call("list")).text

    sent = json.loads(asyncio.run(listed()))
    assert [tool["name"] for tool in sent] == [*toolbox.TOOLS]
    assert len(sent) <= 8
    assert all(tool["description"] and tool["inputSchema"]["additionalProperties"] is False for tool in sent)
    shown = tokens(strictjson.dumps(sent))
    assert max(shown) < 1500, shown
    large = Root(tmp_path / ("deep" * 20) / "root", queues=[f"queue-{number}" for number in range(60)])
    about = {"description": "word \x1b[31m " * 100, "input": {"properties": {f"member{n}": {} for n in range(90)}}}
    for number in range(200):
        large.put(f"contracts/type-{number}.json", about)
    page = briefing.page(Places(str(large.path)), "ann")
    assert max(tokens(page)) < 1000, tokens(page)
    assert "more in contracts/" in page
    assert "\x1b" not in page
    small = briefing.page(Places(str(Root(tmp_path / "small").path)), None)
    assert "NO DAEMON RUNS" in small
    assert "echo: anything in, anything out" in small


def test_the_sketch_of_types(served: Served) -> None:
    assert "count: count to n (input {n*}, output {sum*})" in [*briefing.types(Places(str(served.root.path)))]


def test_large_answers_name_their_file(served: Served) -> None:
    async def play() -> dict[str, Any]:
        async with http_client(served) as call:
            await good(call("submit", id="big", message={"type": "echo", "input": "x" * 60_000}))
            task = await good(call("claim", agent="eve", wait_seconds=20))
            await good(call("finish", agent="eve", id="big", attempt=1, output=None))
            return task

    task = asyncio.run(play())
    assert (task["too_large"], Path(task["file"]).parent.name) == (["input"], "eve")


def test_stdio_ends_with_its_input(served: Served) -> None:
    assert taskdir("mcp", root=served.root.path, stdin=subprocess.DEVNULL).returncode == 0


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert cli.main(["mcp", "--root", str(tmp_path)]) == 78
    assert "pip install 'taskdir[mcp]'" in capsys.readouterr().err


def test_a_bad_token_and_a_taken_port(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    port = served.url.split(":")[2].partition("/")[0]
    taken = taskdir("mcp", "--http", port, root=served.root.path)
    assert (taken.returncode, "[port-taken]" in taken.stderr) == (73, True)
    monkeypatch.setenv("TASKDIR_MCP_TOKEN", "short")
    assert cli.main(["mcp", "--http", "0", "--root", str(served.root.path)]) == 78


def test_a_call_that_is_given_up_takes_nothing(served: Served) -> None:
    """Whoever cancels a waiting claim gets no task behind its back."""

    async def play() -> None:
        async with stdio_client(served) as call:
            waiting = asyncio.ensure_future(call("claim", agent="fay", wait_seconds=60))
            await asyncio.to_thread(until, (served.root.path / "claimed/fay").exists, "the first look")
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            assert (await call("describe")).bad is False  # the cancel was sent before it
            await good(call("submit", id="spare", message={"type": "echo"}))
            task = await good(call("claim", agent="gus", wait_seconds=20))
            assert task["id"] == "spare"
            await good(call("finish", agent="gus", id="spare", attempt=1, output=None))

    asyncio.run(play())
