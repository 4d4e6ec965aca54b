"""When the runs of the calendar work, and which nights are too short."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from policy.tapes.facts import TapePolicy
from policy.times import nights, window
from policy.times.calendar import CalendarEntry
from policy.times.period import ScheduleType
from policy.times.shelf import PlannedRun

NIGHT = window.of("20:00-06:00", "UTC")
HOUR = timedelta(hours=1)


def entry(
    at: datetime, hours: float | None, bound: window.Window | None = NIGHT, drive: str = "tape0"
) -> CalendarEntry:
    run = PlannedRun(
        at=at, schedule="files", schedule_type=ScheduleType.DAILY, time_zone="UTC", drive=drive,
        policy=TapePolicy.parse("current_month"), template_id=1, retention_days=None, keep_sets=None,
        type="full", size=None, window=bound, seconds=None if hours is None else hours * 3600,
    )  # fmt: skip
    return CalendarEntry(run, None, None, insert=False, format=False, erases=(), used_before=0)


def worked_out(*entries: CalendarEntry) -> list[tuple[datetime | None, int]]:
    return [(each.begins, each.nights) for each in nights.worked_out(entries)]


def test_a_run_begins_when_its_window_opens_and_behind_the_one_before_it() -> None:
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC)
    evening = noon.replace(hour=20)
    assert worked_out(entry(noon, 3), entry(noon, 7), entry(noon, 1), entry(noon, 1, drive="other")) == [
        (evening, 1),
        (evening + 3 * HOUR, 1),
        # Nothing of the night is left for it.
        (evening + 24 * HOUR, 1),
        (evening, 1),
    ]


def test_a_night_is_too_short_for_more_work_than_is_left_of_it() -> None:
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC)
    evening = noon.replace(hour=20)
    assert worked_out(entry(noon, 10), entry(noon + 24 * HOUR, 10.1)) == [
        (evening, 1),
        (evening + 24 * HOUR, 2),
    ]
    assert worked_out(entry(noon, 3), entry(noon, 8)) == [(evening, 1), (evening + 3 * HOUR, 2)]
    assert worked_out(entry(noon, 10**6)) == [(evening, nights.MOST)]


def test_a_run_begins_after_the_one_that_it_follows() -> None:
    """Also at another drive, and when that one takes two nights."""
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC)
    first, second = entry(noon, 12), entry(noon, 1, None, drive="other")
    second = replace(second, planned=replace(second.planned, schedule="index", run_after="files"))
    assert worked_out(first, second)[1] == (noon.replace(hour=22) + 24 * HOUR, 1)


def test_without_a_window_or_an_expectation_no_night_is_too_short() -> None:
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC)
    assert worked_out(entry(noon, 100, None)) == [(noon, 1)]
    assert worked_out(entry(noon, None)) == [(noon.replace(hour=20), 1)]


@given(st.lists(st.floats(0, 50), min_size=1, max_size=5), st.integers(0, 47))
def test_every_run_begins_in_its_window_and_has_its_time(durations: list[float], hour: int) -> None:
    """Over all of its nights the window has room for the work, and with one night less it has not."""
    at = datetime(2026, 12, 1, tzinfo=UTC) + hour * HOUR
    for each in nights.worked_out([entry(at, hours) for hours in durations]):
        assert each.begins
        assert each.begins >= at
        assert NIGHT.is_open(each.begins)
        first = (NIGHT.closing(each.begins) - each.begins) / HOUR
        hours = (each.planned.seconds or 0) / 3600
        assert hours <= first + 10 * (each.nights - 1) + 1e-6
        if each.nights > 1:
            assert hours > first + 10 * (each.nights - 2) - 1e-6
