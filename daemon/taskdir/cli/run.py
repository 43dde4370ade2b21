"""taskdir run: the daemon, in the foreground (SPEC section 10)."""

from __future__ import annotations

import argparse
import os
import signal

from taskdir import __version__, textlog
from taskdir.cli.frame import Env

HELP = """Run the daemon in the foreground until SIGTERM or SIGINT. Exit code 75: another daemon has the root; 78: bad
settings; 1: the log is damaged, and nothing was changed."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--once", action="store_true", help="end as soon as a pass changes nothing")
    parser.add_argument("--log-format", choices=textlog.FORMATS, default="text", help="on stderr (default: text)")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell every event")


def run(args: argparse.Namespace, env: Env) -> int:
    """Run it. Loads the daemon's modules only here, so that --help needs none of them."""
    from taskdir.daemon import Daemon, handle_signals
    from taskdir.watch import Hints

    root = env.root()
    handler = textlog.start(args.log_format, all_events=args.verbose)
    try:
        daemon = Daemon(str(root))
        hints = Hints(str(root))  # before the first pass, so that nothing falls between looking and watching
        try:
            handle_signals(daemon, hints.wakeup_fd)
            daemon.open()
            if not args.once and args.log_format == "text":
                env.say(f"taskdir {__version__} runs in {root} (pid {os.getpid()}); Ctrl-C ends it")
            daemon.run(hints, once=args.once)
            daemon.close()
        except BaseException:
            daemon.abandon()  # what went wrong may be the log itself: say nothing more there
            raise
        finally:
            signal.set_wakeup_fd(-1)
            hints.close()
    finally:
        textlog.stop(handler)
    return 0
