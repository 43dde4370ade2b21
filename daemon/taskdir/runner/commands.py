"""Which command does a task: CMD itself, a vendor's profile, or a file with one for each type; all of it data.

A profile (``profiles/*.json``) says how to call a tool without a person at it, and how to read what it answers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskdir import strictjson
from taskdir.disk import NotRegular, TooLarge, read_regular
from taskdir.errors import ConfigError, Invalid, Usage
from taskdir.names import is_word

ACTIONS = ("again", "retry", "final")
"""What follows a try without a result: another in the same workspace, another attempt, none."""
TEMPLATES = (
    "prompt prompt_file task result schema schema_json workspace desk last artifacts id attempt agent type try".split()
)
_TEMPLATE = re.compile(r"\{(" + "|".join(TEMPLATES) + r")\}")
_HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "profiles")
_LARGEST = 1 << 20
_FIELDS: dict[str, type] = {
    "about": str,
    "programs": list,
    "argv": list,
    "schema": list,
    "strict": bool,
    "env": dict,
    "reads": list,
    "cases": list,
}
_SOURCES = ("json", "text", "prose")
"""Documents, one or one a line; text that is JSON or has a fenced block that is; fenced blocks alone."""


@dataclass(frozen=True, slots=True)
class Case:
    """A rule about a try that left no result: if all it names is so, ``then`` follows, with an error's ``code``."""

    then: str
    code: str
    exit: int | None = None
    at: str | None = None
    equals: Any = None
    says: str | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """How to call a tool and how to read what it says. ``reads``: where an output may stand, the first one counts."""

    name: str
    programs: tuple[str, ...] = ()
    """What the program is called, if not as the profile is."""
    argv: tuple[str, ...] = ()
    schema: tuple[str, ...] = ()
    """Words to add when the task has an output schema."""
    strict: bool = False
    """Whether the tool takes such schemas alone that name all there may be (``is_strict``)."""
    env: tuple[tuple[str, str | None], ...] = ()
    """Variables to set; None: to remove."""
    reads: tuple[tuple[str, str, str], ...] = ()
    """(source, template of the file, pointer); the file is stdout when empty."""
    cases: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True)
class Commands:
    """The command for each type; ``any`` for a type that has none of its own."""

    any: tuple[tuple[str, ...], Profile] | None
    by_type: Mapping[str, tuple[tuple[str, ...], Profile]]

    def of(self, type: str) -> tuple[tuple[str, ...], Profile] | None:
        """Return (argv with templates, profile) for a type of task, None when there is none."""
        return self.by_type.get(type, self.any)


def choose(argv: Sequence[str], profile: str | None, file: str | None) -> Commands:
    """Make the commands of CMD, --profile and --commands. Raises Usage, ConfigError."""
    found = _command(argv, profile, "--profile") if argv or profile else None
    given = _read(file) if file else {}
    if not isinstance(given, dict):
        raise ConfigError("commands", "commands are one object: type → command", path=file, pointer="")
    by_type = {type: _entry(entry, f"/{type}", file) for type, entry in given.items() if not type.startswith("x-")}
    found = by_type.pop("*", found) if found is None else found
    if found is None and not by_type:
        expected = "-- CMD…, --profile NAME or --commands FILE"
        raise Usage("usage", "nothing says how to do a task", expected=expected, hint=f"profiles: {', '.join(names())}")
    return Commands(found, by_type)


def names() -> list[str]:
    """Return the profiles that come with taskdir."""
    return sorted(name.removesuffix(".json") for name in os.listdir(_HERE) if name.endswith(".json"))


