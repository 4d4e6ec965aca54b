"""Slows down the reading of sources while a rate limit of the schedule applies."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from db.models import now
from policy.schedule.rate import SourceRate

SLICE = 0.5
"""Seconds after which a wait looks whether the run must stop, and whether the limit still applies."""
AT_LEAST = 0.02
"""Shorter waits are put together."""


class SourceThrottle:
    """Keeps the average of what is read at the limit; what was not read in time is not made up for.

    Where no limit applies, it costs a comparison: the drive's speed is not touched.
    """

    def __init__(self, limit: SourceRate, check: Callable[[], None], is_ending: Callable[[], bool]) -> None:
        """``check``: called while it waits; its errors go through. ``is_ending``: True ends a wait."""
        self.seconds = 0.0
        """How long it has waited in total."""
        self._limit = limit
        self._check = check
        self._is_ending = is_ending
        self._bytes_per_second: int | None = None
        self._asks_again = datetime.min.replace(tzinfo=now().tzinfo)
        self._due = time.monotonic()
        """When what was read until now may have been read."""

    def is_slowing(self) -> bool:
        """Whether a limit applies now."""
        moment = now()
        # A clock that was set back has to be asked as well.
        if moment >= self._asks_again or self._asks_again - moment > timedelta(days=2):
            self._bytes_per_second, self._asks_again = self._limit.at(moment)
        return self._bytes_per_second is not None

    def took(self, count: int) -> None:
        """So many bytes were read: wait as long as that is too fast. Raises what ``check`` raises."""
        if not self.is_slowing():
            return
        assert self._bytes_per_second is not None
        began = time.monotonic()
        self._due = max(self._due, began) + count / self._bytes_per_second
        if self._due - began < AT_LEAST:
            return
        while (left := self._due - time.monotonic()) > 0 and self.is_slowing() and not self._is_ending():
            time.sleep(min(left, SLICE))
            self._check()
        self.seconds += time.monotonic() - began
