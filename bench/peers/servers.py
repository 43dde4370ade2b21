"""Peers that are servers: beanstalkd, Redis Streams, RQ, PostgreSQL, on loopback or a socket in their home."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from bench.peers import Client, Peer, Skip, need, program

PATIENCE = 20.0
"""Seconds that a server may take to come up or to end."""


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(Peer):
    """A server process, ended by its own process id."""

    ends_by = signal.SIGTERM
    _process: subprocess.Popen[bytes] | None = None

    def spawn(self, argv: list[str], up: Callable[[], object], **options: Any) -> None:
        """Start the server and wait until ``up`` no longer raises OSError."""
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL, **options)  # fmt: skip
        until = time.monotonic() + PATIENCE
        while True:
            if self._process.poll() is not None:
                raise Skip(f"{argv[0]} ended at once, with {self._process.returncode}")
            try:
                up()
            except OSError:
                if time.monotonic() > until:
                    self.stop()
                    raise Skip(f"{argv[0]} did not come up") from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End the server, the hard way if it must be."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(self.ends_by)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _connects(port: int) -> Callable[[], object]:
    return lambda: socket.create_connection(("127.0.0.1", port), 1).close()


class Beanstalkd(Server):
    """beanstalkd with its binlog synced at each write."""

    name = "beanstalkd -f0"
    promise = "each put and delete is written and synced before the reply"

    def start(self, home: str) -> None:
        """Start it with a log in its home."""
        need("greenstalk")
        self._port = free_port()
        argv = [program("beanstalkd"), "-l", "127.0.0.1", "-p", str(self._port), "-b", home, "-f0"]
        self.spawn(argv, _connects(self._port))

    def version(self) -> str:
        """Ask the program."""
        return subprocess.run([program("beanstalkd"), "-v"], capture_output=True, text=True, check=False).stdout.strip()

    def client(self) -> Client:
        """Connect."""
        return _Beanstalk(self._port)


class _Beanstalk(Client):
    def __init__(self, port: int) -> None:
        self._lib = need("greenstalk")
        self._connection = self._lib.Client(("127.0.0.1", port), encoding=None)

    def put(self, body: bytes) -> None:
        self._connection.put(body)

    def get(self, seconds: float) -> tuple[Any, bytes] | None:
        try:
            job = self._connection.reserve(timeout=1)
        except self._lib.TimedOutError:
            return None
        return job, job.body

    def done(self, handle: Any) -> None:
        self._connection.delete(handle)

    def close(self) -> None:
        self._connection.close()


class Redis(Server):
    """Redis whose append-only file is synced before each reply."""

    _port = 0

    def start(self, home: str) -> None:
        """Start it with its file in its home."""
        need("redis")
        self._port = free_port()
        argv = [program("redis-server"), "--bind", "127.0.0.1", "--port", str(self._port), "--save", "", "--dir", home]
        self.spawn([*argv, "--appendonly", "yes", "--appendfsync", "always"], _connects(self._port))

    def version(self) -> str:
        """Ask the program."""
        argv = [program("redis-server"), "--version"]
        said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        return "redis-server " + said.partition("v=")[2].split(" ")[0]

    def connect(self) -> Any:
        """Return a connection of redis-py."""
        return need("redis").Redis(port=self._port)


class RedisStreams(Redis):
    """A stream with a consumer group; done is XACK and XDEL."""

    name = "Redis Streams always"
    promise = "the append-only file is synced before each reply"

    def start(self, home: str) -> None:
        """Make the group, too."""
        super().start(home)
        self.connect().xgroup_create("s", "g", id="0", mkstream=True)

    def client(self) -> Client:
        """Connect."""
        return _Stream(self.connect())


class _Stream(Client):
    def __init__(self, redis: Any) -> None:
        self._redis, self._me = redis, f"c{os.getpid()}"

    def put(self, body: bytes) -> None:
        self._redis.xadd("s", {"b": body})

    def get(self, seconds: float) -> tuple[Any, bytes] | None:
        found = self._redis.xreadgroup("g", self._me, {"s": ">"}, count=1, block=int(seconds * 1000))
        streams = list(found.values()) if isinstance(found, dict) else [messages for _, messages in found or ()]
        messages = streams[0] if streams else ()
        while messages and isinstance(messages[0], list):  # by the version of the protocol, one more list
            messages = messages[0]
        return (messages[0][0], messages[0][1][b"b"]) if messages else None

    def done(self, handle: Any) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xack("s", "g", handle)
        pipeline.xdel("s", handle)
        pipeline.execute()

    def close(self) -> None:
        self._redis.close()


_RQ_TOOK: list[Callable[[bytes], None]] = []


def rq_job(body: str) -> dict[str, bool]:
    """Be the job that RQ runs; what it returns RQ stores."""
    _RQ_TOOK[-1](body.encode())
    return {"ok": True}


class Rq(Redis):
    """RQ on such a Redis; its workers run each job in their own process, without a fork."""

    name = "RQ always"
    promise = "the append-only file of Redis is synced before each reply"
    package = "rq"
    share = 0.1

    def start(self, home: str) -> None:
        """Start Redis."""
        need("rq")
        super().start(home)

    version = Peer.version

    def client(self) -> Client:
        """Make a client that submits."""
        return _RqClient(self.connect())

    def consume(self, took: Callable[[bytes], None], over: Callable[[], bool]) -> None:
        """Run RQ's own worker until it is killed; it stores the result right after ``took``."""
        rq, redis = need("rq"), self.connect()
        _RQ_TOOK.append(took)
        rq.SimpleWorker([rq.Queue("w", connection=redis)], connection=redis).work(logging_level="ERROR")


