"""Runs, drives, tapes and channels that need somebody are named, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from db import failures
from db.engine import Database
from db.models import Notification, TapeCartridge
from db.schedules import schedules
from db.sets import catalog
from db.states import RunState
from policy.tapes.facts import CartridgeState, SetState
from tests.integration.db.alerting import NOW, a_run, a_set, concerns, said


def test_nothing_is_said_when_all_is_well(database: Database, nightly: None) -> None:
    assert said(database) == []


def test_a_failure_is_named_until_a_run_of_the_schedule_ends_well(database: Database, nightly: None) -> None:
    """Once, as the failure that it is; that the backup is owed follows from it."""
    with database.transaction() as session:
        schedules.get(session, "nightly").last_success_time = datetime(2026, 11, 22, 2, tzinfo=UTC)
        run = a_run(session, 23, RunState.RUNNING, RunState.FAILED)
        assert [each.may_retry for each in concerns(session)] == [True]
    assert said(database) == [f"Run {run.id} of schedule 'nightly' has failed: the reason"]
    with database.transaction() as session:
        a_run(session, 24, RunState.RUNNING, RunState.SUCCEEDED)
    assert said(database) == []


def test_a_failure_that_was_dismissed_needs_nobody(database: Database, nightly: None) -> None:
    """Neither as a failure nor as what it owes; the next night that is missed is owed again."""
    with database.transaction() as session:
        schedules.get(session, "nightly").last_success_time = datetime(2026, 11, 22, 2, tzinfo=UTC)
        run = a_run(session, 24, RunState.RUNNING, RunState.FAILED)
        failures.dismiss(session, run.id, requested_by="li", why="the source is away")
    assert said(database) == []
    assert said(database, NOW + timedelta(days=1))[1:2] == [
        "Schedule 'nightly' owes a backup that was due 2026-11-25 02:00 (UTC)."
    ]


def test_a_cancelled_run_leaves_its_backup_owed(database: Database, nightly: None) -> None:
    """So does one that was skipped or missed; while another is under way nothing is said."""
    with database.transaction() as session:
        schedules.get(session, "nightly").last_success_time = datetime(2026, 11, 22, 2, tzinfo=UTC)
        a_run(session, 23, RunState.CANCELLED)
    assert said(database) == ["Schedule 'nightly' owes a backup that was due 2026-11-23 02:00 (UTC)."]
    with database.transaction() as session:
        a_run(session, 24, RunState.RUNNING)
    assert said(database) == []


def test_a_cancelled_run_makes_up_for_no_failure(database: Database, nightly: None) -> None:
    """What 'runs retry --all-failed' would retry is what needs somebody."""
    with database.transaction() as session:
        failed = a_run(session, 23, RunState.RUNNING, RunState.FAILED)
        a_run(session, 24, RunState.CANCELLED)
        assert [each.run for each in concerns(session) if each.may_retry] == [failed.id]
        assert [each.run_id for each in failures.standing(session)] == [failed.id]


def test_a_failure_before_one_that_was_dismissed_needs_nobody(database: Database, nightly: None) -> None:
    """The newest failure stands for all before it."""
    with database.transaction() as session:
        a_run(session, 22, RunState.RUNNING, RunState.FAILED)
        newest = a_run(session, 23, RunState.RUNNING, RunState.FAILED)
        failures.dismiss(session, newest.id, requested_by="li", why="the source is away")
        assert not [each for each in concerns(session) if each.may_retry]


def test_a_run_that_waits_for_a_tape_is_named(database: Database, nightly: None) -> None:
    with database.transaction() as session:
        run = a_run(session, 24, RunState.RUNNING, RunState.WAITING_FOR_TAPE)
        [found] = concerns(session)
    assert (found.run, found.drive, found.is_urgent) == (run.id, "tape0", True)
    assert "waits for a tape: the reason" in str(found.message)


def test_silence_of_a_drive_and_of_beat_is_named(database: Database, nightly: None) -> None:
    later = NOW + timedelta(days=1)
    assert said(database, later) == [
        "nightly was due 2026-11-25 02:00 (UTC) and has not started: is beat running?",
        "Schedule 'nightly' owes a backup that was due 2026-11-25 02:00 (UTC).",
        "The worker of drive tape0 on h is silent: is it running?",
    ]


def test_tapes_in_doubt_and_damaged_sets_are_named(database: Database, nightly: None) -> None:
    with database.transaction() as session:
        for name, state in (("A", "unknown"), ("B", "error"), ("C", "retired"), ("D", "full")):
            tape = TapeCartridge(tape_id=name, label=name, state=CartridgeState(state), generation=1)
            session.add(tape)
            session.flush()
        row = schedules.get(session, "nightly")
        for number, state in enumerate((SetState.COMPLETE, SetState.DESTROYED)):
            damaged = a_set(row, tape, f"20261101T000000Z-000{number}", state, damaged=3)
            catalog.add_set(session, damaged)
    assert said(database) == [
        "Tape A is in doubt: a format was cut off, or its barcode is wrong. Look at it, then:"
        " tapeline tape mark A active (or retired)",
        "Tape B had a write error: nothing writes on it. Take it out of use: tapeline tape mark B retired",
        "Set 20261101T000000Z-0000: its verification found 3 damaged. Back up again:"
        " tapeline schedule run NAME --type full; then: tapeline sets expire 20261101T000000Z-0000",
    ]


def test_a_channel_that_takes_nothing_and_a_broken_schedule_are_named(
    database: Database, nightly: None
) -> None:
    with database.transaction() as session:
        entry = {"error": "no route", "first_tried_at": NOW.isoformat(), "tried_at": NOW.isoformat()}
        session.add(Notification(about="x", event="ready", occurrence=1, facts={}, deliveries={"ops": entry}))
        schedules.get(session, "nightly").schedule_config = {"at": "25:00"}
    broken, channel = said(database)
    assert broken.startswith("nightly: schedule_config.at")
    assert channel == "Channel ops does not take messages: no route"


@pytest.mark.parametrize("ending", [{}, {"failed_at": NOW.isoformat()}])
def test_a_channel_that_works_again_needs_nobody(
    database: Database, nightly: None, ending: dict[str, str]
) -> None:
    """Also while a message that it did not take before still waits for its next attempt."""
    tried = {"error": "no route", "first_tried_at": NOW.isoformat(), "tried_at": NOW.isoformat(), **ending}
    with database.transaction() as session:
        for number, entry in enumerate((tried, {"sent_at": (NOW + timedelta(minutes=1)).isoformat()})):
            deliveries = {"ops": entry}
            session.add(
                Notification(about=f"x{number}", event="ready", occurrence=1, facts={}, deliveries=deliveries)
            )
    assert said(database) == []
