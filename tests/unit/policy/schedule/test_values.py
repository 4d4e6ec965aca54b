"""Each kind of value of the file of schedules: what is read, what is refused and why, how it is shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from policy.message import M
from policy.schedule import values
from policy.schedule.values import ValueKind, WrongValue
from policy.times.days import WORKDAYS, DayOfMonth

REMEDY = M("Write it another way.")
HOUR = timedelta(hours=1)
YEAR = 366 * 86400
SUNDAY = frozenset({6})

# A kind is made in the test, so that what makes it is tested, too: its maker, values with what is read of
# them, values that are refused, and a part of the remedy.
KINDS: dict[str, tuple[Callable[[], ValueKind], list[tuple[Any, Any]], list[Any], str]] = {
    "text": (
        lambda: values.text("a|bc", REMEDY),
        [("a", "a"), ("bc", "bc")],
        ["ab", "abc", "xbc", "", "a\n", 1, None, ["a"]],
        str(REMEDY),
    ),
    "choice": (
        lambda: values.choice(("one", "two")),
        [("one", "one"), ("two", "two")],
        ["three", "ONE", "", 1, None, ["one"]],
        "Write one of: one, two.",
    ),
    "integer": (
        lambda: values.integer(3, 5),
        [(3, 3), (4, 4), (5, 5)],
        [2, 6, "4", 4.5, None],
        "from 3 to 5",
    ),
    "boolean": (
        lambda: values.BOOLEAN, [(True, True), (False, False)], [1, 0, "true", None], "true or false",
    ),
    "texts": (
        lambda: values.texts("[ab]+", REMEDY),
        [([], []), (["a"], ["a"]), (["a", "b", "ab"], ["a", "b", "ab"])],
        ["a", ["c"], ["a", "c"], ["a", "a"], ["a", 1], None, ["a\n"]],
        str(REMEDY),
    ),
    "folders": (
        lambda: values.folders(1),
        [(["/"], ["/"]), (["/srv", "D:\\x", "\\\\host\\y"], ["/srv", "D:\\x", "\\\\host\\y"])],
        [[], ["srv"], ["/a", "/a"], "/srv", ["/a\0"], ["/a", 1], None, {}, 7, {"/a": 1}],
        "a list of folders",
    ),
    "size": (
        lambda: values.SIZE,
        [("1MB", 10**6), ("500GB", 5 * 10**11), ("4GiB", 1 << 32), ("2TiB", 1 << 41), ("3MiB", 3 << 20),
         ("999999TB", 999999 * 10**12)],
        ["0GB", "4G", "1000000MB", "4.5GB", "4 GB", 4, None],
        "a size with its unit",
    ),
    "clock": (
        lambda: values.CLOCK,
        [("00:00", time(0)), ("23:59", time(23, 59)), ("12:00:30", time(12, 0, 30))],
        ["24:00", "2:00", "12:60", "12:00:60", "noon", 12, None],
        "the local time of day",
    ),
    "moment": (
        lambda: values.MOMENT,
        [("2026-12-24T18:00", datetime(2026, 12, 24, 18)),  # noqa: DTZ001 - local times of the schedule
         ("2026-12-24 18:00:05", datetime(2026, 12, 24, 18, 0, 5)),  # noqa: DTZ001
         ("2026-12-24T18:00Z", datetime(2026, 12, 24, 18, tzinfo=UTC))],
        ["2026-12-24", "24.12.2026", "", 5, None],
        "the local date and time",
    ),
    "day": (
        lambda: values.DAY_OF_MONTH,
        [(1, DayOfMonth(0)), (2, DayOfMonth(1)), (31, DayOfMonth(30)), ("last", DayOfMonth(-1)),
         ("first weekday", DayOfMonth(0, WORKDAYS)), ("last weekday", DayOfMonth(-1, WORKDAYS)),
         ("second sunday", DayOfMonth(1, SUNDAY)), ("last friday", DayOfMonth(-1, frozenset({4})))],
        [0, 32, "first", "fifth friday", "friday", None, 1.5],
        "a day from 1 to 31",
    ),
    "cron": (
        lambda: values.CRON,
        [("30 2 * * 1-5", "30 2 * * 1-5")],
        ["30 2 * *", "30 2 * * * *", 5, None],
        "the five fields",
    ),
    "zone": (
        lambda: values.ZONE,
        [("Asia/Shanghai", "Asia/Shanghai"), ("UTC", "UTC")],
        ["", "Mars Olympus", 8, None],
        "a time zone's name",
    ),
    "tape policy": (
        lambda: values.TAPE_POLICY,
        [("rotate", "rotate"), ("current_month", "current_month"), ("pool:x", "pool:x")],
        ["pool:", "pool", "", 1, None],
        "Use current_month, rotate or pool:<name>.",
    ),
    "limit": (
        lambda: values.LIMIT,
        [("off", "off"), ("0%", "0%"), ("0.5%", "0.5%"), ("100%", "100%"), (False, "off")],
        ["101%", "100.1%", "50", "5 %", "-1%", "", True, 0, 50, None],
        "a percentage such as",
    ),
    "duration": (
        lambda: values.duration(HOUR),
        [("1h", 3600), ("60m", 3600), ("3600s", 3600), ("1d12h", 129600), ("1d1h1m1s", 90061),
         ("366d", YEAR)],
        ["", "h", "1", "1h1d", "1 h", "-1h", 3600, None],
        'from 1h to a year, for instance "90m"',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_what_a_kind_takes(name: str) -> None:
    """It is read as what the program uses, an editor that knows the schema marks nothing, and it is shown so
    that it is read as the same again."""
    make, taken, _, _ = KINDS[name]
    kind = make()
    for value, wanted in taken:
        assert kind.read(value) == wanted
        assert type(kind.read(value)) is type(wanted)
        assert Draft202012Validator(kind.schema).is_valid(value), value
        assert kind.read(kind.show(wanted)) == wanted


@pytest.mark.parametrize("name", KINDS)
def test_what_a_kind_refuses(name: str) -> None:
    """With what to write instead; and an editor that knows the schema marks it, too."""
    make, _, refused, remedy = KINDS[name]
    kind = make()
    for value in refused:
        with pytest.raises(WrongValue) as caught:
            kind.read(value)
        assert remedy in str(caught.value.remedy)
        # Where lines end is another matter in JSON Schema.
        if "\n" not in str(value) and value != ["a\n"]:
            assert not Draft202012Validator(kind.schema).is_valid(value), value


@pytest.mark.parametrize("seconds", ["59m", "3599s", "366d1s", "367d"])
def test_a_duration_has_its_bounds(seconds: str) -> None:
    """They are included, as the table above has it; what is beyond is not."""
    with pytest.raises(WrongValue, match="Write a length"):
        values.duration(HOUR).read(seconds)


@pytest.mark.parametrize(("kind", "value"), [
    (values.MOMENT, "2026-02-30T10:00"), (values.CRON, "61 2 * * *"), (values.CRON, "0 0 30 2 *"),
    (values.CRON, "0 0 * * fri#1/2"), (values.ZONE, "Mars/Olympus"),
    (values.MOMENT, datetime(2026, 12, 24, 18, 0, 0, 5, tzinfo=UTC)), (values.CLOCK, time(2, 30, 0, 5)),
    (values.CLOCK, time(2, 30, tzinfo=UTC)), (values.MOMENT, date(2026, 12, 24)),
])  # fmt: skip
def test_what_only_the_reader_knows_to_be_wrong(kind: ValueKind, value: Any) -> None:
    """Dates, times and expressions that have the form, and are none."""
    with pytest.raises(WrongValue, match="Write "):
        kind.read(value)


def test_times_as_toml_has_them() -> None:
    """A file of TOML may have a time without quotation marks."""
    at = datetime(2026, 12, 24, 18, 0, 5, tzinfo=UTC)
    assert values.MOMENT.read(at) is at
    assert values.CLOCK.read(time(2, 30)) == time(2, 30)


@pytest.mark.parametrize(("kind", "value", "shown"), [
    (values.CLOCK, time(2, 30), "02:30"),
    (values.CLOCK, time(2, 30, 5), "02:30:05"),
    (values.MOMENT, datetime(2026, 12, 24, 18, tzinfo=UTC), "2026-12-24T18:00+00:00"),
    (values.MOMENT, datetime(2026, 12, 24, 18, 0, 5, tzinfo=UTC), "2026-12-24T18:00:05+00:00"),
    (values.SIZE, 1 << 32, "4GiB"),
    (values.SIZE, 10**12, "1TB"),
    (values.SIZE, 1500 * 10**6, "1500MB"),
    (values.SIZE, 999_999 * 10**12, "999999TB"),
    # What no size of the file can be is shown as its bytes.
    (values.SIZE, 10**18, 10**18),
    (values.SIZE, 5 * 10**18 + 10**12, 5 * 10**18 + 10**12),
    (values.SIZE, 12_345, 12_345),
    (values.DAY_OF_MONTH, DayOfMonth(0), 1),
    (values.DAY_OF_MONTH, DayOfMonth(30), 31),
    (values.DAY_OF_MONTH, DayOfMonth(-1), "last"),
    (values.DAY_OF_MONTH, DayOfMonth(0, WORKDAYS), "first weekday"),
    (values.DAY_OF_MONTH, DayOfMonth(3, SUNDAY), "fourth sunday"),
    (values.CRON, "30 2 * * 1", "30 2 * * 1"),
])  # fmt: skip
def test_how_a_value_is_shown(kind: ValueKind, value: Any, shown: Any) -> None:
    """As an operator would write it."""
    assert kind.show(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (3600, "1h"), (90061, "1d1h1m1s"), (YEAR, "366d")],
)
def test_how_a_duration_is_shown(seconds: int, shown: str) -> None:
    """In the largest units."""
    assert values.show_duration(seconds) == shown
    assert values.duration(HOUR).show(seconds) == shown


def test_a_cron_expression_is_kept_without_its_blanks() -> None:
    """Two spaces, or a tab, make no other expression."""
    assert values.CRON.read(" 30  2 *\t* 1-5 ") == "30 2 * * 1-5"
