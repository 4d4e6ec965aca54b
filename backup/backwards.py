"""Entries put aside on disk and read back last first: for folders, whose metadata come after their files."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Iterator

from backup.entry import Entry, from_json, to_line
from backup.spool import spooled

_LENGTH = struct.Struct(">I")


class Backwards:
    """A stack of entries of any height, in constant memory. Raises SpoolFailed."""

    @spooled
    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - close() ends it

    @spooled
    def push(self, entry: Entry) -> None:
        line = to_line(entry)
        self._file.write(line + _LENGTH.pack(len(line)))

    def __iter__(self) -> Iterator[Entry]:
        end = self._end()
        while end:
            line, end = self._before(end)
            yield from_json(json.loads(line))

    def close(self) -> None:
        self._file.close()

    @spooled
    def _end(self) -> int:
        return self._file.seek(0, os.SEEK_END)

    @spooled
    def _before(self, end: int) -> tuple[bytes, int]:
        self._file.seek(end - _LENGTH.size)
        (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
        start = end - _LENGTH.size - length
        self._file.seek(start)
        return self._file.read(length), start
