"""The command ``taskdir``: one module a verb, loaded only when it is called (SPEC section 1.3 has the exit codes).

A verb module has HELP, ``configure(parser)`` and ``run(args, env) -> exit code``; it raises TaskdirError for all else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from taskdir.cli import parsers, quick
from taskdir.cli.frame import Env, plain
from taskdir.errors import TaskdirError, Usage

_USAGE = "usage: taskdir [--root DIR] [--json] VERB …\n       taskdir VERB --help\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = [*(sys.argv[1:] if argv is None else argv)]  # not list(): the verb of that name is bound here once loaded
    as_json = "--json" in words
    for stream in (sys.stdout, sys.stderr):  # file names may hold any byte
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="surrogateescape")
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads any more, as with `| head -1`
        return 141
    except TaskdirError as error:
        code = _tell(error, as_json)
        return 1 if code == Usage.exit and _split(words)[1] == "hook" else code  # agents' vendors take 2 for "block"
    except KeyboardInterrupt:
        return 130
    except SystemExit as stop:  # argparse, after --help
        return stop.code if isinstance(stop.code, int) else 0
    except OSError as error:
        name = str(error.filename) if error.filename else None
        return _tell(TaskdirError("os-error", error.strerror or str(error), path=name), as_json)
    return code


def _run(words: list[str]) -> int:
    before, name, after = _split(words)
    if name is None:
        return _about_all(before)
    if name not in parsers.VERBS:
        from taskdir.nearby import nearby

        raise Usage("usage", f"there is no verb {name!a}", hint=nearby(name, [*parsers.VERBS]) or "`taskdir --help`")
    if name in quick.VERBS and (plain_ones := quick.read(found := parsers.load(name), [*before, *after])) is not None:
        return found.run(plain_ones, Env(plain_ones.root, as_json=plain_ones.json))
    found, parser = parsers.verb(name)
    command: list[str] = []
    if "--" in after and parser.get_default("command") is not None:  # a verb that runs a program: that is behind --
        cut = after.index("--")
        after, command = after[:cut], after[cut + 1 :]
    # What stood before the verb is parsed with what stands behind it: both places mean the same.
    args = parser.parse_args([*before, *after])
    args.command = command
    return found.run(args, Env(args.root, as_json=args.json))


def _split(words: list[str]) -> tuple[list[str], str | None, list[str]]:
    """Take a command line apart at its verb, the first word that is neither an option nor --root's value."""
    place = 0
    while place < len(words) and words[place].startswith("-"):
        place += 2 if words[place] == "--root" else 1
    if place >= len(words):
        return words, None, []
    return words[:place], words[place], words[place + 1 :]


def _about_all(words: list[str]) -> int:
    if "--version" in words:
        from taskdir import __version__

        print(f"taskdir {__version__}")
        return 0
    if not {"-h", "--help"} & {*words}:
        raise Usage(
            "usage", "a verb is missing", expected="taskdir [--root DIR] [--json] VERB …", hint="`taskdir --help`"
        )
    width = max(map(len, parsers.VERBS))
    lines = [f"  {name:{width}}  {about}" for name, about in parsers.VERBS.items()]
    print(_USAGE + "\nMaildir for agent work: a directory is a task queue.\n\n" + "\n".join(lines))
    return 0


def _tell(error: TaskdirError, as_json: bool) -> int:
    """Print an error for people, or as one JSON object; returns its exit code."""
    if as_json:
        from taskdir.strictjson import dumps

        print(dumps({"error": error.as_dict()}), file=sys.stderr)
    else:
        print(plain(f"taskdir: {error}"), file=sys.stderr)
    return error.exit
