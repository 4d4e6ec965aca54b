"""What each transition leaves in a run's row, its steps and its story, and that it touches no other run."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from db.engine import Database
from db.errors import NotAllowed, NotFound
from db.models import (
    BackupSet,
    BackupTask,
    Notification,
    Options,
    now,
)
from db.runs import transitions
from db.sets import catalog
from db.states import BackupType, Kind, RecordState, RunState
from policy.message import M
from policy.tapes.facts import SetState
from tests.integration.db.runs.rows import (
    DUE,
    HOUR,
    _like,
    has,
    is_lately,
    of_run,
    running,
    said,
    schedule,
    started,
    story,
    text_of,
    values,
)


def test_a_run_that_is_not_there_is_named(database: Database) -> None:
    with database.transaction() as session:
        for find in (transitions.get, transitions.get_active):
            with pytest.raises(NotFound) as found:
                find(session, 999)
            assert str(found.value.message) == "There is no run 999."
            assert str(found.value.remedy) == "'tapeline runs' lists them."
        assert transitions.get_unless_locked(session, 999) is None


@pytest.mark.parametrize("find", [transitions.get, transitions.get_active])
def test_a_locked_run_is_as_it_is_now_and_nobody_elses(database: Database, find: Any) -> None:
    """Who asks without the lock keeps nobody out, and keeps what he has read."""
    with database.transaction() as session:
        schedule(session)
        run = started(session)
    with database.transaction() as session:
        mine = find(session, run.id)
        with database.transaction() as other:
            row = transitions.get_unless_locked(other, run.id)
            assert row
            row.requested_by = "wang"
        assert find(session, run.id) is mine
        assert mine.requested_by is None
        assert find(session, run.id, lock=True).requested_by == "wang"
        with database.transaction() as other:
            assert transitions.get_unless_locked(other, run.id) is None


def test_a_run_that_nobody_has_locked_is_as_it_is_now(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run, other = started(session), started(session, due=DUE + HOUR)
    with database.transaction() as session:
        mine = transitions.get(session, run.id)
        with database.transaction() as elsewhere:
            transitions.get(elsewhere, run.id).requested_by = "wang"
        assert transitions.get_unless_locked(session, run.id) is mine
        assert mine.requested_by == "wang"
        with database.transaction() as elsewhere:
            found = transitions.get_unless_locked(elsewhere, other.id)
            assert found
            assert found.id == other.id


def test_an_ended_run_is_said_to_have_ended(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = started(session)
        assert transitions.get_active(session, run.id) is run
        run.state = RunState.FAILED
        with pytest.raises(NotAllowed) as found:
            transitions.get_active(session, run.id)
        assert str(found.value.message) == f"Run {run.id} has ended already: FAILED."


def test_a_change_that_the_machine_does_not_have_is_named(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = started(session)
        before = of_run(session, run)
        with pytest.raises(NotAllowed) as found:
            transitions.transition(session, run, RunState.SUCCEEDED)
        assert str(found.value.message) == f"Run {run.id} is QUEUED and cannot become SUCCEEDED."
        assert of_run(session, run) == before


def test_a_transition_changes_its_own_run_alone(database: Database) -> None:
    """And of that what the state means; a run of the same state stays as it is."""
    with database.transaction() as session:
        for name in ("monthly", "other"):
            schedule(session, name)
        run, other = started(session), started(session, "other")
        before = of_run(session, other)
        assert transitions.transition(session, run, RunState.RUNNING) is True
        assert (run.state, run.reason, run.finished_at) == (RunState.RUNNING, None, None)
        assert is_lately(run.started_at)
        assert is_lately(run.moved_at)
        assert (run.idle_since, run.idle_seconds) == (None, 0.0)
        assert story(session, run)[1:] == ["info 1: QUEUED → RUNNING"]
        assert said(session, run) == ["started"]
        began = run.started_at
        assert transitions.transition(session, run, RunState.WAITING_FOR_TAPE, M("Another tape."))
        assert (run.state, text_of(run.reason)) == (RunState.WAITING_FOR_TAPE, "Another tape.")
        assert (run.finished_at, run.started_at) == (None, began)
        assert run.idle_since == run.moved_at
        assert story(session, run)[2:] == ["info 1: RUNNING → WAITING_FOR_TAPE: Another tape."]
        assert said(session, run) == ["started", "waiting_for_tape"]
        waits = run.idle_since
        assert transitions.transition(session, run, RunState.QUEUED)
        assert (run.reason, run.finished_at, run.started_at) == (None, None, began)
        assert run.idle_since == waits, "it does not work yet"
        run.idle_since = now() - HOUR
        run.idle_seconds = 100.0
        session.flush()
        assert transitions.transition(session, run, RunState.RUNNING)
        has(run, idle_since=None)
        assert run.idle_seconds == pytest.approx(3700, abs=30)
        assert run.started_at == began
        assert said(session, run) == ["started", "waiting_for_tape"]
        assert transitions.transition(session, run, RunState.FAILED, M("Broken."), M("Mend it."))
        assert run.finished_at == run.moved_at == run.idle_since
        assert is_lately(run.finished_at)
        assert run.idle_seconds == pytest.approx(3700, abs=30)
        assert story(session, run)[-1] == "error 1: RUNNING → FAILED: Broken."
        facts = session.scalars(select(Notification.facts).where(Notification.event == "failed")).one()
        assert (text_of(facts["reason"]), text_of(facts["remedy"])) == ("Broken.", "Mend it.")
        assert of_run(session, other) == before


def test_a_run_that_never_had_its_drive_was_never_started(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = started(session)
        transitions.transition(session, run, RunState.CANCELLED, M("Not wanted."))
        has(run, started_at=None, idle_since=None, finished_at=run.moved_at)
        assert said(session, run) == ["cancelled"]


def test_who_was_slower_changes_nothing(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = running(session)
    with database.transaction() as session:
        stale = transitions.get(session, run.id)
        with database.transaction() as other:
            transitions.transition(other, transitions.get(other, run.id), RunState.FAILED)
            before = values(transitions.get(other, run.id)), story(other, run)
        assert transitions.transition(session, stale, RunState.WAITING_FOR_TAPE, M("x")) is False
    with database.transaction() as session:
        assert (values(transitions.get(session, run.id)), story(session, run)) == before
        assert said(session, run) == ["started", "failed"]


@pytest.mark.parametrize("kind", [Kind.BACKUP, Kind.VERIFY])
@pytest.mark.parametrize("after", [RunState.FAILED, RunState.WAITING_FOR_TAPE])
@pytest.mark.parametrize(("was", "record_was"), [
    (SetState.WRITING, RecordState.RUNNING), (SetState.COMPLETE, RecordState.COMPLETED),
])  # fmt: skip
def test_what_an_ended_backup_leaves_unfinished_is_marked_so(
    database: Database, kind: Kind, after: RunState, was: SetState, record_was: RecordState
) -> None:
    """Its own set and record alone, and only where they were not finished; a verification owns no set."""
    with database.transaction() as session:
        row = schedule(session)
        schedule(session, "other")
        run, another = running(session), started(session, "other")
        run.kind = kind
        mine, other = (
            BackupSet(
                id=f"20261101T010000Z-000{n}", type=BackupType.FULL, state=was, sources=["/"], started_at=DUE
            )
            for n in (1, 2)
        )
        for stored in (mine, other):
            catalog.add_set(session, stored)
        run.set_id = mine.id
        record, others = (
            BackupTask(**_like(row.template), run_id=each.id, state=state)
            for each, state in ((run, record_was), (another, RecordState.RUNNING))
        )
        session.add_all([record, others])
        session.flush()
        transitions.transition(session, run, after, M("Broken."))
        session.expire_all()
        closes = kind is Kind.BACKUP and after is RunState.FAILED
        closed = SetState.INCOMPLETE if closes and was is SetState.WRITING else was
        assert (mine.state, other.state) == (closed, was)
        if closes and record_was is not RecordState.COMPLETED:
            assert (record.state, text_of(record.error)) == (RecordState.FAILED, "Broken.")
            assert record.finished_at == run.finished_at
        else:
            assert (record.state, record.error, record.finished_at) == (record_was, None, None)
        assert (others.state, others.error, others.finished_at) == (RecordState.RUNNING, None, None)


def test_a_schedule_notes_its_own_runs_alone(database: Database) -> None:
    with database.transaction() as session:
        rows = [schedule(session, name) for name in ("monthly", "other")]
        before = values(rows[1])
        run = running(session)
        row = rows[0]
        assert is_lately(row.last_run_time)
        transitions.transition(session, run, RunState.FAILED)
        assert (row.last_failure_time, row.last_success_time) == (run.finished_at, None)
        assert values(rows[1]) == before


@pytest.mark.parametrize(("asked", "template", "settles"), [
    (None, BackupType.FULL, True), (BackupType.FULL, BackupType.FULL, True),
    (BackupType.INCREMENTAL, BackupType.FULL, False), (None, BackupType.INCREMENTAL, True),
    (BackupType.FULL, BackupType.INCREMENTAL, True),
    (BackupType.DIFFERENTIAL, BackupType.INCREMENTAL, False),
])  # fmt: skip
def test_a_success_without_a_set_counts_as_what_was_asked_for(
    database: Database, asked: BackupType | None, template: BackupType, settles: bool
) -> None:
    with database.transaction() as session:
        row = schedule(session)
        row.template.type = template
        run = running(session, options=Options(type=asked))
        transitions.transition(session, run, RunState.SUCCEEDED)
        assert row.last_success_time == (DUE if settles else None)


# -- admission -------------------------------------------------------------------------------------
