"""Which time a report is about, and how backups grow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.times import growth, report
from policy.times.report import Every

SHANGHAI = ZoneInfo("Asia/Shanghai")
GB = 10**9
NEW_YEAR = datetime(2020, 1, 1, tzinfo=UTC)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("every", "moment", "begin", "end"),
    [
        (Every.MONTH, "2026-12-01 08:00", "2026-11-01", "2026-12-01"),
        (Every.MONTH, "2026-12-01 07:59", "2026-10-01", "2026-11-01"),
        (Every.MONTH, "2027-01-15 12:00", "2026-12-01", "2027-01-01"),
        (Every.WEEK, "2026-11-30 08:00", "2026-11-23", "2026-11-30"),
        (Every.WEEK, "2026-11-30 07:59", "2026-11-16", "2026-11-23"),
        (Every.WEEK, "2026-12-06 23:00", "2026-11-23", "2026-11-30"),
    ],
)
def test_a_report_is_due_at_eight_on_the_operators_clock(
    every: Every, moment: str, begin: str, end: str
) -> None:
    found = report.last(every, local(moment).astimezone(UTC), SHANGHAI)
    assert (found.begin, found.end) == (local(begin), local(end))


@given(
    every=st.sampled_from(Every),
    moment=st.integers(0, 20 * 366 * 24 * 60).map(lambda minutes: NEW_YEAR + timedelta(minutes=minutes)),
    zone=st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"]),
)
def test_stretches_follow_each_other(every: Every, moment: datetime, zone: str) -> None:
    """No moment is left out between two reports, and none is in both, on days of summer time neither."""
    found = report.last(every, moment, ZoneInfo(zone))
    before = report.last(every, found.end.astimezone(UTC), ZoneInfo(zone))
    assert before.end == found.begin
    assert found.begin < found.end <= moment


def sizes(*values: int) -> growth.Sizes:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    return [(begun + timedelta(days=30 * number), value) for number, value in enumerate(values)]


def test_backups_that_grow_go_on_as_they_grew() -> None:
    """Of the last twelve; a month on, the newest and the growth of a month."""
    grown = sizes(*[1] * 20, *(100 * GB + number * 10 * GB for number in range(12)))
    at = grown[-1][0] + timedelta(days=60)
    assert growth.per_month(grown) == pytest.approx(10 * GB)
    assert growth.projected(grown, at) == pytest.approx(grown[-1][1] + 20 * GB)


def test_others_are_as_large_as_usual() -> None:
    """Shrinking, equal or too few: the median; none at all: unknown."""
    at = datetime(2027, 1, 1, tzinfo=UTC)
    assert growth.projected(sizes(300, 200, 100), at) == 200
    assert growth.projected(sizes(100, 900), at) == 500
    assert growth.projected([], at) is None
    assert growth.per_month(sizes(1, 2)) is None
    assert (growth.per_month(sizes(300, 200, 100)) or 0) < 0


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=30))
def test_a_projection_is_never_less_than_the_smallest_or_fails(values: list[int]) -> None:
    """Two sets of the same moment neither."""
    for given_sizes in (sizes(*values), [(datetime(2026, 1, 1, tzinfo=UTC), value) for value in values]):
        found = growth.projected(given_sizes, datetime(2030, 1, 1, tzinfo=UTC))
        assert found is not None
        assert found >= min(values)