class _RqClient(Client):
    def __init__(self, redis: Any) -> None:
        self._queue, self._redis = need("rq").Queue("w", connection=redis), redis

    def put(self, body: bytes) -> None:
        self._queue.enqueue("bench.peers.servers.rq_job", body.decode())

    def close(self) -> None:
        self._redis.close()


_TABLE = """create table q(id bigserial primary key, state smallint not null default 0, body text not null,
 locked_at timestamptz, result jsonb)"""
_TAKE = """update q set state = 1, locked_at = now() where id = (select id from q where state = 0 order by id limit 1
 for update skip locked) returning id, body"""


class Postgres(Server):
    """The hand-written queue: one table, FOR UPDATE SKIP LOCKED, LISTEN and NOTIFY."""

    name = "PostgreSQL SKIP LOCKED"
    promise = "each commit is synced"
    ends_by = signal.SIGINT
    _bin = ""

    def start(self, home: str) -> None:
        """Make a cluster in its home, as the user postgres if we are root, and the table."""
        psycopg = need("psycopg")
        places = [f"/usr/lib/postgresql/{version}/bin" for version in range(30, 11, -1)]
        initdb = program("initdb", *places)
        self._bin = os.path.dirname(os.path.realpath(initdb))
        user: dict[str, Any] = {}
        if os.getuid() == 0:
            user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(home, "postgres", "postgres")
        made = [initdb, "-D", f"{home}/pg", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"]
        done = subprocess.run(made, capture_output=True, text=True, check=False, cwd="/", **user)
        if done.returncode:
            raise Skip(f"initdb failed: {done.stderr.strip()[-200:]}")
        self._where = f"host={home} user=postgres dbname=postgres"

        def up() -> None:
            with contextlib.closing(self._connect(psycopg)) as connection:
                connection.execute(_TABLE)
                connection.execute("create index on q(id) where state = 0")

        argv = [f"{self._bin}/postgres", "-D", f"{home}/pg", "-c", "listen_addresses="]
        self.spawn([*argv, "-c", f"unix_socket_directories={home}"], up, cwd="/", **user)

    def _connect(self, psycopg: Any) -> Any:
        try:
            return psycopg.connect(self._where, autocommit=True)
        except psycopg.OperationalError as error:
            raise OSError(str(error)) from None

    def version(self) -> str:
        """Ask the program."""
        said = subprocess.run([f"{self._bin}/postgres", "--version"], capture_output=True, text=True, check=False)
        return said.stdout.replace("postgres (PostgreSQL)", "PostgreSQL").strip()

    def client(self) -> Client:
        """Connect."""
        return _Rows(self._connect(need("psycopg")))


class _Rows(Client):
    def __init__(self, connection: Any) -> None:
        self._connection, self._listens = connection, False

    def put(self, body: bytes) -> None:
        text = "with i as (insert into q(body) values (%s) returning id) select pg_notify('q', '') from i"
        self._connection.execute(text, (body.decode(),))

    def get(self, seconds: float) -> tuple[Any, bytes] | None:
        if not self._listens:
            self._connection.execute("listen q")
            self._listens = True
        row = self._connection.execute(_TAKE).fetchone()
        if row is None:
            for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass
            row = self._connection.execute(_TAKE).fetchone()
        return (row[0], row[1].encode()) if row else None

    def done(self, handle: Any) -> None:
        self._connection.execute("update q set state = 2, result = '{\"ok\": true}' where id = %s", (handle,))

    def close(self) -> None:
        self._connection.close()
