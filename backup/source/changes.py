"""What has changed since the parent of a set: two sorted streams, merged in constant memory.

The earlier sets' state is a stream of rows: lines of bytes in the form of PostgreSQL's COPY, of path,
raw_path, type, size, mtime_ns, ctime_ns, inode and partial (``db.sets.catalog.copy_known``). The row of an
unchanged file equals the one that the scan makes, so it is not even parsed.
"""

from __future__ import annotations

import heapq
import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import zstandard

from backup.entry import FileType, signed
from backup.source.dirlist import Status, kind_of
from backup.source.scan import FoundPath
from backup.spool import spooling
from policy.detection import EVERY, ComparedFields
from policy.paths import is_below, order

_ESCAPED = re.compile(rb"\\(.)")
_MEANT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class Known(NamedTuple):
    """A file as the earlier sets have it."""

    path: bytes
    type: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    """In the form of ``signed``."""
    partial: bool
    """The copy on tape is no single state of the file."""


def known(row: bytes) -> Known:
    """A row, parsed."""
    path, raw_path, kind, size, mtime_ns, ctime_ns, inode, partial = row.rstrip(b"\n").split(b"\t")
    # In this format the \\x of a bytea has its own backslash doubled.
    name = _plain(path) if raw_path == b"\\N" else bytes.fromhex(raw_path[3:].decode())
    return Known(name, kind.decode(), int(size), int(mtime_ns), int(ctime_ns), int(inode), partial == b"t")


def _plain(field: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: _MEANT.get(match[1], match[1]), field) if b"\\" in field else field


class Change(NamedTuple):
    """What must be written."""

    path: bytes
    status: Status | None
    """None: it existed, and was deleted."""
    was: str | None = None
    """The type that it had; None: it is new."""


def every_field(_path: bytes, _status: Status) -> ComparedFields:
    """The rule of a local file system."""
    return EVERY


def since(
    rows: Iterable[bytes],
    scanned: Iterable[FoundPath],
    after: bytes | None = None,
    rule: Callable[[bytes, Status], ComparedFields] = every_field,
) -> Iterator[Change]:
    """The changes, in the order of the set. Both streams are in this order.

    A file has changed if its size, mtime or type has, if its ctime or inode has and its ``rule`` compares
    them, or if it is partial on tape. A path that was not inspected, and all below it, counts as unchanged.
    ``after``: the key of the point of resuming.
    """
    rest = _Ahead(rows)
    while after is not None and rest.key is not None and rest.key <= after:
        rest.step()
    for path, status in scanned:
        if status is not None and rest.row == status.row:
            rest.step()
            continue
        key = order(path)
        while rest.key is not None and rest.key < key:
            yield _gone(rest.take())
        if status is None:
            while rest.key is not None and is_below(rest.key, key):
                rest.step()
        elif rest.key != key:
            yield Change(path, status)
        elif _has_changed(before := rest.take(), status, rule):
            yield Change(path, status, before.type)
    while rest.key is not None:
        yield _gone(rest.take())


def _gone(known: Known) -> Change:
    return Change(known.path, None, known.type)


class _Ahead:
    """A stream whose next row is known."""

    def __init__(self, rows: Iterable[bytes]) -> None:
        self._rows = iter(rows)
        self._known: Known | None = None
        self.row = next(self._rows, None)

    @property
    def key(self) -> bytes | None:
        """The key of the next one; None at the end."""
        if self.row is None:
            return None
        if self._known is None:
            self._known = known(self.row)
        return order(self._known.path)

    def take(self) -> Known:
        assert self.row is not None
        taken = self._known or known(self.row)
        self.step()
        return taken

    def step(self) -> None:
        self._known = None
        self.row = next(self._rows, None)


def _has_changed(known: Known, status: Status, rule: Callable[[bytes, Status], ComparedFields]) -> bool:
    kind = kind_of(status.mode)
    if known.partial or known.type != kind or (kind is FileType.FILE and known.size != status.size):
        return True
    if known.mtime_ns != status.mtime_ns:
        return True
    compared = rule(known.path, status)
    return (compared.ctime and known.ctime_ns != status.ctime_ns) or (
        compared.inode and known.inode != signed(status.inode)
    )


class KnownFiles:
    """The state of several sets, on disk: written once, read any number of times. Raises SpoolFailed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: list[Path] = []

    def write(self, newest_first: Iterable[Callable[[BinaryIO], None]]) -> None:
        """Have each set write its rows, in its order, into a file."""
        self._paths = []
        with spooling():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for age, put in enumerate(newest_first):
            path = self._folder / f"known-{age}.zst"
            with spooling(), _opened(path, "wb") as sink:
                put(sink)
            self._paths.append(path)

    def __iter__(self) -> Iterator[bytes]:
        """For each path the row of the newest set, unless it records a deletion."""
        if len(self._paths) == 1:
            yield from (row for row in _rows(self._paths[0]) if not _is_gone(row))
            return
        last = None
        for key, _age, row in heapq.merge(*map(_keyed, self._paths, range(len(self._paths)))):
            if key != last and not _is_gone(row):
                yield row
            last = key


def _opened(path: Path, mode: str) -> BinaryIO:
    zstd = zstandard.ZstdCompressor(level=1)
    file = zstandard.open(path, mode, cctx=zstd if mode == "wb" else None)
    return cast("BinaryIO", (io.BufferedWriter if mode == "wb" else io.BufferedReader)(file, 1 << 18))


def _rows(path: Path) -> Iterator[bytes]:
    with spooling(), _opened(path, "rb") as rows:
        yield from rows


def _keyed(path: Path, age: int) -> Iterator[tuple[bytes, int, bytes]]:
    for row in _rows(path):
        yield order(known(row).path), age, row


def _is_gone(row: bytes) -> bool:
    return b"\tdeleted\t" in row
