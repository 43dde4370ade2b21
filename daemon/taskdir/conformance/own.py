"""Our own daemon, as adapters/CONTRACT.md section 2 asks a daemon: in this process; ``driver`` puts it behind pipes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from taskdir import __version__, check, checkpoint, contracts, intake, names, results, settings, strictjson, validate
from taskdir.audit import Finding
from taskdir.daemon import Daemon
from taskdir.documents import Now, timestamp
from taskdir.errors import ConfigError, Invalid, TaskdirError

Json = dict[str, Any]
Judge = Callable[[bytes], TaskdirError | None]

_KINDS = {names.TASK: "offer", names.RESULT: "result", names.NOTES: "notes", names.REFUSED: "refused"}


class Ticker:
    """The time as it was told: the daemon's clock starts with the wall clock and never steps."""

    def __init__(self, now: float, wall: float) -> None:
        self._ahead = wall - now
        self.tell(now, wall)

    def tell(self, now: float, wall: float) -> None:
        """It is that late."""
        self._now = Now(now + self._ahead, timestamp(wall))

    def now(self) -> Now:
        """Return this instant."""
        return self._now


class Own:
    """Answers requests. ``daemon``: the one that is open."""

    def __init__(self) -> None:
        self.daemon: Daemon | None = None
        self._answers: dict[str, Callable[[Json], Json]] = {
            "hello": self._hello,
            "check": self._check,
            "check-log": self._check_log,
            "judge": self._judge,
            "name": self._name,
            "open": self._open,
            "pass": self._pass,
            "close": self._close,
            "abandon": self._abandon,
        }

    def ask(self, request: Json) -> Json:
        """Answer a request; what goes wrong is raised."""
        return self._answers[request["do"]](request)

    def kill(self) -> None:
        """Let the daemon go as kill -9 would."""
        self._abandon({})

    def _hello(self, request: Json) -> Json:
        return {"name": "taskdir", "version": __version__, "offers": [*list(self._answers)[1:], "index", "checkpoint"]}

    def _check(self, request: Json) -> Json:
        """Nobody makes a pass meanwhile, so the second look of ``check`` need not wait."""
        report = check.check_root(request["root"], _ignore, lambda seconds: None, _checkpoints(request))
        return {"findings": _told(report.findings), "pruned": report.pruned}

    def _check_log(self, request: Json) -> Json:
        return {"findings": _told(check.check_files(request["files"], _ignore, _checkpoints(request)).findings)}

    def _judge(self, request: Json) -> Json:
        try:
            fault = JUDGES[request["document"]](base64.b64decode(request["base64"]))
        except Invalid as error:
            fault = error
        if fault is None:
            return {}
        return {"code": fault.code} | ({"pointer": fault.pointer} if fault.pointer is not None else {})

    def _name(self, request: Json) -> Json:
        return {"parts": GRAMMARS[request["grammar"]](request["name"])}

    def _open(self, request: Json) -> Json:
        self._ticker = Ticker(request["now"], request["wall"])
        self.daemon = Daemon(request["root"], clock=self._ticker)
        self.daemon.open()
        return {}

    def _pass(self, request: Json) -> Json:
        self._ticker.tell(request["now"], request["wall"])
        return {"worked": self._opened().one_pass()}

    def _close(self, request: Json) -> Json:
        self._ticker.tell(request["now"], request["wall"])
        self._opened().close()
        self.daemon = None
        return {}

    def _abandon(self, request: Json) -> Json:
        if self.daemon is not None:
            self.daemon.abandon()
            self.daemon = None
        return {}

    def _opened(self) -> Daemon:
        if self.daemon is None:
            raise ConfigError("not-open", "no root is open")
        return self.daemon


def _checkpoints(request: Json) -> list[checkpoint.Checkpoint]:
    return [checkpoint.parse(each) for each in request.get("checkpoints", [])]


def _ignore(count: int) -> None:
    """No progress is shown."""


def _told(findings: list[Finding]) -> list[Json]:
    return [
        {"code": each.code, "place": each.file} | ({"line": each.line} if each.line is not None else {})
        for each in findings
    ]


def _parsed(fault_of: Callable[[Any], Invalid | None]) -> Judge:
    """Make a judge of values one of bytes."""
    return lambda data: fault_of(strictjson.loads(data))


def _contract_fault(value: Any) -> Invalid | None:
    """Judge a contract, and compile what is said to be good."""
    fault = contracts.check_document(value)
    if fault is None:
        contracts.compile_contract("vector", "0" * 64, value)
    return fault


def _settings_fault(data: bytes) -> TaskdirError | None:
    try:
        settings.parse(data, "taskdir.json")
    except ConfigError as fault:
        return fault
    return None


def _by_schema(name: str) -> Judge:
    """Make a judge for a document of which nobody but its schema judges."""
    return _parsed(lambda value: validate.document(name).check(value))


JUDGES: dict[str, Judge] = {
    "message": _parsed(intake.form_fault),
    "result": _parsed(lambda value: results.check(value, None)),
    "contract": _parsed(_contract_fault),
    "settings": _settings_fault,
    **{name: _by_schema(name) for name in ("offer", "record", "reason", "state", "event", "checkpoint")},
}


def _word(name: str) -> Json | None:
    return {} if names.is_word(name) else None


def _queue(name: str) -> Json | None:
    return {"word": name.removeprefix("@"), "own": name.startswith("@")} if names.is_queue(name) else None


def _message(name: str) -> Json | None:
    id = name.removesuffix(names.TASK)
    return {"id": id} if names.is_message_name(name) and names.is_word(id) else None


def _visible(name: str) -> Json | None:
    return {} if names.is_message_name(name) else None


def _claim(name: str) -> Json | None:
    found = names.split_claimed(name)
    if found is None:
        return None
    stem, suffix = found
    assert f"{stem}{suffix}" == name, "a name is put together as it was taken apart"
    parts = {"priority": stem.priority, "seq": stem.seq, "id": stem.id, "attempt": stem.attempt}
    return parts | {"kind": _KINDS[suffix]}


GRAMMARS: dict[str, Callable[[str], Json | None]] = {
    "word": _word,
    "queue": _queue,
    "message-file": _message,
    "visible-file": _visible,
    "claim-file": _claim,
}
