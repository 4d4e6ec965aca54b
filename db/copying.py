"""Rows loaded in bulk: lines that PostgreSQL's COPY reads."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import psycopg2

BLOCK = 1 << 16


def copy_in(cursor: Any, statement: str, lines: Iterator[str]) -> None:
    """Have a COPY statement read lines, with at most one block in memory.

    An exception of ``lines`` goes through unchanged: PostgreSQL only learns that the reading ended, and
    reports a cancelled query. Raises psycopg2.Error.
    """
    file = _Lines(lines)
    try:
        cursor.copy_expert(statement, file, size=BLOCK)
    except psycopg2.Error:
        if file.error is not None:
            raise file.error from file.error.__cause__
        raise


class _Lines(io.RawIOBase):
    """Lines as a file that COPY reads."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._rest = bytearray()
        self.error: BaseException | None = None
        """The exception that ended the reading."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            self._fill(size)
        except BaseException as error:
            self.error = error
            raise
        block = bytes(self._rest[:size] if size >= 0 else self._rest)
        del self._rest[: len(block)]
        return block

    def _fill(self, size: int) -> None:
        while size < 0 or len(self._rest) < size:
            line = next(self._lines, None)
            if line is None:
                return
            self._rest += line.encode()
