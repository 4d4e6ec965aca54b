"""Periods: which runs are the same month's, week's, day's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.times import period
from policy.times.period import ScheduleType

CALENDAR = [ScheduleType.DAILY, ScheduleType.WEEKLY, ScheduleType.MONTHLY, ScheduleType.YEARLY]
OWN = [ScheduleType.ONCE, ScheduleType.INTERVAL, ScheduleType.CRON]
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
ZONES = st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"])


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("kind", "moment", "zone", "key"),
    [
        (ScheduleType.DAILY, "2026-11-23T15:59:59+00:00", "Asia/Shanghai", "2026-11-23"),
        (ScheduleType.DAILY, "2026-11-23T16:00:00+00:00", "Asia/Shanghai", "2026-11-24"),
        (ScheduleType.WEEKLY, "2027-01-01T12:00:00+00:00", "UTC", "2026-W53"),
        (ScheduleType.WEEKLY, "2024-12-30T12:00:00+00:00", "UTC", "2025-W01"),
        (ScheduleType.MONTHLY, "2026-10-31T17:00:00+00:00", "Asia/Shanghai", "2026-11"),
        (ScheduleType.YEARLY, "2026-12-31T23:30:00+00:00", "Europe/Berlin", "2027"),
        (ScheduleType.CRON, "2026-11-23T08:00:00+08:00", "Asia/Shanghai", "2026-11-23T00:00:00Z"),
    ],
)
def test_a_period_is_named_on_the_schedules_clock(
    kind: ScheduleType, moment: str, zone: str, key: str
) -> None:
    """Days, ISO weeks, months and years are those of the schedule's time zone."""
    assert period.key(kind, at(moment), zone) == key


@given(st.sampled_from(CALENDAR), MOMENTS, MOMENTS, ZONES)
def test_a_period_is_done_by_a_success_in_it_and_by_no_other(
    kind: ScheduleType, due: datetime, success: datetime, zone: str
) -> None:
    """For calendar types only a success of the same period counts, whatever lies between."""
    same = period.key(kind, due, zone) == period.key(kind, success, zone)
    assert period.is_done(kind, due, success, zone) is same
    assert period.is_done(kind, due, None, zone) is False


@given(st.sampled_from(OWN), MOMENTS, st.integers(-(10**6), 10**6), ZONES)
def test_an_occurrence_is_done_by_a_success_since_it_was_due(
    kind: ScheduleType, due: datetime, seconds: int, zone: str
) -> None:
    """Where each occurrence is its own period, an earlier success does not count."""
    assert period.is_done(kind, due, due + timedelta(seconds=seconds), zone) is (seconds >= 0)
