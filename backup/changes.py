"""What has changed since the parent of a set: two sorted streams, merged in constant memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import zstandard

from backup.scan import Found, split
from backup.spool import spooled, spooling
from policy.paths import is_below, order

FOLDER, SYMLINK, FIFO, FILE = "folder", "symlink", "fifo", "file"


class Known(NamedTuple):
    """A file as the sets before have it."""

    path: bytes
    type: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    """As ``signed`` makes it."""
    partial: bool
    """What is on tape is no single state of the file."""


class Change(NamedTuple):
    """What has to be written."""

    path: bytes
    status: os.stat_result | None
    """None: it was there, and is no more."""


def signed(inode: int) -> int:
    """An inode as a signed number of 64 bits, which is what the catalogue can hold."""
    return inode - (1 << 64) if inode >= 1 << 63 else inode


def since(known: Iterable[Known], found: Iterable[Found], after: bytes | None = None) -> Iterator[Change]:
    """The changes, in the order of the set. Both streams are in this order.

    A file has changed if its size, mtime, ctime, inode or type has, or if it is partial on tape. What was not
    looked at, and all below it, stays as it was. ``after``: the key of the point of resuming.
    """
    rest = _Ahead(known if after is None else (each for each in known if order(each.path) > after))
    for path, status in found:
        key = order(path)
        while rest.key is not None and rest.key < key:
            yield Change(rest.take().path, None)
        if status is None:
            while rest.key is not None and is_below(rest.key, key):
                rest.take()
        elif rest.key != key or _has_changed(rest.take(), status):
            yield Change(path, status)
    while rest.key is not None:
        yield Change(rest.take().path, None)


class _Ahead:
    """A stream whose next element's key is known."""

    def __init__(self, known: Iterable[Known]) -> None:
        self._known = iter(known)
        self._next: Known | None = None
        self.key: bytes | None = None
        self._step()

    def take(self) -> Known:
        taken = self._next
        assert taken is not None
        self._step()
        return taken

    def _step(self) -> None:
        self._next = next(self._known, None)
        self.key = None if self._next is None else order(self._next.path)


def _has_changed(known: Known, status: os.stat_result) -> bool:
    kind = _kind(status.st_mode)
    if known.partial or known.type != kind or (kind == FILE and known.size != status.st_size):
        return True
    seen = (status.st_mtime_ns, status.st_ctime_ns, signed(status.st_ino))
    return seen != (known.mtime_ns, known.ctime_ns, known.inode)


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return FILE
    if stat.S_ISDIR(mode):
        return FOLDER
    return SYMLINK if stat.S_ISLNK(mode) else FIFO


class KnownFiles:
    """The files of the sets before, on disk: written once, read as often as it takes. Raises SpoolFailed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, known: Iterable[Known]) -> None:
        """Put them down in the order of the set."""
        with spooling():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sink = zstandard.open(self._path, "wb")
        try:
            for each in known:
                self._put(sink, each)
        finally:
            with spooling():
                sink.close()

    @spooled
    def _put(self, sink: zstandard.ZstdCompressionWriter, known: Known) -> None:
        # For an increment, one more name of a file is a file like any other.
        kind = FILE if known.type == "hardlink" else known.type
        facts = f"{kind} {known.size} {known.mtime_ns} {known.ctime_ns} {known.inode} {int(known.partial)}"
        sink.write(known.path + b"\0" + facts.encode() + b"\0")

    def __iter__(self) -> Iterator[Known]:
        with spooling():
            source = zstandard.open(self._path, "rb")
        with source:
            fields = split(source)
            while True:
                with spooling():
                    path = next(fields, None)
                    facts = next(fields, b"")
                if path is None:
                    return
                kind, *numbers, partial = facts.split()
                size, mtime_ns, ctime_ns, inode = map(int, numbers)
                yield Known(path, kind.decode(), size, mtime_ns, ctime_ns, inode, partial == b"1")
