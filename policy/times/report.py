"""Which stretch of time a report is about, and when it is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

AT = time(8)
"""When a report is sent, on the operators' clock: at the beginning of a working day."""


class Every(StrEnum):
    """How often a report is sent."""

    WEEK = "week"
    """On Monday, about the week before."""
    MONTH = "month"
    """On the 1st, about the month before."""


AHEAD = {Every.WEEK: timedelta(days=7), Every.MONTH: timedelta(days=31)}
"""How far a report looks ahead: up to the next one, by the longest month. The night before the next one is in
no other report."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """From the first moment on, up to the second one; both aware."""

    begin: datetime
    end: datetime


def last(every: Every, moment: datetime, zone: ZoneInfo) -> Stretch:
    """The newest stretch whose report is due by now: before Monday or the 1st at eight, the one before."""
    today = (moment.astimezone(zone) - timedelta(hours=AT.hour)).date()
    end = today - timedelta(days=today.weekday()) if every is Every.WEEK else today.replace(day=1)
    before = end - timedelta(days=7) if every is Every.WEEK else (end - timedelta(days=1)).replace(day=1)
    midnight = time(tzinfo=zone)
    return Stretch(datetime.combine(before, midnight), datetime.combine(end, midnight))


def up_to(every: Every, moment: datetime) -> Stretch:
    """The stretch of this length that ends now."""
    return Stretch(moment - timedelta(days=7 if every is Every.WEEK else 30), moment)
