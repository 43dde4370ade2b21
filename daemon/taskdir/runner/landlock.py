"""Run a command that can write in named places only: Landlock and seccomp, on itself, then exec. No import of ours.

Called by path, by ``sandbox`` alone: ``python -I -S landlock.py [--rw PLACE]… [--network] [--env NAME=VALUE]… -- CMD…``
It never runs CMD without all of its walls: it ends with exit code 78 and says which one cannot be had.

Landlock (landlock(7)) makes every file read-only that is not below a place. Where the kernel has it (ABI 6, in 6.12),
signals reach nobody outside. What Landlock does not know, seccomp adds: no socket at all, or with ``--network`` none of
the file system's, which would let others act for it; no io_uring, which would open sockets unseen.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

OLDEST = 3
"""Before this ABI (Linux 6.2) files elsewhere can be truncated: no wall."""
ABI_IOCTL, ABI_SCOPES = 5, 6
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_ALL, _TRUNCATE, _IOCTL = (1 << 15) - 1, 1 << 14, 1 << 15
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_SCOPES = 3  # abstract sockets, signals
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2
_ARCHES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""What the kernel calls a machine, and the number of socket(2) there."""
_IO_URING_SETUP, _X32 = 425, 0x40000000
_AF_UNIX = 1
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


class Refused(Exception):
    """A wall that cannot be had."""


def abi() -> int:
    """Return the version of Landlock that the running kernel offers; 0 is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1)))


def why_not() -> str | None:
    """Say why this system cannot build these walls; None when it can."""
    if not sys.platform.startswith("linux"):
        return "Landlock is Linux's"
    if platform.machine() not in _ARCHES:
        return f"the numbers of system calls on {platform.machine()} are not known here"
    if (found := abi()) < OLDEST:
        return "the kernel has no Landlock" if not found else f"its Landlock is of ABI {found}, {OLDEST} is needed"
    return None


def confine(places: list[str], *, network: bool) -> None:
    """Build the walls around this process for good. Raises Refused, OSError."""
    if (fault := why_not()) is not None:
        raise Refused(fault)
    libc = ctypes.CDLL(None, use_errno=True)
    version = abi()
    rights = _ALL | (_IOCTL if version >= ABI_IOCTL else 0)
    scopes = _SCOPES if version >= ABI_SCOPES else 0
    # struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped; older kernels know a part of it
    attributes = struct.pack("=QQQ", rights, 0, scopes)[: 24 if scopes else 8]
    ruleset = _call(libc, _CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    _allow(libc, ruleset, "/", _READ)
    for place in places:
        _allow(libc, ruleset, place, rights)
    for device in _DEVICES:
        path = os.path.join("/dev", device)
        if os.path.exists(path):
            _allow(libc, ruleset, path, rights & ~_EXECUTE & ~_TRUNCATE)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise Refused("no_new_privs cannot be set")
    _call(libc, _RESTRICT, ruleset, 0)
    os.close(ruleset)
    _filter(libc, network=network)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rights = rights if os.path.isdir(path) else rights & _OF_A_FILE
    try:  # struct landlock_path_beneath_attr, packed
        _call(libc, _ADD, ruleset, 1, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)


def _filter(libc: ctypes.CDLL, *, network: bool) -> None:
    """Let seccomp refuse sockets, as classic BPF over struct seccomp_data: nr, arch, instruction pointer, arguments."""
    arch, socket = _ARCHES[platform.machine()]
    load, equal, least, end = 0x20, 0x15, 0x35, 0x06
    no_socket, no_such = _ERRNO | errno.EACCES, _ERRNO | errno.ENOSYS
    # Jumps count instructions from the next one: if true, if false.
    program = [
        (load, 0, 0, 4),
        (equal, 1, 0, arch),
        (end, 0, 0, no_such),  # 32-bit calls have other numbers
        (load, 0, 0, 0),
        (equal, 3, 0, _IO_URING_SETUP),
        (least, 2, 0, _X32),
        (equal, 2, 0, socket),
        (end, 0, 0, _ALLOW),
        (end, 0, 0, no_such),
        (load, 0, 0, 16),
        (equal, 0, 1 if network else 0, _AF_UNIX),
        (end, 0, 0, no_socket),
        (end, 0, 0, _ALLOW),
    ]
    code = b"".join(struct.pack("=HBBI", *line) for line in program)
    held = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    told = Program(len(program), ctypes.cast(held, ctypes.c_void_p))
    if libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(told), 0, 0) != 0:
        raise Refused(f"seccomp is refused: {os.strerror(ctypes.get_errno())}")


def _call(libc: ctypes.CDLL, *arguments: object) -> int:
    found = int(libc.syscall(*arguments))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock refuses: {os.strerror(number)}")
    return found


def main(words: list[str]) -> int:
    """Confine this process and become the command; returns only when that fails."""
    places, network, env = list[str](), False, dict(os.environ)
    while words and (word := words.pop(0)) != "--":
        if word == "--network":
            network = True
        elif word == "--rw":
            places.append(words.pop(0))
        elif word == "--env":
            name, _, value = words.pop(0).partition("=")
            env[name] = value
    try:
        confine(places, network=network)
    except (Refused, OSError) as error:
        print(f"taskdir: no walls, so nothing was run: {error}", file=sys.stderr)
        return 78
    try:
        os.execvpe(words[0], words, env)
    except OSError as error:
        print(f"{words[0]}: {error.strerror}", file=sys.stderr)
        return 127 if error.errno == errno.ENOENT else 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
