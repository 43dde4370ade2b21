#!/usr/bin/env python3
"""The command line of adapters/CONTRACT.md, section 1, on the Python client.

It needs the package taskdir, of which it loads the part that is standard library alone, and no daemon. Output is handed
in as it is, and no message is looked into: the daemon judges.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from taskdir import Claim, Taskdir, TaskdirError, gestures, held, names, roots, work
from taskdir.disk import Disk
from taskdir.errors import Busy, Invalid, Missing, Usage, claim_lost
from taskdir.places import Places

if TYPE_CHECKING:
    from subprocess import Popen

DISK = Disk()
USAGE = {
    "submit": "submit [ID] <MESSAGE",
    "claim": "claim AGENT [QUEUE]",
    "keep": "keep PATH",
    "finish": "finish PATH [FILE | -]",
    "fail": "fail PATH [CODE] MESSAGE [--retry]",
    "give-back": "give-back PATH",
    "note": "note PATH TEXT",
    "wait": "wait ID [SECONDS]",
    "hold": "hold PATH CMD...",
    "work": "work AGENT [QUEUE] [--tasks N] [--idle SECONDS] [-- CMD...]",
}


def submit(id: str | None = None) -> None:
    """Offer the message on stdin; print its id."""
    id = roots.mint_id() if id is None else id
    named(id)
    places = Places(roots.find())
    message = stdin()
    if not message:
        raise Invalid("empty", "the message is empty")
    gestures.submit_bytes(places, DISK, message, id)
    show(id)


def claim(agent: str, queue: str = "default") -> None:
    """Take the first task; print its path."""
    named(agent)
    named(queue.removeprefix("@"))
    try:
        found = gestures.claim(Places(roots.find()), DISK, agent, queue)
    except Missing as error:
        raise Busy(error.code, error.message) if error.code == "unknown-queue" else error from None
    if isinstance(found, gestures.Nothing):
        raise Busy("nothing", f"nothing to claim in ready/{queue}")
    if isinstance(found, gestures.Unfinished):
        raise Busy("unfinished", "unfinished, resume or delete it", path=found.paths[0])
    show(found.path)


def keep(path: str) -> None:
    """Renew the lease."""
    path = own(path)
    if not gestures.renew(DISK, path):
        raise claim_lost(path)


def finish(path: str, source: str = "") -> None:
    """Hand in the output in a file, or on stdin."""
    output = b"null"
    if source == "-":
        output = stdin()
    elif source:
        try:
            with open(source, "rb") as file:
                output = file.read()
        except OSError as error:
            raise Missing("no-output", f"cannot read the output: {error.strerror}", path=source) from None
    if not output.strip():
        raise Invalid("empty", "the output is empty")
    gestures.finish_bytes(DISK, own(path), held.success(output))


def fail(path: str, *words: str) -> None:
    """Hand in an error."""
    retry = words[-1:] == ("--retry",)
    *code, message = (words[:-1] if retry else words) or [""]
    if len(code) > 1 or message in ("", "--retry"):
        raise Usage("usage", f"usage: {USAGE['fail']}")
    for each in code:
        named(each)
    gestures.finish(DISK, own(path), held.failure(text(message), code[0] if code else None, retry))


def give_back(path: str) -> None:
    """Let somebody else do it."""
    path = own(path)
    if not gestures.give_back(DISK, path):
        raise claim_lost(path)


def note(path: str, said: str) -> None:
    """Leave a line for people, which renews the lease."""
    path = own(path)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if not gestures.note(DISK, path, {"time": now, "text": text(said)}):
        raise claim_lost(path)


def wait(id: str, seconds: str | None = None) -> int:
    """Print the path of the record or of the reason once it is there."""
    named(id)
    until = time.monotonic() + number(seconds) if seconds is not None else None
    places, pause = Places(roots.find()), 0.01
    while True:
        # The reason of an earlier refusal is void while a message of that name waits in inbox/.
        ends = [(places.done, names.TASK, 0), (places.failed, names.TASK, 1), (places.rejected, names.REASON, 1)]
        for place, suffix, code in ends:
            path = os.path.join(place, id + suffix)
            if os.path.lexists(path) and (place != places.rejected or not os.path.lexists(f"{places.inbox}/{id}.json")):
                show(path)
                return code
        if until is not None and time.monotonic() >= until:
            tell(f"{id} is not done after {seconds} s")
            return 124
        time.sleep(pause)
        pause = min(pause * 1.2, 0.25)


def hold(path: str, *command: str) -> int:
    """Run a command; the lease stays fresh meanwhile."""
    import subprocess

    path = own(path)
    keeper = held.Hold(DISK, path, held.lease_of(roots.read_json(path) or {}))
    try:
        if keeper.elsewhere:
            raise Busy("held", "another process holds it", path=path)
        if not os.path.isfile(path):
            raise claim_lost(path)
        signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C at a terminal is the command's affair: it gets it, too
        with subprocess.Popen(command) as process:
            signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
            ended = process.wait()
    except OSError as error:
        return cannot_run(error)
    finally:
        keeper.close()
    return ended if ended >= 0 else 128 - ended


def work_(agent: str, *words: str) -> None:
    """Claim and run a command for each task."""
    import logging

    split = words.index("--") if "--" in words else len(words)
    ahead, command = list(words[:split]), words[split + 1 :]
    queue = ahead.pop(0) if ahead and not ahead[0].startswith("--") else "default"
    limits: dict[str, int] = {}
    while len(ahead) > 1 and ahead[0] in ("--tasks", "--idle"):
        option, value, *ahead = ahead
        limits[option] = number(value)
    if ahead or (not command and split < len(words)) or limits.get("--tasks") == 0:
        raise Usage("usage", f"usage: {USAGE['work']}")
    named(agent)
    named(queue.removeprefix("@"))
    logging.basicConfig(format="taskdir: %(message)s")
    ended: list[int] = []
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, _: ended.append(number))
    tasks, idle = limits.get("--tasks"), limits.get("--idle")
    Taskdir().work(agent, lambda claim: do(claim, command), queue, tasks=tasks, idle=idle, stop=lambda: bool(ended))


def do(claim: Claim, command: tuple[str, ...]) -> None:
    """Run the command for one task and hand in what came of it. Without a command the task itself is the output."""
    if not command:
        with open(claim.path, "rb") as task:
            return claim.finish_json(task.read(), wait=0)
    code, said = run(claim, command)
    if work.handed_in(claim.path):
        claim.leave()  # the command did so itself: that stands
    elif work.refused(claim.path):
        claim.fail("the result was refused", "refused", retry=True, wait=0)
    elif code == 0:
        claim.finish_json(said if said.strip() else b"null", wait=0)
    elif code == os.EX_TEMPFAIL:
        claim.give_back()
    else:
        how = f"exit-{code}" if code > 0 else f"signal-{-code}"
        claim.fail(text(f"{command[0]} ended with {how}"), how, retry=True, wait=0)
    return None


def run(claim: Claim, command: tuple[str, ...]) -> tuple[int, bytes]:
    """Run a command; returns its exit code, negative for a signal, and its stdout."""
    import subprocess
    from tempfile import TemporaryFile

    env = {**os.environ, "TASKDIR_TASK": claim.path, "TASKDIR_ID": claim.id, "TASKDIR_ATTEMPT": str(claim.attempt)}
    with open(claim.path, "rb") as task, TemporaryFile() as output:
        # In a session of its own: Ctrl-C at a terminal ends the worker alone, a lost claim CMD with its children.
        try:
            code = watch(claim, subprocess.Popen(command, stdin=task, stdout=output, env=env, start_new_session=True))
        except OSError as error:
            code = cannot_run(error)
        output.seek(0)
        return code, output.read()


def watch(claim: Claim, process: Popen[bytes]) -> int:
    """Return how the process ends; ask it to, once the claim is lost."""
    from subprocess import TimeoutExpired

    while True:
        try:
            return process.wait(work.LOOK_SECONDS)
        except TimeoutExpired:
            if claim.lost:
                os.killpg(process.pid, signal.SIGTERM)


def cannot_run(error: OSError) -> int:
    """Tell why a command cannot run; returns the exit code that a shell has for it."""
    tell(f"cannot run the command: {error}")
    return 127 if isinstance(error, FileNotFoundError) else 126


def own(path: str) -> str:
    """Return the absolute path of a claimed file that is still there. Raises Usage, Missing."""
    gestures.stem_path(path)
    home = os.path.dirname(path) or "."
    if not os.path.isdir(home):
        raise claim_lost(path)
    home = os.path.realpath(home)
    if os.path.basename(os.path.dirname(home)) != "claimed":
        raise Usage("no-claim", "not in claimed/AGENT/", path=path)
    path = os.path.join(home, os.path.basename(path))
    if not os.path.isfile(path) or os.path.islink(path):
        raise claim_lost(path)
    return path


def named(text: str) -> None:
    """Raise Usage for what is no id, agent, queue or code."""
    if not names.is_word(text):
        raise Usage("name-grammar", f"not a name of 1 to 64 of a-z 0-9 _ -: {text!a}")


def number(text: str) -> int:
    """Return a number of tasks or seconds. Raises Usage."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Usage("usage", f"not a number: {text!a}")
    return int(text)