def fill(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Put values in place of {prompt} and the like; any other brace stays as it is."""
    return [_TEMPLATE.sub(lambda match: values[match[1]], word) for word in words]


def is_strict(schema: Any) -> bool:
    """Say whether each object of a schema requires all its properties and allows no others, as some tools want."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return not isinstance(schema, bool)
    if schema.get("type") == "object" or "properties" in schema:
        known = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or {*known} != {*schema.get("required", ())}:
            return False
        return all(map(is_strict, known.values()))
    inner = [schema[word] for word in ("items", "anyOf") if word in schema]
    return all(map(is_strict, inner)) and ("type" in schema or "anyOf" in schema or "enum" in schema)


def _entry(entry: Any, pointer: str, file: str | None) -> tuple[tuple[str, ...], Profile]:
    if isinstance(entry, list):
        entry = {"argv": entry}
    if not isinstance(entry, dict) or not {*entry} <= {"argv", "profile"} or not entry:
        expected = """["CMD", …], or {"profile": NAME, "argv": […]}"""
        raise ConfigError("commands", "this is no command", path=file, pointer=pointer, expected=expected)
    argv, profile = entry.get("argv", []), entry.get("profile")
    if not _are_words(argv) or not isinstance(profile, str | None):
        raise ConfigError("commands", "a command is a list of strings", path=file, pointer=pointer)
    return _command(argv, profile, f"{file}{pointer}")


def _command(argv: Sequence[str], profile: str | None, where: str) -> tuple[tuple[str, ...], Profile]:
    """Options alone are added to the profile's command; without a profile the program's own one is taken."""
    if profile is None:
        return tuple(argv), _of_program(os.path.basename(argv[0]) if argv else "")
    found = load(profile)
    words = (*found.argv, *argv) if not argv or argv[0].startswith("-") else tuple(argv)
    if not words:
        raise Usage("usage", f"the profile {found.name} has no command of its own: name one", expected="-- CMD…")
    return words, found


def _of_program(program: str) -> Profile:
    """Return the profile that is called as the program is, or names it; else the plain one."""
    for name in names():
        if program == name or program in (found := load(name)).programs:
            return load(name) if program == name else found
    return load("plain")


def load(name: str) -> Profile:
    """Read a profile that comes with taskdir, or any by its path. Raises ConfigError."""
    path = name if os.sep in name or name.endswith(".json") else os.path.join(_HERE, f"{name}.json")
    if path != name and name not in names():
        raise ConfigError(
            "unknown-profile", f"there is no profile {name[:80]!a}", expected=f"one of {', '.join(names())}"
        )
    return parse(_read(path), os.path.basename(path).removesuffix(".json"), path)


def parse(found: Any, name: str, path: str) -> Profile:
    """Make a profile of its JSON. Raises ConfigError with a pointer."""
    if not isinstance(found, dict):
        raise _bad(path, "", "a profile is an object")
    for field, value in found.items():
        if field not in _FIELDS and not field.startswith("x-"):
            raise _bad(path, f"/{field}", f"one of {', '.join(_FIELDS)}")
        if field in _FIELDS and not isinstance(value, _FIELDS[field]):
            raise _bad(path, f"/{field}", f"a value of the type {_FIELDS[field].__name__}")
    for field in ("programs", "argv", "schema"):
        if not _are_words(found.get(field, [])):
            raise _bad(path, f"/{field}", "a list of strings")
    env = found.get("env", {})
    if not all(value is None or isinstance(value, str) for value in env.values()):
        raise _bad(path, "/env", "strings, or null to remove a variable")
    return Profile(
        name,
        tuple(found.get("programs", ())),
        tuple(found.get("argv", ())),
        tuple(found.get("schema", ())),
        found.get("strict", False),
        tuple(env.items()),
        tuple([_source(one, path, f"/reads/{at}") for at, one in enumerate(found.get("reads", ()))]),
        tuple([_case(one, path, f"/cases/{at}") for at, one in enumerate(found.get("cases", ()))]),
    )


def _source(one: Any, path: str, pointer: str) -> tuple[str, str, str]:
    if not isinstance(one, dict) or not {*one} <= {"as", "file", "at"} or one.get("as") not in _SOURCES:
        raise _bad(path, pointer, f'"as" one of {", ".join(_SOURCES)}, perhaps "file" and "at"')
    file, at = one.get("file", ""), one.get("at", "")
    if not isinstance(file, str) or not isinstance(at, str):
        raise _bad(path, pointer, '"file" and "at" are strings')
    return one["as"], file, at


def _case(one: Any, path: str, pointer: str) -> Case:
    if not isinstance(one, dict) or not {*one} <= {"exit", "at", "is", "says", "then", "code"}:
        raise _bad(path, pointer, "an object of exit, at, is, says, then and code")
    if one.get("then") not in ACTIONS or not is_word(str(one.get("code", ""))):
        raise _bad(path, pointer, f'"then" one of {", ".join(ACTIONS)}, and a "code", which is a word')
    return Case(one["then"], one["code"], one.get("exit"), one.get("at"), one.get("is"), one.get("says"))


def _bad(path: str, pointer: str, expected: str) -> ConfigError:
    return ConfigError("bad-profile", "the profile cannot be used", path=path, pointer=pointer, expected=expected)


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _read(path: str) -> Any:
    try:
        return strictjson.loads(read_regular(path, _LARGEST))
    except Invalid as error:
        raise ConfigError(error.code, error.message, path=path, hint=error.hint) from None
    except (NotRegular, TooLarge, OSError) as error:
        raise ConfigError("unreadable", f"the file cannot be read: {error}", path=path) from None
