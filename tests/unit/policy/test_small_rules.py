"""The small rules: units, paths, wear, clocks, findings; each with the value at which it turns."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from policy import health, paths, units
from policy.errors import TapelineError, UsageError
from policy.finding import Finding, PrecheckVerdict, exit_code
from policy.message import M
from policy.schedule import file
from policy.tapes import label, room
from policy.tapes.permit import APPENDING, Denial, appends
from policy.times import clock, days, recurrence
from policy.times.local_time import moment_of

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.94, "1000 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (1_000_500_000, "1.0 GB"),
        (12_300_000_000_000, "12.3 TB"),
        (2 * 10**15, "2.0 PB"),
        (10**18, "1.0 EB"),
        (5 * 10**21, "5000.0 EB"),
    ],
)
def test_a_size_as_people_write_it(count: float, shown: str) -> None:
    """One figure behind the point, from a thousand on in the next unit, as far as there are units."""
    assert units.size(count) == shown


def test_a_size_is_decimal() -> None:
    """As tapes are sold: what is counted by 1024 would be shown too small."""
    assert units.size(18 * 10**12) == "18.0 TB"
    assert units.size(10**15 - 10**11) == "999.9 TB"


def test_the_order_of_paths() -> None:
    """A folder comes right before what is in it, whatever characters come before a slash."""
    found = sorted([b"/a-b", b"/a/b", b"/a", b"/a/", b"/a.b", b"/a/b/c"], key=paths.order)
    assert found == [b"/a", b"/a/", b"/a/b", b"/a/b/c", b"/a-b", b"/a.b"]
    assert paths.order(b"/") == b""
    assert paths.order(b"/a/b//") == b"\0a\0b"
    assert paths.order(b"/X") == b"\0X"


def test_what_is_below_a_folder() -> None:
    """The folder, and what is in it; not what only begins with its name."""
    folder = paths.order(b"/srv/data")
    below = {path: paths.is_below(paths.order(path), folder) for path in (
        b"/srv/data", b"/srv/data/", b"/srv/data/x", b"/srv/data2", b"/srv", b"/srv/dat",
    )}  # fmt: skip
    assert [path for path, found in below.items() if found] == [b"/srv/data", b"/srv/data/", b"/srv/data/x"]


def test_a_target_on_the_drives_host() -> None:
    """A relative one is of this folder; one of Windows is taken as it is."""
    assert paths.on_the_drives_host(Path("C:\\restored")) == "C:\\restored"
    assert paths.on_the_drives_host(Path("/restored")) == "/restored"
    assert paths.on_the_drives_host(Path("restored")) == str(Path.cwd() / "restored")


LIMITS = health.HealthLimits(loads=100, written_tb=1.5, write_errors=2, read_errors=3)
WORN = {"loads": 100, "written_bytes": 15 * 10**11, "write_errors": 2, "read_errors": 3}


def test_wear_is_told_from_its_limit_on() -> None:
    """In the order in which it matters; one less of each is no news."""
    told = [(each.id, each.params) for each in health.wear("TP1", WORN, LIMITS)]
    assert told == [
        ("Tape {tape_id} has {count} write errors: take it out of use soon.", {"tape_id": "TP1", "count": 2}),
        ("Tape {tape_id} has {count} read errors: verify what is on it, and clean the drive.",
         {"tape_id": "TP1", "count": 3}),
        ("Tape {tape_id} was loaded {count} times: it wears out.", {"tape_id": "TP1", "count": 100}),
        ("{count} TB have been written to tape {tape_id}: it wears out.", {"tape_id": "TP1", "count": 2}),
    ]  # fmt: skip
    assert not [*health.wear("TP1", {name: count - 1 for name, count in WORN.items()}, LIMITS)]


@pytest.mark.parametrize("name", WORN)
def test_what_is_not_counted_or_has_no_limit_is_not_warned_of(name: str) -> None:
    """Each by itself."""
    alone = {"written_bytes": "written_tb"}.get(name, name)
    one = health.HealthLimits(**{alone: getattr(LIMITS, alone)})
    assert len([*health.wear("TP1", WORN, one)]) == 1
    assert len([*health.wear("TP1", {**WORN, name: None}, LIMITS)]) == 3
    assert len([*health.wear("TP1", {key: WORN[key] for key in WORN if key != name}, LIMITS)]) == 3
    assert not [*health.wear("TP1", WORN, health.HealthLimits())]


def test_alerts_of_the_drive_are_passed_on() -> None:
    """Each in a message of its own."""
    said = [str(each) for each in health.alerts("TP1", {"tape_alerts": ["worn", "dirty"]})]
    assert said == [
        "The drive reports for tape TP1: worn (TapeAlert).",
        "The drive reports for tape TP1: dirty (TapeAlert).",
    ]
    assert not [*health.alerts("TP1", {"tape_alerts": None})]
    assert not [*health.alerts("TP1", {})]


@pytest.mark.parametrize(
    ("used", "nearly"), [(900, False), (895, False), (901, True), (1000, True), (0, False)]
)
def test_a_tape_is_nearly_full_beyond_its_limit(used: int, nearly: bool) -> None:
    """Of so many percent; at the limit it is not."""
    assert room.is_nearly_full(used, 1000, 90.0) is nearly


@pytest.mark.parametrize(("verdicts", "code"), [
    ("", 0), ("ok warning", 0), ("ok wait", 4), ("wait refused", 1), ("refused", 1),
])  # fmt: skip
def test_what_findings_mean_together(verdicts: str, code: int) -> None:
    """A script goes by it: the worst decides."""
    found = [Finding("x", M("y"), PrecheckVerdict(each)) for each in verdicts.split()]
    assert exit_code(found) == code


def test_a_finding_for_scripts() -> None:
    """Its texts are in English."""
    found = Finding("tape", M("It is {what}.", what="full"), PrecheckVerdict.WAIT, M("Change it."))
    expected = {"check": "tape", "verdict": "wait", "detail": "It is full.", "remedy": "Change it."}
    assert found.to_json() == expected
    assert Finding("tape", M("x")).to_json() == {
        "check": "tape",
        "verdict": "ok",
        "detail": "x",
        "remedy": None,
    }


def test_an_error_with_and_without_a_remedy() -> None:
    """In one text where it is kept, and in a log."""
    error = TapelineError(M("The tape {tape} is full.", tape="T"), M("Change it."))
    assert str(error) == str(error.in_one()) == "The tape T is full. Change it."
    again = pickle.loads(pickle.dumps(error))
    assert (again.args, str(again)) == ((error.message, error.remedy), str(error))
    plain = TapelineError(M("It failed."))
    assert str(plain) == str(plain.in_one()) == "It failed."


def clock_doubt(now: datetime, **other: Any) -> str | None:
    facts = {"database": now, "newest_event": None, "made": NOW - timedelta(days=30), "tolerance": MINUTE}
    found = clock.doubt(now, **{**facts, **other})
    return str(found) if found else None


@pytest.mark.parametrize("sign", [1, -1])
def test_a_host_whose_clock_differs_from_the_databases(sign: int) -> None:
    """By more than is tolerated, in either direction."""
    assert clock_doubt(NOW, database=NOW + sign * MINUTE) is None
    told = "The clocks of this host and the database are 61 s apart."
    assert clock_doubt(NOW, database=NOW + sign * (MINUTE + SECOND)) == told


def test_a_clock_before_what_has_happened_or_before_this_version() -> None:
    """By more than is tolerated."""
    assert clock_doubt(NOW, newest_event=NOW + MINUTE) is None
    assert "2026-11-24 08:01:01 UTC" in str(clock_doubt(NOW, newest_event=NOW + MINUTE + SECOND))
    assert clock_doubt(NOW, newest_event=NOW - MINUTE) is None
    assert clock_doubt(NOW, made=NOW + MINUTE) is None
    assert clock_doubt(NOW, made=NOW - SECOND) is None
    assert "before this version" in str(clock_doubt(NOW, made=NOW + MINUTE + SECOND))


@pytest.fixture(params=["Asia/Shanghai"])
def far_away(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host of another zone than any schedule's."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_away")
def test_moments_are_told_in_utc() -> None:
    """On a host of another zone, and of a moment of another zone."""
    said = clock_doubt(NOW.astimezone(ZoneInfo("America/New_York")), made=NOW + timedelta(days=1))
    assert said == "The clock says 2026-11-24 08:00:00 UTC, which is before this version was made."


@pytest.mark.parametrize(("zone", "day"), [
    ("Europe/Berlin", date(2026, 3, 29)), ("America/New_York", date(2026, 3, 8)),
    ("Australia/Lord_Howe", date(2026, 10, 4)), ("Pacific/Apia", date(2011, 12, 30)),
])  # fmt: skip
@pytest.mark.parametrize("minute", range(0, 30, 7))
@pytest.mark.parametrize("far_away", ["Africa/Lagos", "Asia/Shanghai"], indirect=True)
@pytest.mark.usefixtures("far_away")
def test_a_skipped_time_stands_for_the_first_moment_after_the_gap(zone: str, day: date, minute: int) -> None:
    """To the second, wherever in the gap it lies, and on a host of whatever zone."""
    here = ZoneInfo(zone)
    moment = moment_of(day, time_of_day(2, minute, 13), here)
    assert (moment.microsecond, moment.tzinfo) == (0, UTC)
    before = (moment - SECOND).astimezone(here)
    assert before.utcoffset() != moment.astimezone(here).utcoffset()


def test_what_is_due_at_its_very_moment_is_over_after_it() -> None:
    """Once, and not again."""
    assert recurrence.OneMoment(NOW).after(NOW) is None
    assert recurrence.OneMoment(NOW).after(NOW - SECOND) == NOW


@pytest.mark.parametrize("far_away", ["Pacific/Kiritimati"], indirect=True)
@pytest.mark.usefixtures("far_away")
def test_what_is_due_later_on_the_same_day() -> None:
    """By the schedule's calendar, though the host's is two days ahead."""
    rule = recurrence.Calendar(days.EveryDay(), time_of_day(2), ZoneInfo("Pacific/Pago_Pago"))
    due = datetime(2026, 11, 24, 13, tzinfo=UTC)  # 02:00 there
    for before in (timedelta(hours=1), timedelta(hours=23), timedelta(days=1)):
        assert rule.after(due - before) == due
    assert rule.after(due) == due + timedelta(days=1)
    late = recurrence.Calendar(days.EveryDay(), time_of_day(23, 45), rule.zone)
    found = late.after(due + timedelta(hours=21, minutes=30))
    assert found is not None
    assert (found, found.tzinfo) == (due + timedelta(hours=21, minutes=45), UTC)


def test_a_day_that_is_today_counts() -> None:
    """Of the month, also of January, and of the year."""
    first = days.DayOfMonth(0)
    for day in (date(2026, 1, 1), date(2026, 12, 1)):
        assert next(days.EveryMonth(first).since(day)) == day
        assert next(days.EveryYear(day.month, first).since(day)) == day
    assert next(days.EveryMonth(first).since(date(2026, 12, 2))) == date(2027, 1, 1)


@pytest.mark.usefixtures("far_away")
def test_an_expression_is_due_in_utc() -> None:
    """On a host of another zone."""
    due = recurrence.CronExpression("30 2 * * *", ZoneInfo("Europe/Berlin")).after(NOW)
    assert due is not None
    assert (due, due.tzinfo) == (datetime(2026, 11, 25, 1, 30, tzinfo=UTC), UTC)


@pytest.mark.parametrize(("name", "serial"), [
    ("TP20261101", "261101"), ("TP19991299", "991299"), ("OFFSITE", "MCNMB8"), ("offsite", "IX3DPN"),
])  # fmt: skip
def test_the_serial_of_a_label_never_changes(name: str, serial: str) -> None:
    """It is written on tapes: a version that made another of the same label would not know its own."""
    assert label.serial_for(name) == serial


def test_whatever_appends_appends_with_all_of_it() -> None:
    """This month's data, of this run, kept, the newest: and the clock in doubt besides."""
    assert appends(APPENDING)
    assert not appends(APPENDING | {Denial.FULL})
    assert not appends(APPENDING - {Denial.PERIOD_DATA, Denial.OWN_SET})


