"""The engine's own files on the host's disk, for data that would not fit in memory, and their errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from backup.errors import SpoolFailed
from policy.message import M

P = ParamSpec("P")
R = TypeVar("R")


def failed(error: Exception) -> SpoolFailed:
    """The error for an operator."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return SpoolFailed(
        M("The spool folder on the drive's host failed: {reason}.", reason=reason or type(error).__name__),
        M("Make room on its disk or correct its permissions, then retry the run."),
    )


@contextmanager
def spooling() -> Iterator[None]:
    """Translate errors of the host's disk. Raises SpoolFailed."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise failed(error) from error


def spooled(function: Callable[P, R]) -> Callable[P, R]:
    """``spooling`` for a whole function that is called often."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (OSError, sqlite3.Error) as error:
            raise failed(error) from error

    return call
