"""File systems that invent inode numbers: two of their files may have the same one."""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from pathlib import Path

_MADE_UP = re.compile(r"fuse(\..*)?|aufs|unionfs|9p|virtiofs|vboxsf|smbfs")
_MOUNTS = Path("/proc/self/mountinfo")


def are_made_up(device: int) -> bool:
    """Whether the inodes of this device cannot prove that two names are one file; unknown: they can."""
    mounted = _mounted()
    return device in mounted or (_look_again(device) and device in _mounted())


@lru_cache(maxsize=4096)
def _look_again(_device: int) -> bool:
    """Read the mounts again, once for each device that did not exist when they were read."""
    _mounted.cache_clear()
    return True


@lru_cache(maxsize=1)
def _mounted() -> frozenset[int]:
    if sys.platform == "win32":
        return frozenset()  # It has no such list; wine shows that of its host.
    try:
        lines = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return frozenset()
    return frozenset(filter(None, map(_device, lines)))


def _device(line: str) -> int | None:
    """The device of a mount whose file system invents numbers; None for another."""
    fields, _, rest = line.partition(" - ")
    kind, _, options = rest.partition(" ")
    if not _MADE_UP.fullmatch(kind) and not (kind in ("cifs", "smb3") and "noserverino" in options):
        return None
    major, _, minor = fields.split()[2].partition(":")
    return os.makedev(int(major), int(minor))
