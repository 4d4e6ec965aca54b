"""What a host's settings are where nobody has set them: its folder for our files, its clock."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from zoneinfo import available_timezones

from tzlocal import get_localzone_name

from policy.errors import UsageError
from policy.message import M


class BadConfiguration(UsageError):
    """A setting is wrong; the message names it and where it is set."""


def default_state_dir() -> Path:
    """``/var/lib/tapeline`` for root, else ``~/.local/state/tapeline``."""
    if sys.platform != "win32" and os.geteuid() == 0:
        return Path("/var/lib/tapeline")
    try:
        return Path.home() / ".local" / "state" / "tapeline"
    except RuntimeError as error:
        raise BadConfiguration(
            M("state_dir: it is not set, and this user has no home folder."), M("Set TAPELINE_STATE_DIR.")
        ) from error


def zone_of_host() -> str:
    """The time zone of this host by its name. Raises BadConfiguration for a variable TZ that names none."""
    named = os.environ.get("TZ", "").removeprefix(":")
    if not named or Path(named).is_absolute():
        return get_localzone_name()
    if named not in available_timezones():
        raise BadConfiguration(
            M("TZ: '{name}' is not the name of a time zone.", name=named),
            M("Correct it, or set time_zone to a name as Asia/Shanghai."),
        )
    return named
