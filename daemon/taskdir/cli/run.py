"""taskdir run: the daemon, in the foreground (SPEC section 10)."""

from __future__ import annotations

import argparse
import gc
import os
import signal
from typing import TYPE_CHECKING

from taskdir import __version__, roots, textlog
from taskdir.cli.frame import Env
from taskdir.places import Places

if TYPE_CHECKING:
    from taskdir.daemon import Daemon

HELP = """Run the daemon in the foreground until SIGTERM or SIGINT; SIGHUP makes it read taskdir.json and all contracts
again. Exit code 75: another daemon has the root; 78: bad settings; 1: the log is damaged, and nothing was changed."""

_STDERR = 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--once", action="store_true", help="end as soon as a pass changes nothing")
    parser.add_argument("--log-format", choices=textlog.FORMATS, default="text", help="on stderr (default: text)")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell every event")


def run(args: argparse.Namespace, env: Env) -> int:
    """Run it. Loads the daemon's modules only here, so that --help needs none of them."""
    from taskdir import walls
    from taskdir.daemon import Daemon
    from taskdir.notify import Manager
    from taskdir.watch import Hints

    root = env.root()
    if roots.settings(str(root)).get("walls") is True:
        walls.check_user(Places(str(root)))
    gc.set_threshold(10_000, 20, 20)  # a batch makes much that goes all at once, and hardly a cycle
    handler = textlog.start(args.log_format, all_events=args.verbose)
    try:
        daemon = Daemon(str(root))
        manager = Manager(os.environ)
        hints = Hints(str(root))  # before the first pass, so that nothing falls between looking and watching
        try:
            _handle_signals(daemon, hints.wakeup_fd)
            daemon.open()
            gc.freeze()  # what is loaded now stays
            if not args.once and args.log_format == "text":
                env.say(f"taskdir {__version__} runs in {root} (pid {os.getpid()}); Ctrl-C ends it")
            daemon.run(hints, manager, once=args.once)
            manager.stopping()
            daemon.close()
        except BaseException:
            daemon.abandon()  # what went wrong may be the log itself: say nothing more there
            raise
        finally:
            signal.set_wakeup_fd(-1)
            hints.close()
            manager.close()
    finally:
        textlog.stop(handler)
    return 0


def _handle_signals(daemon: Daemon, wakeup_fd: int) -> None:
    """Let SIGTERM and SIGINT end the loop after the pass in hand, at once when it waits; SIGHUP asks it to reload.

    A SIGHUP because our terminal was closed ends it, too.
    """
    had_terminal = os.isatty(_STDERR)

    def stop(number: int, frame: object) -> None:
        daemon.stop()

    def reload(number: int, frame: object) -> None:
        if had_terminal and not os.isatty(_STDERR):
            daemon.stop()
        else:
            daemon.reload()

    signal.set_wakeup_fd(wakeup_fd, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, reload)
