"""The ``when`` of a schedule: from a type and its fields to the rule by which it fires."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from policy.schedule import fields, values
from policy.times.days import (
    WEEKDAYS,
    EveryDay,
    EveryMonth,
    EveryWeek,
    EveryYear,
)
from policy.times.local_time import moment_of, zone_named
from policy.times.period import ScheduleType
from policy.times.recurrence import (
    Calendar,
    Cron,
    Interval,
    Never,
    Once,
    Rule,
)

_TYPE = values.choice([each.value for each in ScheduleType])
_INTERVAL_START = datetime(2000, 1, 1)  # noqa: DTZ001 - a local time of any zone


def rule(schedule_type: ScheduleType, config: Any, time_zone: str, where: str = "when") -> Rule:
    """The rule of a schedule. Raises UsageError that names the field and the remedy."""
    zone = zone_named(time_zone)
    return _RULES[schedule_type](fields.read(fields.WHEN[schedule_type], config, where), zone)


def read(given: Any, where: str) -> tuple[ScheduleType, dict[str, Any]]:
    """``{type, ...}`` as the type and the config that is stored. Raises UsageError."""
    table = dict(fields.as_table(given, where))
    if "type" not in table:
        raise fields.missing("type", _TYPE, where)
    found = ScheduleType(fields.value_of(_TYPE, table.pop("type"), f"{where}.type"))
    config = fields.read(fields.WHEN[found], table, where)
    return found, {
        field.name: field.show(config[field.name])
        for field in fields.WHEN[found]
        if config[field.name] is not None
    }


def _local(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(UTC) if at.tzinfo else moment_of(at.date(), at.time(), zone)


_RULES: dict[ScheduleType, Callable[[Mapping[str, Any], ZoneInfo], Rule]] = {
    ScheduleType.ONCE: lambda given, zone: Once(_local(given["at"], zone)),
    ScheduleType.INTERVAL: lambda given, zone: Interval(
        timedelta(seconds=given["every"]), _local(given["start"] or _INTERVAL_START, zone)
    ),
    ScheduleType.DAILY: lambda given, zone: Calendar(EveryDay(), given["at"], zone),
    ScheduleType.WEEKLY: lambda given, zone: Calendar(
        EveryWeek(WEEKDAYS.index(given["day"])), given["at"], zone
    ),
    ScheduleType.MONTHLY: lambda given, zone: Calendar(EveryMonth(given["day"]), given["at"], zone),
    ScheduleType.YEARLY: lambda given, zone: Calendar(
        EveryYear(given["month"], given["day"]), given["at"], zone
    ),
    ScheduleType.CRON: lambda given, zone: Cron(given["expression"], zone),
    ScheduleType.MANUAL: lambda _given, _zone: Never(),
}
