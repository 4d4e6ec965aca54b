"""When a schedule fires: literal calendars, and what holds for every rule at every moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import UsageError
from policy.schedule import table, when
from policy.times.period import ScheduleType
from policy.times.recurrence import (
    COUNTED,
    Recurrence,
    latest,
    occurrences,
    overdue,
)

ZONES = st.sampled_from(
    ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]
)
MOMENTS = st.datetimes(datetime(2005, 1, 1), datetime(2045, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
CLOCKS = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))
WEEKDAYS = st.sampled_from(["monday", "thursday", "sunday"])
DAYS = st.one_of(
    st.integers(1, 31), st.sampled_from(["last", "first weekday", "last weekday", "last friday"])
)
CONFIGS = st.one_of(
    st.tuples(st.just("daily"), st.fixed_dictionaries({"at": CLOCKS})),
    st.tuples(st.just("weekly"), st.fixed_dictionaries({"day": WEEKDAYS, "at": CLOCKS})),
    st.tuples(st.just("monthly"), st.fixed_dictionaries({"day": DAYS, "at": CLOCKS})),
    st.tuples(
        st.just("yearly"), st.fixed_dictionaries({"month": st.integers(1, 12), "day": DAYS, "at": CLOCKS})
    ),
    st.tuples(st.just("interval"), st.builds(lambda n: {"every": f"{n}m"}, st.integers(1, 90_000))),
    st.tuples(
        st.just("cron"),
        st.sampled_from(
            ["30 2 * * *", "*/30 1-3 * * *", "0 */6 * * 1", "15 2,3 1 * fri", "0 0 L * *", "5 4 29 2 *"]
        ).map(lambda text: {"expression": text}),
    ),
)


def rule(kind: str, zone: str, **config: Any) -> Recurrence:
    return when.rule(ScheduleType(kind), config, zone)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "zone", "config", "start", "expected"),
    [
        # Berlin's clock skips 02:00 to 03:00 on 2026-03-29: 02:30 is due just after the gap.
        ("daily", "Europe/Berlin", {"at": "02:30"}, "2026-03-27T12:00",
         ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]),
        # 02:30 comes twice on 2026-10-25: due the first time.
        ("daily", "Europe/Berlin", {"at": "02:30"}, "2026-10-24T12:00",
         ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("cron", "Europe/Berlin", {"expression": "30 2 * * *"}, "2026-03-28T12:00",
         ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("cron", "Europe/Berlin", {"expression": "30 2 * * *"}, "2026-10-24T12:00",
         ["2026-10-25T00:30", "2026-10-26T01:30"]),
        # Asked between the two passes, the second one is not due again.
        ("cron", "Europe/Berlin", {"expression": "30 2 * * *"}, "2026-10-25T01:10", ["2026-10-26T01:30"]),
        # Apia left out 2011-12-30: its midnight and that of the 31st are one moment, due once.
        ("daily", "Pacific/Apia", {"at": "00:00"}, "2011-12-29T00:00",
         ["2011-12-29T10:00", "2011-12-30T10:00", "2011-12-31T10:00"]),
        ("weekly", "Asia/Shanghai", {"day": "monday", "at": "06:00"}, "2026-11-24T00:00",
         ["2026-11-29T22:00", "2026-12-06T22:00"]),
        ("monthly", "UTC", {"day": 31, "at": "22:00"}, "2028-01-01T00:00",
         ["2028-01-31T22:00", "2028-02-29T22:00", "2028-03-31T22:00", "2028-04-30T22:00"]),
        ("monthly", "Asia/Shanghai", {"day": 1, "at": "02:00"}, "2026-11-24T00:00",
         ["2026-11-30T18:00", "2026-12-31T18:00"]),
        ("monthly", "UTC", {"day": "last", "at": "22:00"}, "2026-02-01T00:00", ["2026-02-28T22:00"]),
        ("monthly", "UTC", {"day": "first weekday", "at": "01:00"}, "2026-01-31T00:00",
         ["2026-02-02T01:00", "2026-03-02T01:00", "2026-04-01T01:00"]),
        ("monthly", "UTC", {"day": "last weekday", "at": "01:00"}, "2026-01-01T00:00",
         ["2026-01-30T01:00", "2026-02-27T01:00"]),
        ("monthly", "UTC", {"day": "second tuesday", "at": "01:00"}, "2026-06-01T00:00",
         ["2026-06-09T01:00", "2026-07-14T01:00"]),
        ("monthly", "UTC", {"day": "last friday", "at": "01:00"}, "2026-06-01T00:00", ["2026-06-26T01:00"]),
        ("yearly", "Asia/Shanghai", {"month": 2, "day": 29, "at": "12:00"}, "2026-01-01T00:00",
         ["2026-02-28T04:00", "2027-02-28T04:00", "2028-02-29T04:00"]),
        ("interval", "UTC", {"every": "6h"}, "2026-11-24T00:00", ["2026-11-24T06:00", "2026-11-24T12:00"]),
        ("interval", "Asia/Shanghai", {"every": "1d12h", "start": "2026-11-01T20:00"}, "2026-01-01T00:00",
         ["2026-11-01T12:00", "2026-11-03T00:00"]),
        ("once", "Asia/Shanghai", {"at": "2026-12-01T02:00"}, "2026-11-24T00:00", ["2026-11-30T18:00"]),
        ("once", "UTC", {"at": "2026-12-01T02:00+08:00"}, "2026-11-24T00:00", ["2026-11-30T18:00"]),
        ("once", "UTC", {"at": "2026-11-01T02:00"}, "2026-11-24T00:00", []),
        ("manual", "UTC", {}, "2026-11-24T00:00", []),
        # Either day field is enough, as in Debian's cron, unless one of them begins with a star.
        ("cron", "UTC", {"expression": "0 3 13 * fri"}, "2026-11-10T00:00",
         ["2026-11-13T03:00", "2026-11-20T03:00", "2026-11-27T03:00", "2026-12-04T03:00", "2026-12-11T03:00",
          "2026-12-13T03:00"]),
    ],
)  # fmt: skip
def test_a_schedule_fires_when_a_calendar_on_the_wall_says(
    kind: str, zone: str, config: dict[str, Any], start: str, expected: list[str]
) -> None:
    """The moments, in UTC, that a person reads off a calendar of the schedule's time zone."""
    found = islice(occurrences(rule(kind, zone, **config), utc(start)), max(len(expected), 1))
    assert list(found) == [utc(text) for text in expected]


