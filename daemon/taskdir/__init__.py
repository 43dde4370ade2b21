"""Maildir for agent work."""

__version__ = "0.1.0"
