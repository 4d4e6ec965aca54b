"""The person who gives a command, and the reason that they give."""

from __future__ import annotations

import getpass
import os

from policy.errors import UsageError
from policy.message import M


def name() -> str:
    """The user's name; or the number, if this host has no name for it, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def reason(why: str) -> str:
    """What ``--why`` was given, without blanks around it. Raises UsageError if it is missing or empty."""
    if not why.strip():
        raise UsageError(M("--why is missing or empty."), M("Write the reason: it is kept with your name."))
    return why.strip()
