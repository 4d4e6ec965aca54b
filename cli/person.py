"""Who gives a command."""

from __future__ import annotations

import getpass
import os


def name() -> str:
    """The user's name; the number of one that this host has no name for, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