class Counted:
    """A rule that is asked no more often than is needed."""

    def __init__(self, rule: recurrence.Recurrence) -> None:
        self.rule = rule
        self.asked = 0

    def after(self, moment: datetime) -> datetime | None:
        self.asked += 1
        return self.rule.after(moment)


def test_the_latest_occurrence_is_found_from_the_end() -> None:
    """A year of minutes is not walked through; missed ones are counted up to a thousand."""
    rule = Counted(recurrence.FixedInterval(MINUTE, NOW - timedelta(days=365)))
    assert recurrence.latest(rule, NOW - timedelta(days=365), NOW) == NOW
    assert rule.asked < 10
    found = recurrence.overdue(rule, NOW - timedelta(days=365), NOW)
    assert (found.count, found.latest, found.before_latest) == (recurrence.COUNTED, NOW, NOW - MINUTE)


def test_a_rule_that_names_nothing_any_more_has_the_first_as_its_latest() -> None:
    """It was changed after that one had become due."""
    first = NOW - timedelta(days=3)
    assert recurrence.latest(recurrence.Never(), first, NOW) == first
    assert recurrence.overdue(recurrence.Never(), first, NOW) == recurrence.Overdue(first, first, None, 1)


DAILY = {"when": {"type": "daily", "at": "02:00"}, "backup": {"sources": ["/srv"]}}


@pytest.mark.parametrize(("document", "message"), [
    ({"schedules": 3}, "schedules: this must be a table of fields."),
    ({"schedules": {"nightly": 3}}, "schedules.nightly: this must be a table of fields."),
    ({"schedules": {"nightly": {"when": {}}}}, "'backup' is missing. docs/schedules.example.toml shows one."),
    ({"schedules": {"nightly": {**DAILY, "whem": {}}}},
     "schedules.nightly.whem: there is no such field. Did you mean 'when'?"),
    ({"schedules": {"nightly": {**DAILY, "backups": {}}}}, "Did you mean 'backup'?"),
    ({"schedules": {"nightly": {**DAILY, "tape_polici": "x"}}}, "Did you mean 'tape_policy'?"),
])  # fmt: skip
def test_what_is_wrong_in_a_file_is_named_by_its_place(document: Any, message: str) -> None:
    """As a path through the file, with what may have been meant."""
    with pytest.raises(UsageError) as caught:
        file.read(document, {"time_zone": "UTC", "drive": "tape0"})
    assert message in str(caught.value)
