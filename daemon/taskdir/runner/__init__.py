"""The runner: an agent that does tasks by a command, each attempt in a workspace of its own (docs/runner.md).

It is a client of the protocol like any other (SPEC sections 7.4 to 7.9); nothing of it runs in the daemon.
"""
