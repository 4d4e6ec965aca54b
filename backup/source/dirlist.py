"""What is in a folder, as the scan sees it: the names in their order, each with what is to be known of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from backup.entry import FileType, signed
from backup.source import reach

MOST = 10_000
"""A folder with more names is no listing: it is gone through part by part."""

_FILE = b"%b\t\\N\tfile\t%d\t%d\t%d\t%d\tf\n"
_OTHER = b"%b\t\\N\t%b\t0\t%d\t%d\t%d\tf\n"


class Status(NamedTuple):
    """What the scan keeps of a path."""

    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    nlink: int
    row: bytes
    """The row of a file that has not changed since (``backup.source.changes``); empty where its name would
    have to be escaped."""


_Fields = tuple[int, int, int, int, int, int, int, bytes]
Listed = tuple[bytes, _Fields | None]
"""A name, and the fields of its status; None for one that could not be looked at. Plain tuples: they cross to
another process."""


def look(path: bytes) -> Status:
    """Look at a path itself, past no link. Raises OSError."""
    return status_of(path, reach.status(path))


def status_of(path: bytes, found: os.stat_result) -> Status:
    """The status of a path, as the system describes it."""
    return Status(*_fields(path, found))


def listed(folder: bytes) -> list[Listed] | None:
    """What is in a folder; None if that is more than ``MOST``. Raises OSError."""
    with reach.names(folder) as found:
        # No more of them: the names of a folder of millions would not fit into memory.
        names = list(islice(found, MOST + 1))
    return None if len(names) > MOST else looked_at(folder, sorted(names))


def looked_at(folder: bytes, names: Sequence[bytes]) -> list[Listed]:
    """What names in a folder are, in their order."""
    base = folder.rstrip(b"/") + b"/"
    return [
        (name, None if found is None else _fields(base + name, found))
        for name, found in zip(names, reach.statuses(folder, names), strict=True)
    ]


def kind_of(mode: int) -> FileType:
    """What a path is by itself: that a file is one more name of another is not seen here."""
    if stat.S_ISREG(mode):
        return FileType.FILE
    if stat.S_ISDIR(mode):
        return FileType.FOLDER
    return FileType.SYMLINK if stat.S_ISLNK(mode) else FileType.FIFO


def _fields(path: bytes, found: os.stat_result) -> _Fields:
    mode, size, inode = found.st_mode, found.st_size, found.st_ino
    mtime_ns, ctime_ns = found.st_mtime_ns, found.st_ctime_ns
    if b"\\" in path or b"\t" in path:
        row = b""
    elif stat.S_ISREG(mode):
        row = _FILE % (path, size, mtime_ns, ctime_ns, signed(inode))
    else:
        row = _OTHER % (path, kind_of(mode).encode(), mtime_ns, ctime_ns, signed(inode))
    return mode, size, mtime_ns, ctime_ns, inode, found.st_dev, found.st_nlink, row
