"""The person who gives a command."""

from __future__ import annotations

import getpass
import os


def name() -> str:
    """The user's name; or the number, if this host has no name for it, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
