"""Who reads the sources: this process, or one that can be left behind (``tape.programs.aside``)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from backup import system
from tape.programs.aside import (
    Aside,
    Eyes,
    Reading,
    Wait,
)

T = TypeVar("T")

AHEAD = 8 << 20
"""So many bytes of a long file are requested from the disk before they are needed."""


class Here:
    """In this very process: if nothing can be left behind, or need not be."""

    wait: Wait | None = None

    def ask(self, function: Callable[..., T], *arguments: Any, about: str) -> T:
        """As ``Eyes`` has it."""
        del about
        return function(*arguments)

    def close(self, descriptor: int) -> None:
        """As ``Eyes`` has it."""
        os.close(descriptor)

    def reading(self, descriptor: int, offset: int, length: int, about: str) -> Reading:
        """As ``Eyes`` has it."""
        del about
        return _ReadHere(descriptor, offset, length)


class _ReadHere:
    def __init__(self, descriptor: int, offset: int, length: int) -> None:
        self._descriptor = descriptor
        self._at = self._asked = offset
        self._end = offset + length
        os.lseek(descriptor, offset, os.SEEK_SET)

    def into(self, buffer: memoryview) -> int:
        if self._asked < min(self._at + AHEAD, self._end):
            system.read_soon(self._descriptor, self._asked, AHEAD)
            self._asked += AHEAD
        count = system.read_into(self._descriptor, buffer)
        self._at += count
        return count


HERE = Here()


def opened(wait: Wait | None) -> AbstractContextManager[Eyes]:
    """Eyes for the time of a context: in another process if somebody watches the time, else here."""
    return nullcontext(HERE) if wait is None else Aside(wait)
