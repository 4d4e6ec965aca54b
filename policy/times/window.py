"""The part of each day in which a schedule's runs may work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from policy.errors import UsageError
from policy.message import M
from policy.times.local_time import moment_of, zone_named

REMEDY = M('Write two different local times of day as "HH:MM-HH:MM", for instance "20:00-06:00".')

_DAYS = 370
"""A window that is skipped by the clock on one day opens on another one of a year."""


@dataclass(frozen=True, slots=True)
class Window:
    """From ``opens`` to ``closes`` by the local clock, each day; over midnight if ``closes`` is not later.

    It has its first moment, and not its last one. Where the clock changes, both are what
    ``policy.times.local_time`` makes of them: a time that is skipped is the end of the gap, one that occurs
    twice its first pass.
    """

    opens: time
    closes: time
    zone: ZoneInfo

    def opening(self, moment: datetime) -> datetime:
        """``moment`` if it is in the window; else when the window opens next."""
        begins, _ = self._current_or_next(moment)
        return max(begins, moment)

    def closing(self, moment: datetime) -> datetime:
        """When the window closes in which ``moment`` is, or which opens next."""
        return self._current_or_next(moment)[1]

    @property
    def text(self) -> str:
        """As a schedule has it."""
        return f"{self.opens:%H:%M}-{self.closes:%H:%M}"

    def is_open(self, moment: datetime) -> bool:
        return self.opening(moment) == moment

    def _current_or_next(self, moment: datetime) -> tuple[datetime, datetime]:
        return next((begins, ends) for begins, ends in self._stretches(moment) if ends > moment)

    def _stretches(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        """From the day before on: a window over midnight is that of the evening."""
        first = moment.astimezone(self.zone).date() - timedelta(days=2)
        for number in range(_DAYS):
            day = first + timedelta(days=number)
            begins, ends = _stretch(self, day)
            if begins < ends:
                yield begins, ends


# The calendar asks for the same nights several times.
@lru_cache(maxsize=4096)
def _stretch(window: Window, day: date) -> tuple[datetime, datetime]:
    """From the opening on a day to the closing that follows by the clock; none if the clock skips it."""
    last = day if window.opens < window.closes else day + timedelta(days=1)
    begins = moment_of(day, window.opens, window.zone).astimezone(UTC)
    return begins, moment_of(last, window.closes, window.zone).astimezone(UTC)


def parse(text: str) -> tuple[time, time]:
    """Its two local times from ``20:00-06:00``. Raises ValueError: one is no time, or they are the same."""
    written = re.fullmatch(r"(\d\d:\d\d)-(\d\d:\d\d)", text)
    if written is None or written[1] == written[2]:
        raise ValueError("no window")
    return time.fromisoformat(written[1]), time.fromisoformat(written[2])


def of(text: str, time_zone: str) -> Window:
    """A window as a schedule has it. Raises UsageError, also for an unknown time zone."""
    try:
        opens, closes = parse(text)
    except ValueError as error:
        raise UsageError(M("window: '{window}' is no window.", window=text), REMEDY) from error
    return Window(opens, closes, zone_named(time_zone))
