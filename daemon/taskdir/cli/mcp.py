"""taskdir mcp: the root as tools for language models, over the Model Context Protocol."""

from __future__ import annotations

import argparse
import os
import secrets
import sys

from taskdir.cli.frame import Env
from taskdir.errors import ConfigError

HELP = """Serve the root to a language model as eight MCP tools: describe, claim, renew, finish, give_back, submit,
read, wait. On stdin and stdout, or with --http on this machine's loopback interface, until SIGTERM; then the entry for
a client's settings is printed, with URL and bearer token. Needs the extra: pip install 'taskdir[mcp]'."""

TOKEN = "TASKDIR_MCP_TOKEN"
SHORTEST = 16
"""Characters that a token has at least."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    told = f"serve HTTP on 127.0.0.1; 0 is any port; the token is ${TOKEN}, or a fresh one"
    parser.add_argument("--http", type=int, metavar="PORT", help=told)


def run(args: argparse.Namespace, env: Env) -> int:
    """Serve."""
    from taskdir import mcpserver

    mcpserver.check_installed()
    root = env.places().root
    if args.http is None:
        mcpserver.serve_stdio(root)
        return 0
    token = os.environ.get(TOKEN) or secrets.token_urlsafe(32)
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable():
        told = f"${TOKEN} is no token: {SHORTEST} printable ASCII characters or more are needed"
        raise ConfigError("bad-token", told, hint="leave it unset for a fresh one")
    with mcpserver.listen(args.http) as listening:
        url = f"http://{mcpserver.HOST}:{listening.getsockname()[1]}{mcpserver.PATH}"
        env.out({"type": "http", "url": url, "headers": {"Authorization": f"Bearer {token}"}})
        sys.stdout.flush()
        mcpserver.serve_http(root, listening, token)
    return 0
