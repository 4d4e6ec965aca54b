"""The contents of a folder for the scan: the names in their order, each with its facts."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from backup.entry import FileType, signed
from backup.source import reach

MAX = 10_000
"""A folder with more names is not listed as a whole: it is walked part by part."""

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
    """The row of an unchanged file (``backup.source.changes``); empty if its name would have to be
    escaped."""


_Fields = tuple[int, int, int, int, int, int, int, bytes]
ListedName = tuple[bytes, _Fields | None]
"""A name, and the fields of its status; None if it could not be inspected. Plain tuples: they go to another
process."""


def look(path: bytes) -> Status:
    """The status of a path itself, following no link. Raises OSError."""
    return status_of(path, reach.status(path))


def status_of(path: bytes, stat_result: os.stat_result) -> Status:
    """The status of a path, from the system's fields."""
    return Status(*_fields(path, stat_result))


def listed(folder: bytes, each: reach.Each = map) -> list[ListedName] | None:
    """The contents of a folder; None if there are more than ``MAX``. ``each``: as ``map``, which may do
    several at once. Raises OSError."""
    with reach.names(folder) as all_names:
        # No more of them: the names of a folder of millions would not fit into memory.
        names = list(islice(all_names, MAX + 1))
    return None if len(names) > MAX else looked_at(folder, sorted(names), each)


def looked_at(folder: bytes, names: Sequence[bytes], each: reach.Each = map) -> list[ListedName]:
    """The status of names in a folder, in their order."""
    base = folder.rstrip(b"/") + b"/"
    return [
        (name, None if stat_result is None else _fields(base + name, stat_result))
        for name, stat_result in zip(names, reach.statuses(folder, names, each), strict=True)
    ]


def kind_of(mode: int) -> FileType:
    """The type of a path by itself: this does not show that a file is one more name of another."""
    if stat.S_ISREG(mode):
        return FileType.FILE
    if stat.S_ISDIR(mode):
        return FileType.FOLDER
    return FileType.SYMLINK if stat.S_ISLNK(mode) else FileType.FIFO


def _fields(path: bytes, stat_result: os.stat_result) -> _Fields:
    mode, size, inode = stat_result.st_mode, stat_result.st_size, stat_result.st_ino
    mtime_ns, ctime_ns = stat_result.st_mtime_ns, stat_result.st_ctime_ns
    if b"\\" in path or b"\t" in path:
        row = b""
    elif stat.S_ISREG(mode):
        row = _FILE % (path, size, mtime_ns, ctime_ns, signed(inode))
    else:
        row = _OTHER % (path, kind_of(mode).encode(), mtime_ns, ctime_ns, signed(inode))
    return mode, size, mtime_ns, ctime_ns, inode, stat_result.st_dev, stat_result.st_nlink, row
