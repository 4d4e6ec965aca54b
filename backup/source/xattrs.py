"""Extended attributes and the names of owners, if the system has them."""

from __future__ import annotations

import errno
import functools
import os
import sys

from backup import system
from backup.entry import text
from policy.message import M, Message

Xattrs = tuple[tuple[str, bytes], ...]

_NONE = (errno.ENOTSUP, errno.EOPNOTSUPP)


def read(file: int | bytes) -> Xattrs:
    """All extended attributes of an open file or of a path itself, sorted by name. Raises OSError."""
    if sys.platform != "linux":
        return ()
    try:
        names = os.listxattr(file) if isinstance(file, int) else os.listxattr(file, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NONE:
            return ()
        raise
    return tuple((_portable(name), _value(file, name)) for name in sorted(names)) if names else ()


def left_out(files: int, platform: str = sys.platform) -> Message | None:
    """What this system has of each file and no backup stores; None: nothing."""
    if platform == "win32":
        return M(
            "Of {files} files the NTFS permissions (ACLs) and alternate streams are not stored.", files=files
        )
    if platform != "linux":
        return M("Of {files} files the extended attributes and ACLs are not stored.", files=files)
    return None


def _portable(name: str) -> str:
    return text(os.fsencode(name))


def _value(file: int | bytes, name: str) -> bytes:
    if sys.platform != "linux":
        return b""
    if isinstance(file, int):
        return os.getxattr(file, name)
    return os.getxattr(file, name, follow_symlinks=False)


def write(file: int | bytes, name: bytes, value: bytes) -> None:
    """Set one extended attribute of an open file or of a path itself. Raises OSError."""
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    if isinstance(file, int):
        os.setxattr(file, name, value)
    else:
        os.setxattr(file, name, value, follow_symlinks=False)


@functools.lru_cache(maxsize=4096)
def user_name(uid: int) -> str:
    """The name of a user, or "" if it has none here."""
    try:
        return text(os.fsencode(system.user_name(uid)))
    except KeyError:
        return ""


@functools.lru_cache(maxsize=4096)
def group_name(gid: int) -> str:
    """The name of a group, or "" if it has none here."""
    try:
        return text(os.fsencode(system.group_name(gid)))
    except KeyError:
        return ""