@given(CONFIGS, ZONES, MOMENTS)
def test_the_next_moment_is_later_and_the_ones_after_it_ascend(
    config: tuple[str, dict[str, Any]], zone: str, moment: datetime
) -> None:
    """No rule ever names a moment that is not later than the one it was asked about."""
    found = [moment, *islice(occurrences(rule(config[0], zone, **config[1]), moment), 5)]
    assert all(earlier < later for earlier, later in pairwise(found))


@given(CONFIGS, ZONES, MOMENTS, st.integers(0, 999_999))
def test_asked_again_at_any_time_before_it_a_rule_names_the_same_moment(
    config: tuple[str, dict[str, Any]], zone: str, moment: datetime, millionths: int
) -> None:
    """A restart in between changes nothing: nothing is left out and nothing comes twice."""
    found = rule(config[0], zone, **config[1])
    due = found.after(moment)
    assert due
    assert found.after(moment + (due - moment) * millionths // 10**6) == due


@given(CONFIGS, ZONES, MOMENTS, st.integers(0, 90 * 24 * 60))
def test_what_is_overdue_is_what_counting_forward_finds(
    config: tuple[str, dict[str, Any]], zone: str, moment: datetime, minutes: int
) -> None:
    """The latest is found from the end, however many there are before it."""
    found = rule(config[0], zone, **config[1])
    first = found.after(moment)
    assert first
    now = first + timedelta(minutes=minutes)
    forward = [first]
    for due in islice(occurrences(found, first), 3 * COUNTED):
        if due > now:
            break
        forward.append(due)
    else:
        assert latest(found, first, now) > forward[-1]
        return
    due = overdue(found, first, now)
    assert (due.first, due.latest, due.count) == (first, forward[-1], min(len(forward), COUNTED))
    assert due.before_latest == (forward[-2] if len(forward) > 1 else None)


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("daily", {}, "when: 'at' is missing. Write the local time of day"),
        ("daily", {"at": "25:00"}, "when.at: '25:00' is not right here. Write the local time of day"),
        ("daily", {"at": 1350}, "when.at: 1350 is not right here."),
        ("daily", {"att": "02:00"}, "when.att: there is no such field. Did you mean 'at'?"),
        ("daily", ["02:00"], "when: this must be a table of fields."),
        ("weekly", {"day": "funday", "at": "02:00"}, "when.day: 'funday' is not right here. Write one of"),
        ("monthly", {"day": 32, "at": "02:00"}, "when.day: 32 is not right here. Write a day from 1 to 31"),
        ("monthly", {"day": True, "at": "02:00"}, "when.day: true is not right here."),
        ("monthly", {"day": "fifth monday", "at": "02:00"}, "when.day: 'fifth monday' is not right here."),
        ("yearly", {"month": 0, "day": 1, "at": "02:00"}, "when.month: 0 is not right here. Write a whole"),
        ("interval", {"every": "30s"}, "when.every: '30s' is not right here. Write a length of time from 1m"),
        ("interval", {"every": "soon"}, "when.every: 'soon' is not right here."),
        ("once", {"at": "2026-02-30T02:00"}, "when.at: '2026-02-30T02:00' is not right here."),
        ("cron", {"expression": "0 0 30 2 *"}, "when.expression: '0 0 30 2 *' is not right here."),
        ("cron", {"expression": "0 2 * * fri#1/2"}, "is not right here. Write the five fields"),
        ("cron", {"expression": "0 0 2 * * *"}, "is not right here. Write the five fields"),
        ("cron", {"expression": "@daily"}, "is not right here. Write the five fields"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_one_line_with_the_field_and_the_remedy(
    kind: str, config: Any, message: str
) -> None:
    """Whatever stands in the database or in a file, the operator reads what to correct."""
    with pytest.raises(UsageError) as caught:
        when.rule(ScheduleType(kind), config, "UTC")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_time_zone_is_refused() -> None:
    """A zone that this host does not know stops the schedule, not the program."""
    with pytest.raises(UsageError, match="time_zone: 'Mars/Olympus' is not a time zone"):
        rule("daily", "Mars/Olympus", at="02:00")


@pytest.mark.parametrize(("kind", "given_"), [
    ("interval", {"every": "6h"}), ("interval", {"every": "6h", "start": "2026-12-01T02:00"}),
    ("monthly", {"day": "last", "at": "02:00"}), ("manual", {}),
])  # fmt: skip
def test_what_is_stored_of_a_rule_is_what_the_file_has(kind: str, given_: dict[str, Any]) -> None:
    """Beside its type, which has a column of its own; what the file leaves out is left out."""
    read = table.read(when.MODELS[ScheduleType(kind)], {"type": kind, **given_}, "when")
    assert read.config() == given_
