"""The rules behind the prechecks: clock, room, reminders, and what findings mean together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.finding import Finding, PrecheckVerdict, exit_code
from policy.message import M
from policy.tapes import room
from policy.times import clock, reminder

NOW = datetime(2026, 12, 1, 2, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
TOLERANCE = 5 * MINUTE


def doubt(now: datetime = NOW, database: datetime = NOW, newest: datetime | None = None) -> str:
    made = NOW - timedelta(days=30)
    return str(
        clock.doubt(now, database=database, newest_event=newest, made=made, tolerance=TOLERANCE) or "right"
    )


def test_a_clock_that_agrees_with_everything_is_right() -> None:
    """Minutes apart, and an event of the moment before, are no reason to stop."""
    assert doubt() == "right"
    assert doubt(now=NOW + 4 * MINUTE, newest=NOW + 8 * MINUTE) == "right"


@pytest.mark.parametrize(
    ("now", "database", "newest", "reason"),
    [
        (NOW + 6 * MINUTE, NOW, None, "360 s apart"),
        (NOW, NOW + timedelta(days=365), None, "apart"),
        (NOW, NOW, NOW + HOUR, "the newest run was told of at 2026-12-01 03:00:00 UTC"),
        (NOW - timedelta(days=31), NOW - timedelta(days=31), None, "before this version was made"),
    ],
)
def test_a_clock_that_cannot_be_right_is_doubted(
    now: datetime, database: datetime, newest: datetime | None, reason: str
) -> None:
    """Apart from the database's, before what has happened, or before the program was there."""
    assert reason in doubt(now, database, newest)


@pytest.mark.parametrize(("expected", "free"), [(None, 5), (5, None), (5, 5), (0, 0)])
def test_what_fits_or_is_not_known_gives_no_doubt(expected: int | None, free: int | None) -> None:
    """Only a last backup that is larger than the room is worth a word."""
    assert room.doubt(expected, free, "TP20261201") is None


def test_what_does_not_fit_is_said_with_both_sizes() -> None:
    """An operator reads how much it is and how much there is."""
    told = str(room.doubt(2_000_000_000, 1_500_000_000, "TP20261201"))
    assert "took 2.0 GB and tape TP20261201 has room for 1.5 GB" in told


@given(st.integers(0, 10**13), st.integers(1, 10**13))
def test_a_tape_is_nearly_full_above_the_limit_only(used: int, capacity: int) -> None:
    """Exactly ninety percent is not above ninety percent."""
    assert room.is_nearly_full(used, capacity, 90) == (used / capacity > 0.9 or used * 10 > capacity * 9)


def due(moment: datetime) -> str | None:
    found = reminder.due(moment, NOW, before=24 * HOUR, again=4 * HOUR)
    return found.name if found else None


@pytest.mark.parametrize(
    ("hours", "kind"),
    [(24.01, None), (24, "first"), (4.01, "first"), (4, "again"), (0.01, "again"), (0, None), (-1, None)],
)
def test_there_are_two_looks_before_a_run(hours: float, kind: str | None) -> None:
    """One from a day before, one from some hours before, none when it is due."""
    assert due(NOW - timedelta(hours=hours)) == kind


@given(st.timedeltas(timedelta(0), timedelta(days=3)))
def test_a_reminder_is_open_when_it_is_due(ahead: timedelta) -> None:
    """Whatever the moment, the reminder that it belongs to has been opened, and its run is ahead."""
    moment = NOW - ahead
    found = reminder.due(moment, NOW, before=24 * HOUR, again=4 * HOUR)
    assert found is None or found.opened_at <= moment < found.due_at


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([], 0),
        ([PrecheckVerdict.OK, PrecheckVerdict.WARNING], 0),
        ([PrecheckVerdict.OK, PrecheckVerdict.WAIT], 4),
        ([PrecheckVerdict.WAIT, PrecheckVerdict.REFUSED], 1),
        ([PrecheckVerdict.REFUSED, PrecheckVerdict.OK], 1),
    ],
)
def test_a_run_goes_ahead_only_if_nothing_is_against_it(verdicts: list[PrecheckVerdict], code: int) -> None:
    """Exit code 4 means that another tape is all that is missing."""
    assert exit_code(Finding("x", M("Correct it."), verdict) for verdict in verdicts) == code
