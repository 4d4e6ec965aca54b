"""The list of changes, on disk: what will be backed up or recorded as gone, and how much that is."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import zstandard

from backup.changes import Change
from backup.links import LinkTable
from backup.scan import split
from backup.spool import spooling

_STORE, _GONE = b"+", b"-"


class Plan:
    """Paths in the order of the set. Raises SpoolFailed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.files = 0
        self.deleted = 0
        self.size = 0

    def write(self, changes: Iterable[Change], links: LinkTable, check: Callable[[], None]) -> None:
        """Write down every change; ``check`` is called now and then."""
        with spooling():
            sink = zstandard.open(self._path, "wb")
        try:
            for number, (path, status) in enumerate(changes):
                if status is None:
                    self.deleted += 1
                else:
                    self._count(status, links)
                with spooling():
                    sink.write((_GONE if status is None else _STORE) + path + b"\0")
                if number % 1000 == 0:
                    check()
        finally:
            with spooling():
                sink.close()

    def _count(self, status: os.stat_result, links: LinkTable) -> None:
        self.files += 1
        if not stat.S_ISREG(status.st_mode):
            return
        if status.st_nlink == 1 or links.count(status.st_dev, status.st_ino):
            self.size += status.st_size

    def paths(self) -> Iterator[tuple[bytes, bool]]:
        """Read the paths back; with each, whether it is gone."""
        with spooling():
            source = zstandard.open(self._path, "rb")
        with source:
            names = split(source)
            while True:
                with spooling():
                    name = next(names, None)
                if name is None:
                    return
                yield name[1:], name[:1] == _GONE
