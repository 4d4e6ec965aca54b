"""The entry of a path, from the system's facts; its content and place come later."""

from __future__ import annotations

import os
import stat

from backup.entry import Entry, FileType, text
from backup.source import xattrs as attributes


def entry_of(
    path: bytes,
    kind: FileType,
    status: os.stat_result,
    xattrs: attributes.Xattrs,
    *,
    target: str | None = None,
    blake3: bytes | None = None,
) -> Entry:
    """``target``: of a symbolic link. ``blake3``: of the content, if it has been read."""
    return Entry(
        path=text(path),
        type=kind,
        size=status.st_size if kind is FileType.FILE else 0,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        inode=status.st_ino,
        nlink=status.st_nlink,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        uname=attributes.user_name(status.st_uid),
        gname=attributes.group_name(status.st_gid),
        target=target,
        xattrs=xattrs,
        blake3=blake3,
    )
