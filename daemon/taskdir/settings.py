"""taskdir.json: the operator's settings, read once a change and kept as plain values (SPEC section 6.9)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import Any

from taskdir import strictjson, validate
from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.errors import ConfigError, Invalid

PROTOCOL = 1
LARGEST = 1 << 20
"""Bytes: far more than settings need."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings with their defaults; times in seconds, sizes in bytes. The field names are those of taskdir.json."""

    protocol: int = PROTOCOL
    queues: tuple[str, ...] = ()
    resources: dict[str, int] = field(default_factory=dict)
    window: int = 64
    max_claims: int = 1
    settle_seconds: float = 2.0
    scan_seconds: float = 1.0
    max_message_bytes: int = 262_144
    max_batch_bytes: int = 16_777_216
    max_result_bytes: int = 1_048_576
    refusal_cap: int = 3
    log_segment_bytes: int = 67_108_864
    context_bytes: int = 65_536
    bench_after: int = 5
    bench_seconds: float = 60.0
    walls: bool = False

    def offered(self) -> int:
        """Return how many tasks of a queue are offered at once; behind walls none is, they are handed out."""
        return 0 if self.walls else self.window

    def all_queues(self) -> list[str]:
        """Return every queue that exists by name: ``default`` and the declared ones."""
        return sorted({"default", *self.queues})


def load(path: str) -> Settings:
    """Read taskdir.json; a link is followed, since the operator made it. Raises ConfigError, or OSError."""
    hint = f"write a plain file of at most {LARGEST} bytes"
    try:
        data = read_regular(os.path.realpath(path), LARGEST)
    except NotRegular as error:
        raise ConfigError("not-regular", f"taskdir.json is a {error.kind}", path=path, hint=hint) from None
    except TooLarge as error:
        raise ConfigError("too-large", f"{error.size} bytes are too many", path=path, hint=hint) from None
    return parse(data, path)


def parse(data: bytes, path: str) -> Settings:
    """Read the bytes of taskdir.json. Raises ConfigError that says what is wrong, where, and what to do."""
    try:
        value = strictjson.loads(data)
        fault = validate.document("settings").check(value)
        if isinstance(value, dict) and isinstance(value.get("protocol"), int) and value["protocol"] != PROTOCOL:
            raise Invalid("protocol-version", f"this taskdir speaks protocol {PROTOCOL}", pointer="/protocol")
        if fault is not None:
            raise fault
    except Invalid as error:
        raise ConfigError(
            error.code, error.message, path=path, pointer=error.pointer, expected=error.expected, hint=error.hint
        ) from None
    return Settings(**_known(value))


def changes(before: Settings, after: Settings) -> list[str]:
    """Return the names of the settings that differ."""
    return [each.name for each in fields(Settings) if getattr(before, each.name) != getattr(after, each.name)]


def _known(value: dict[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(Settings)}
    known = {name: found for name, found in value.items() if name in names}
    if "queues" in known:
        known["queues"] = tuple(known["queues"])
    return known
