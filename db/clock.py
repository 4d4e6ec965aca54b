"""The database's clock, which is the same for every host: one host compares its time with what another wrote.

Each new connection reads it, and a connection in use once a minute. In between it advances by a counter that
no change of this host's clock affects.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta

ASK_AGAIN = 60.0
"""Seconds after which it is read again: the database's clock, too, may be set right."""
SLOWEST = 1.0
"""A slower answer is too inexact, if a reading exists already."""

_known: tuple[datetime, float] | None = None


if sys.platform == "linux":

    def _seconds() -> float:
        """Clocks that also count while the host sleeps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    _seconds = time.monotonic


def now() -> datetime:
    """The present moment, UTC; by this host's clock as long as no database has answered."""
    if _known is None:
        return datetime.now(UTC)
    moment, at = _known
    return moment + timedelta(seconds=_seconds() - at)


def asking() -> float:
    """Call this before querying the database, and pass the result to ``heard``."""
    return _seconds()


def heard(moment: datetime, asked: float) -> None:
    """The database's clock showed this moment, between ``asked`` and now."""
    global _known  # noqa: PLW0603 - there is one clock
    took = _seconds() - asked
    if _known is None or took <= SLOWEST:
        _known = moment.astimezone(UTC), asked + took / 2


def is_stale() -> bool:
    """Whether it should be read again."""
    return _known is None or _seconds() - _known[1] > ASK_AGAIN
