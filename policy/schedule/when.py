"""The ``when`` of a schedule: the fields of each type, and the rule by which it fires."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import Field

from policy.schedule import table, values
from policy.schedule.table import LeftOut, Table
from policy.times import recurrence
from policy.times.days import WEEKDAYS, DayOfMonth, EveryDay, EveryMonth, EveryWeek, EveryYear
from policy.times.local_time import moment_of, zone_named
from policy.times.period import ScheduleType
from policy.times.recurrence import Calendar, Recurrence

_INTERVAL_START = datetime(2000, 1, 1)  # noqa: DTZ001 - a local time of any zone

_Moment = Annotated[datetime, values.MOMENT]
_At = Annotated[
    time, values.CLOCK, Field(description="Local time of day, HH:MM, in the schedule's time zone.")
]
_Day = Annotated[
    DayOfMonth, values.DAY_OF_MONTH, Field(description="1 to 31, last, first weekday, last friday, ...")
]


class _When(Table):
    def rule(self, zone: ZoneInfo) -> Recurrence:
        """The rule by which it fires."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """What is stored beside the type, as the file has it."""
        return self.model_dump(exclude={"type"}, exclude_none=True)


class Once(_When):
    type: Literal[ScheduleType.ONCE]
    at: _Moment
    """Local date and time, YYYY-MM-DDTHH:MM."""

    def rule(self, zone: ZoneInfo) -> Recurrence:
        return recurrence.OneMoment(_local(self.at, zone))


class Interval(_When):
    type: Literal[ScheduleType.INTERVAL]
    every: Annotated[int, values.duration(values.MINUTE)]
    """How long from one run to the next, such as 6h."""
    start: LeftOut[_Moment] = None
    """The moment from which it is counted; midnight of 1 January 2000 if left out."""

    def rule(self, zone: ZoneInfo) -> Recurrence:
        return recurrence.FixedInterval(
            timedelta(seconds=self.every), _local(self.start or _INTERVAL_START, zone)
        )


class Daily(_When):
    type: Literal[ScheduleType.DAILY]
    at: _At

    def rule(self, zone: ZoneInfo) -> Recurrence:
        return Calendar(EveryDay(), self.at, zone)


class Weekly(_When):
    type: Literal[ScheduleType.WEEKLY]
    day: Annotated[str, values.choice(WEEKDAYS)]
    """The day of the week, monday to sunday."""
    at: _At

    def rule(self, zone: ZoneInfo) -> Recurrence:
        return Calendar(EveryWeek(WEEKDAYS.index(self.day)), self.at, zone)


class Monthly(_When):
    type: Literal[ScheduleType.MONTHLY]
    day: _Day
    at: _At

    def rule(self, zone: ZoneInfo) -> Recurrence:
        return Calendar(EveryMonth(self.day), self.at, zone)


class Yearly(_When):
    type: Literal[ScheduleType.YEARLY]
    month: Annotated[int, values.integer(1, 12)]
    """The month, 1 to 12."""
    day: _Day
    at: _At

    def rule(self, zone: ZoneInfo) -> Recurrence:
        return Calendar(EveryYear(self.month, self.day), self.at, zone)


class Cron(_When):
    type: Literal[ScheduleType.CRON]
    expression: Annotated[str, values.CRON]
    """Five fields, as Debian's cron reads them."""

    def rule(self, zone: ZoneInfo) -> Recurrence:
        return recurrence.CronExpression(self.expression, zone)


class Manual(_When):
    type: Literal[ScheduleType.MANUAL]

    def rule(self, zone: ZoneInfo) -> Recurrence:  # noqa: ARG002 - never, in any zone
        return recurrence.Never()


When = Annotated[
    Once | Interval | Daily | Weekly | Monthly | Yearly | Cron | Manual, Field(discriminator="type")
]

MODELS: dict[ScheduleType, type[_When]] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(When)[0])
}


def rule(schedule_type: ScheduleType, config: Any, time_zone: str, where: str = "when") -> Recurrence:
    """The rule of a schedule. Raises UsageError that names the field and the remedy."""
    zone = zone_named(time_zone)
    given = {"type": schedule_type, **config} if isinstance(config, Mapping) else config
    return table.read(MODELS[schedule_type], given, where).rule(zone)


def _local(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(UTC) if at.tzinfo else moment_of(at.date(), at.time(), zone)
