"""The days of a schedule: every day, a day of the week, of the month, of the year."""

from __future__ import annotations

import calendar
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WORKDAYS = frozenset(range(5))
ALL_DAYS = frozenset(range(7))
ORDINALS = {"first": 0, "second": 1, "third": 2, "fourth": 3, "last": -1}


class Days(Protocol):
    """An endless ascending series of dates."""

    def since(self, first: date) -> Iterator[date]:
        """Those that are ``first`` or later."""
        ...


@dataclass(frozen=True, slots=True)
class EveryDay:
    def since(self, first: date) -> Iterator[date]:
        return (first + timedelta(days=number) for number in itertools.count())


@dataclass(frozen=True, slots=True)
class EveryWeek:
    weekday: int
    """0 is Monday."""

    def since(self, first: date) -> Iterator[date]:
        start = first + timedelta(days=(self.weekday - first.weekday()) % 7)
        return (start + timedelta(weeks=number) for number in itertools.count())


@dataclass(frozen=True, slots=True)
class DayOfMonth:
    """One day of a month: the ``index``-th of those that fall on ``weekdays``, from the end if negative.

    If a month has fewer, it is the last of them: day 31 is the last day, in February as well.
    """

    index: int
    weekdays: frozenset[int] = ALL_DAYS

    def of(self, year: int, month: int) -> date:
        length = calendar.monthrange(year, month)[1]
        days = (date(year, month, number) for number in range(1, length + 1))
        matching = [day for day in days if day.weekday() in self.weekdays]
        return matching[min(self.index, len(matching) - 1)]


@dataclass(frozen=True, slots=True)
class EveryMonth:
    day: DayOfMonth

    def since(self, first: date) -> Iterator[date]:
        months = (divmod(number, 12) for number in itertools.count(first.year * 12 + first.month - 1))
        days = (self.day.of(year, month + 1) for year, month in months)
        return (day for day in days if day >= first)


@dataclass(frozen=True, slots=True)
class EveryYear:
    month: int
    day: DayOfMonth

    def since(self, first: date) -> Iterator[date]:
        days = (self.day.of(year, self.month) for year in itertools.count(first.year))
        return (day for day in days if day >= first)
