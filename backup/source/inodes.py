"""The file system of a device, and those that invent inode numbers: two of their files may have the same
one."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from backup.source.place import Mount, mounts

_MADE_UP = re.compile(r"fuse(\..*)?|aufs|unionfs|9p|virtiofs|vboxsf|smbfs")
_MOUNTS = Path("/proc/self/mountinfo")


def are_made_up(device: int) -> bool:
    """Whether the inodes of this device cannot prove that two names are one file; unknown: they can."""
    mount = mount_of(device)
    if mount is None:
        return False
    is_numbered = mount.kind not in ("cifs", "smb3") or "noserverino" not in mount.options
    return not is_numbered or _MADE_UP.fullmatch(mount.kind) is not None


def mount_of(device: int) -> Mount | None:
    """A mount of this device (``st_dev``); None if the system lists none."""
    found = _mounted().get(device)
    return found if found is not None or not _look_again(device) else _mounted().get(device)


def look_anew() -> None:
    """Read the mounts again from now on: a device may be another file system than for an earlier backup."""
    _mounted.cache_clear()
    _look_again.cache_clear()


@lru_cache(maxsize=4096)
def _look_again(_device: int) -> bool:
    """Read the mounts again, once for each device that did not exist when they were read."""
    _mounted.cache_clear()
    return True


@lru_cache(maxsize=1)
def _mounted() -> Mapping[int, Mount]:
    if sys.platform == "win32":
        return {}  # It has no such list; wine shows that of its host.
    try:
        table = _MOUNTS.read_bytes()
    except OSError:
        return {}
    return {os.makedev(*mount.device): mount for mount in mounts(table)}