def text(argument: str) -> str:
    """Return an argument as people shall read it: U+FFFD stands for what is no UTF-8."""
    return os.fsencode(argument).decode("utf-8", "replace")


def stdin() -> bytes:
    """Return all of stdin: nothing if it is closed, and wait for it where it does not block."""
    data = b""
    while sys.stdin is not None:
        try:
            if not (piece := os.read(0, 1 << 20)):
                break
            data += piece
        except BlockingIOError:
            time.sleep(0.02)
    return data


def show(line: str) -> None:
    """Print data, byte for byte. Past Python's own buffer, so that an error is known before the end."""
    data = os.fsencode(line) + b"\n"
    while data:
        data = data[os.write(1, data) :]


def tell(words: str) -> None:
    """Print words for people."""
    for line in words.splitlines() if sys.stderr is not None else ():
        print(f"taskdir: {line.strip()}".encode("ascii", "backslashreplace").decode(), file=sys.stderr)


VERBS: dict[str, tuple[Callable[..., int | None], int, int]] = {
    "submit": (submit, 0, 1),
    "claim": (claim, 1, 2),
    "keep": (keep, 1, 1),
    "finish": (finish, 1, 2),
    "fail": (fail, 2, 4),
    "give-back": (give_back, 1, 1),
    "note": (note, 2, 2),
    "wait": (wait, 1, 2),
    "hold": (hold, 2, 1 << 30),
    "work": (work_, 1, 1 << 30),
}


def main(words: list[str]) -> int:
    """Run a verb; returns the exit code."""
    verb, *rest = words or ["help"]
    if verb in ("help", "-h", "--help"):
        show("\n".join(USAGE.values()))
        return 0
    try:
        if verb not in VERBS:
            raise Usage("usage", f"no such verb: {verb!a} (see help)")
        gesture, least, most = VERBS[verb]
        if not least <= len(rest) <= most:
            raise Usage("usage", f"usage: {USAGE[verb]}")
        return gesture(*rest) or 0
    except TaskdirError as error:
        tell(str(error))
        return error.exit
    except OSError as error:
        tell(str(error))
        return Missing.exit if isinstance(error, FileNotFoundError) else 73


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
