"""How fast the sources of a schedule may be read, at which time of day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from policy.errors import UsageError
from policy.message import M
from policy.schedule import values
from policy.schedule.values import WrongValue
from policy.times import window
from policy.times.window import Window

_ALWAYS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SourceRate:
    """So many bytes a second, in a part of each day or always."""

    bytes_per_second: int
    applies: Window | None
    """None: at any time."""

    def at(self, moment: datetime) -> tuple[int | None, datetime]:
        """The limit at a moment, None if there is none then; and until when this answer is right."""
        if self.applies is None:
            return self.bytes_per_second, moment + _ALWAYS
        opening = self.applies.opening(moment)
        if opening > moment:
            return None, opening
        return self.bytes_per_second, self.applies.closing(moment)


def of(text: str, time_zone: str) -> SourceRate:
    """The limit as a schedule has it: ``50MB/s 08:00-18:00``. Raises UsageError, also for an unknown time
    zone."""
    try:
        values.RATE.read(text)
    except WrongValue as error:
        raise UsageError(M("rate: '{rate}' is no rate.", rate=text), error.remedy) from error
    fast, _, hours = text.partition(" ")
    return SourceRate(values.size_of(fast.removesuffix("/s")), window.of(hours, time_zone) if hours else None)
