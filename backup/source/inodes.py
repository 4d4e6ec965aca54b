"""The file system of a device, and how much its inode numbers and ctimes prove."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from backup.source.place import Mount, mounts
from policy.detection import AUTO, SHARED, ComparedFields, compared

_MADE_UP = re.compile(r"fuse(\..*)?|aufs|unionfs|9p|virtiofs|vboxsf|smbfs")
_MOUNTS = Path("/proc/self/mountinfo")


def are_made_up(device: int) -> bool:
    """Whether the inodes of this device cannot prove that two names are one file; unknown: they can."""
    mount = mount_of(device)
    if mount is None:
        return False
    is_numbered = mount.kind not in ("cifs", "smb3") or "noserverino" not in mount.options
    return not is_numbered or _MADE_UP.fullmatch(mount.kind) is not None


def kind_at(path: bytes, device: int) -> str | None:
    """The type of the file system of a path; None if the system does not report it."""
    if sys.platform == "win32":
        # It has no list of mounts; a share has two strokes before the name of its server.
        return "cifs" if path.startswith(b"///") else None
    mount = mount_of(device)
    return mount.kind if mount else None


def is_same(path: bytes, before: os.stat_result, after: os.stat_result) -> bool:
    """Whether two looks at a path within a moment have seen the same file. Where the inode is not believed,
    another one of its kind counts as the same."""
    return (
        before.st_dev == after.st_dev
        and stat.S_IFMT(before.st_mode) == stat.S_IFMT(after.st_mode)
        and (before.st_ino == after.st_ino or not _believed(path, before).inode)
    )


def is_unchanged(path: bytes, before: os.stat_result, after: os.stat_result) -> bool:
    """Whether the file that was read is the inspected one, and nobody wrote it meanwhile."""
    return (
        is_same(path, before, after)
        and before.st_mtime_ns == after.st_mtime_ns
        and before.st_size == after.st_size
        and (before.st_ctime_ns == after.st_ctime_ns or not _believed(path, before).ctime)
    )


def is_on_share(path: bytes, device: int) -> bool:
    """Whether each call may have to be waited for."""
    return compared(AUTO, kind_at(path, device)) == SHARED


def _believed(path: bytes, status: os.stat_result) -> ComparedFields:
    return compared(AUTO, kind_at(path, status.st_dev))


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
