"""The database's clock, which is the same for every host: what one host writes, another compares with.

Each new connection asks for it, and one that is in use once a minute; in between it goes on by a counter that
no change of this host's clock touches.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta

ASK_AGAIN = 60.0
"""Seconds after which it is asked for anew: the database's clock, too, may be set right."""
SLOWEST = 1.0
"""An answer that took longer says too little of the moment, where one is known already."""

_known: tuple[datetime, float] | None = None


if sys.platform == "linux":

    def _seconds() -> float:
        """They count while the host sleeps, too."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    _seconds = time.monotonic


def now() -> datetime:
    """The present moment, UTC; by this host's clock as long as no database has been asked."""
    if _known is None:
        return datetime.now(UTC)
    moment, at = _known
    return moment + timedelta(seconds=_seconds() - at)


def asking() -> float:
    """To be called before the database is asked, and given to ``heard``."""
    return _seconds()


def heard(moment: datetime, asked: float) -> None:
    """The database's clock showed this moment, between ``asked`` and now."""
    global _known  # noqa: PLW0603 - there is one clock
    took = _seconds() - asked
    if _known is None or took <= SLOWEST:
        _known = moment.astimezone(UTC), asked + took / 2


def is_stale() -> bool:
    """Whether it should be asked for anew."""
    return _known is None or _seconds() - _known[1] > ASK_AGAIN
