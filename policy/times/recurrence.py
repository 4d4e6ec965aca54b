"""When a schedule fires: rules that compute the next moment after any other.

A rule keeps no state, so it gives the same answer after a restart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim

from policy.times.days import Days
from policy.times.local_time import moment_of


class Recurrence(Protocol):
    """When something is due, as moments in UTC."""

    def after(self, moment: datetime) -> datetime | None:
        """The first moment later than ``moment``; None if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Never:
    """Nothing is ever due: runs are started by hand."""

    def after(self, moment: datetime) -> datetime | None:  # noqa: ARG002 - the protocol's signature
        return None


@dataclass(frozen=True, slots=True)
class OneMoment:
    at: datetime

    def after(self, moment: datetime) -> datetime | None:
        return self.at if self.at > moment else None


@dataclass(frozen=True, slots=True)
class FixedInterval:
    """At a fixed interval, counted from ``start``: real hours, independent of clock changes."""

    every: timedelta
    start: datetime

    def after(self, moment: datetime) -> datetime | None:
        passed = max((moment - self.start) // self.every + 1, 0)
        return self.start + passed * self.every


@dataclass(frozen=True, slots=True)
class Calendar:
    """At a local time on certain days."""

    days: Days
    at: time
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime | None:
        # The day before: a time that the clock skips on one day may mean a moment of the next.
        first = moment.astimezone(self.zone).date() - timedelta(days=1)
        moments = (moment_of(day, self.at, self.zone) for day in self.days.since(first))
        return next(occurrence for occurrence in moments if occurrence > moment)


@dataclass(frozen=True, slots=True)
class CronExpression:
    """A cron expression of five fields, as Debian's cron reads it."""

    expression: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime | None:
        # In the hour that occurs twice, cronsim begins with times of the first pass.
        moments = (each.astimezone(UTC) for each in CronSim(self.expression, moment.astimezone(self.zone)))
        return next((each for each in moments if each > moment), None)


def occurrences(rule: Recurrence, after: datetime) -> Iterator[datetime]:
    """All moments of a rule after ``after``, ascending."""
    moment = rule.after(after)
    while moment is not None:
        yield moment
        moment = rule.after(moment)


COUNTED = 1000
"""Missed occurrences are counted up to here."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """The occurrences that are due and not decided."""

    first: datetime
    latest: datetime
    before_latest: datetime | None
    """The one before the latest, if there is more than one."""
    count: int
    """All of them, at most COUNTED."""


def overdue(rule: Recurrence, first: datetime, now: datetime) -> Overdue:
    """The due occurrences at ``now``, given that ``first`` is the oldest undecided one (not after now)."""
    later = sum(1 for _ in islice(_until(rule, first, now), COUNTED - 1))
    last = latest(rule, first, now)
    before = latest(rule, first, last - timedelta(microseconds=1)) if later else None
    return Overdue(first, last, before, 1 + later)


def _until(rule: Recurrence, after: datetime, now: datetime) -> Iterator[datetime]:
    for moment in occurrences(rule, after):
        if moment > now:
            return
        yield moment


def latest(rule: Recurrence, first: datetime, now: datetime) -> datetime:
    """The last moment of a rule that is not after ``now``, found from ``now`` backwards; else ``first``."""
    back = timedelta(minutes=1)
    while now - back > first:
        moments = list(_until(rule, now - back, now))
        if moments:
            return moments[-1]
        back *= 2
    return max(_until(rule, first, now), default=first)
