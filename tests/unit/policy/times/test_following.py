"""Which run of a schedule another one follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.schedule import when
from policy.times import following
from policy.times.period import ScheduleType

CONFIGS = {
    ScheduleType.DAILY: {"at": "02:00"},
    ScheduleType.WEEKLY: {"day": "monday", "at": "02:00"},
    ScheduleType.MONTHLY: {"day": 1, "at": "02:00"},
    ScheduleType.YEARLY: {"month": 1, "day": 1, "at": "02:00"},
    ScheduleType.CRON: {"expression": "0 2 * * *"},
    ScheduleType.INTERVAL: {"every": "6h"},
    ScheduleType.MANUAL: {},
}
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
MOMENT = datetime(2026, 11, 18, 6, 0, tzinfo=UTC)


def is_followed(kind: ScheduleType, due: datetime, moment: datetime = MOMENT) -> bool:
    rule = when.rule(kind, CONFIGS[kind], "UTC")
    return following.is_of_its_period(kind, rule, "UTC", since=SINCE, moment=moment, due=due)


@pytest.mark.parametrize(
    ("kind", "oldest"),
    [
        (ScheduleType.DAILY, datetime(2026, 11, 18, tzinfo=UTC)),
        (ScheduleType.WEEKLY, datetime(2026, 11, 16, tzinfo=UTC)),
        (ScheduleType.MONTHLY, datetime(2026, 11, 1, tzinfo=UTC)),
        (ScheduleType.YEARLY, datetime(2026, 1, 1, tzinfo=UTC)),
        (ScheduleType.CRON, datetime(2026, 11, 18, 2, tzinfo=UTC)),
        (ScheduleType.INTERVAL, datetime(2026, 11, 18, 6, tzinfo=UTC)),
        (ScheduleType.MANUAL, MOMENT),
    ],
)
def test_it_is_that_of_the_period_of_the_follower(kind: ScheduleType, oldest: datetime) -> None:
    assert is_followed(kind, oldest)
    assert is_followed(kind, max(oldest, MOMENT))
    assert not is_followed(kind, oldest - timedelta(seconds=1))


@given(
    st.sampled_from([kind for kind in CONFIGS if kind is not ScheduleType.MANUAL]),
    st.datetimes(datetime(2026, 2, 1), datetime(2027, 2, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_its_own_latest_time_is_followed_where_it_is_in_the_period(
    kind: ScheduleType, moment: datetime
) -> None:
    """What was due in the same second is always of the period, and the year before never."""
    assert is_followed(kind, moment, moment)
    assert not is_followed(kind, moment - timedelta(days=366), moment)
