"""The list of changes, on disk: what will be backed up or recorded as deleted, and how much that is."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO, NamedTuple

import zstandard

from backup.source.changes import Change
from backup.source.dirlist import Status
from backup.source.links import LinkTable
from backup.source.pack import is_small
from backup.source.reach import is_long
from backup.source.scan import split
from backup.spool import spooling


class PathAction(Enum):
    """The action for a path."""

    STORE = b"+"
    SMALL = b"s"
    """Store it; at the time of the scan it was a file that can be packed whole."""
    GONE = b"-"


_KINDS = {kind.value: kind for kind in PathAction}


class PlannedPath(NamedTuple):
    """One change."""

    path: bytes
    kind: PathAction


class Plan:
    """Paths in the order of the set. Raises SpoolFailed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.files = 0
        self.deleted = 0
        self.size = 0
        self.small = 0
        """Files that can be packed whole."""

    def write(self, changes: Iterable[Change], links: LinkTable, check: Callable[[], None]) -> None:
        """Write down every change; ``check`` is called regularly."""
        with spooling():
            sink = zstandard.open(self._path, "wb")
        try:
            lines: list[bytes] = []
            for number, change in enumerate(changes):
                lines.append(self._kind(change.path, change.status, links).value + change.path)
                if number % 1000 == 0:
                    check()
                    self._flush(sink, lines)
            self._flush(sink, lines)
        finally:
            with spooling():
                sink.close()

    @staticmethod
    def _flush(sink: BinaryIO, lines: list[bytes]) -> None:
        with spooling():
            sink.write(b"".join(line + b"\0" for line in lines))
        lines.clear()

    def _kind(self, path: bytes, status: Status | None, links: LinkTable) -> PathAction:
        if status is None:
            self.deleted += 1
            return PathAction.GONE
        self.files += 1
        if not stat.S_ISREG(status.mode):
            return PathAction.STORE
        if status.nlink == 1 or links.count(status.device, status.inode):
            self.size += max(status.size, 0)
        if is_long(path) or not is_small(status.mode, status.nlink, status.size):
            return PathAction.STORE
        self.small += 1
        return PathAction.SMALL

    def changes(self) -> Iterator[PlannedPath]:
        """Read the changes back."""
        with spooling():
            source = zstandard.open(self._path, "rb")
        with source:
            lines = split(source)
            while True:
                with spooling():
                    line = next(lines, None)
                if line is None:
                    return
                yield PlannedPath(line[1:], _KINDS[line[:1]])
