"""What starting, refusing and missing a run leave in the rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from db.engine import Database
from db.errors import NotFound
from db.models import (
    BackupSet,
    ChainRun,
    Notification,
    Options,
    RunNotes,
)
from db.runs import lookup, starting
from db.schedules import schedules
from db.sets import catalog
from db.states import STEPS, BackupType, Kind, RunState, StepState, Trigger
from policy.message import M
from policy.tapes.facts import SetState
from tests.integration.db.runs.rows import (
    DUE,
    HOUR,
    is_lately,
    of_run,
    said,
    schedule,
    started,
    story,
    text_of,
)
from tests.integration.db.tapes.test_cartridges import tape


def test_a_started_run_says_all_about_itself(database: Database) -> None:
    with database.transaction() as session:
        row = schedule(session, drive="tape7", time_zone="Asia/Shanghai")
        due = datetime(2026, 10, 31, 20, 0, tzinfo=UTC)
        set_id = "20261001T020000Z-ab"
        on_it = tape(session, set_id=set_id)
        given = Options(type=BackupType.FULL, erase_label=on_it.label)
        run = started(session, due=due, requested_by="li", options=given)
        assert (run.kind, run.schedule_id, run.trigger) == (Kind.BACKUP, row.id, Trigger.MANUAL)
        assert (run.requested_by, run.drive, run.due_at, run.period) == ("li", "tape7", due, "2026-11")
        assert (run.options, run.notes) == (given, RunNotes(erase_sets=(set_id,)))
        assert (run.state, run.reason) == (RunState.QUEUED, None)
        assert (run.finished_at, run.part, run.dispatch, run.dispatched_at) == (None, 1, 0, None)
        session.flush()
        session.expire(run)
        rows = [(row.part, row.position, row.step, row.state, row.attempts) for row in run.steps]
        names = STEPS[Kind.BACKUP]
        assert rows == [(1, place, step, StepState.PENDING, 0) for place, step in enumerate(names)]
        assert story(session, run) == ["info 1: Queued for drive tape7 by li."]
        assert said(session, run) == []


def test_a_run_by_itself_has_nobody_who_asked(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = started(session, trigger=Trigger.SCHEDULE)
        assert (run.options, run.notes) == (Options(), RunNotes())
        assert (run.requested_by, run.trigger) == (None, Trigger.SCHEDULE)
        assert story(session, run) == ["info 1: Queued for drive tape0."]


def test_a_moment_is_taken_by_a_run_of_the_same_schedule_alone(database: Database) -> None:
    """Two schedules are often due at the same moment, and one at many."""
    with database.transaction() as session:
        for name in ("a", "b"):
            schedule(session, name)
        first, second = started(session, "a"), started(session, "b")
        assert (first.state, second.state) == (RunState.QUEUED, RunState.QUEUED)
        for name in ("a", "b"):
            row = schedules.get(session, name)
            assert starting.start(session, row, due_at=DUE, trigger=Trigger.MANUAL) is None
            assert starting.record_missed(session, row, DUE, M("late")) is None
        third = starting.record_missed(session, schedules.get(session, "a"), DUE + HOUR, M("late"))
        assert third
        assert starting.record_missed(session, schedules.get(session, "b"), DUE + HOUR, M("late"))
        assert starting.of_moment(session, schedules.get(session, "a"), DUE).id == first.id
        assert starting.of_moment(session, schedules.get(session, "b"), DUE).id == second.id
        assert starting.of_moment(session, schedules.get(session, "a"), DUE + HOUR).id == third.id


@pytest.mark.parametrize(
    "state", [state for state in RunState if state not in {RunState.QUEUED, RunState.RUNNING}]
)
def test_an_unfinished_run_alone_keeps_the_next_one_from_starting(
    database: Database, state: RunState
) -> None:
    """One that waits or is held does; one that has ended does not, nor one of another schedule."""
    with database.transaction() as session:
        for name in ("monthly", "other"):
            schedule(session, name)
        before, other = started(session), started(session, "other")
        before.state = state
        session.flush()
        run = started(session, due=DUE + HOUR)
        active = state in {RunState.WAITING_FOR_TAPE, RunState.HELD}
        assert run.state is (RunState.SKIPPED if active else RunState.QUEUED)
        reason = f"Run {before.id} of schedule 'monthly' is not finished yet."
        assert text_of(run.reason) == (reason if active else None)
        assert other.state is RunState.QUEUED


@pytest.mark.parametrize(("how", "reason"), [
    ("disabled", "Schedule 'monthly' is disabled."),
    ("held", "Schedule 'monthly' is held since the database was restored."),
    ("done", "Period 2026-11 of schedule 'monthly' has its backup already."),
])  # fmt: skip
def test_a_refusal_is_told_in_full(database: Database, how: str, reason: str) -> None:
    with database.transaction() as session:
        row = schedule(session)
        if how == "disabled":
            row.enabled = False
        elif how == "held":
            row.home = "another"
        else:
            row.last_success_time = DUE
        session.flush()
        session.refresh(row)
        run = started(session, trigger=Trigger.SCHEDULE)
        assert (run.state, text_of(run.reason)) == (RunState.SKIPPED, reason)
        assert is_lately(run.finished_at)
        assert (run.period, run.drive, run.due_at) == ("2026-11", "tape0", DUE)
        assert story(session, run) == [f"info 1: Skipped: {reason}"]
        facts = session.scalars(select(Notification.facts).where(Notification.run_id == run.id)).one()
        assert text_of(facts["reason"]) == reason
        assert of_run(session, run)[1] == []


def test_who_was_faster_is_named(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two start at the same moment, the index decides, and the refusal names the other run."""
    monkeypatch.setattr(starting, "_refusal", lambda *_: None)
    with database.transaction() as session:
        for name in ("monthly", "other"):
            schedule(session, name)
        ended = started(session, due=DUE - HOUR)
        ended.state = RunState.FAILED
        started(session, "other")
        first = started(session)
        second = started(session, due=DUE + HOUR)
        assert second.state is RunState.SKIPPED
        assert text_of(second.reason) == f"Run {first.id} of schedule 'monthly' is not finished yet."


def test_who_was_faster_may_have_ended_since(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the index's refusal and the question who it was."""
    monkeypatch.setattr(starting, "_refusal", lambda *_: None)
    with database.transaction() as session:
        schedule(session)
        started(session)
        monkeypatch.setattr(lookup, "ACTIVE", frozenset())
        second = started(session, due=DUE + HOUR)
        assert text_of(second.reason) == "Run 0 of schedule 'monthly' is not finished yet."


def test_another_contradiction_is_no_refusal(database: Database) -> None:
    """A run of a schedule that is not there is a fault of ours, and no run that somebody skipped."""
    with database.transaction() as session:
        run = ChainRun(kind=Kind.BACKUP, schedule_id=10**6, trigger=Trigger.MANUAL, drive="tape0", due_at=DUE)
        with pytest.raises(IntegrityError):
            starting._insert_queued(session, run, "monthly")


def test_a_missed_occurrence_says_all_about_itself(database: Database) -> None:
    with database.transaction() as session:
        row = schedule(session, drive="tape7", time_zone="Asia/Shanghai")
        run = starting.record_missed(
            session, row, datetime(2026, 10, 31, 20, tzinfo=UTC), M("The host was off.")
        )
        assert run
        assert (run.kind, run.schedule_id, run.trigger) == (Kind.BACKUP, row.id, Trigger.SCHEDULE)
        assert (run.state, run.drive, run.period) == (RunState.SKIPPED, "tape7", "2026-11")
        assert text_of(run.reason) == "The host was off."
        assert is_lately(run.finished_at)
        assert story(session, run) == ["warning 1: Missed: The host was off."]
        facts = session.scalars(select(Notification.facts).where(Notification.event == "missed")).one()
        assert text_of(facts["reason"]) == "The host was off."
        remedy = "If it is still wanted, run it now: tapeline schedule run monthly"
        assert text_of(facts["remedy"]) == remedy
        row.plan_error = {"id": "x", "params": {}}
        again = starting.record_missed(session, row, DUE, M("The plan is wrong."))
        assert again
        assert again.period is None, "a schedule whose plan is wrong has none"


def test_what_is_asked_for_by_hand_is_queued_with_its_question(database: Database) -> None:
    """Restores, verifications and imports."""
    with database.transaction() as session:
        stored = BackupSet(
            id="20261101T010000Z-0001",
            type=BackupType.FULL,
            state=SetState.COMPLETE,
            sources=["/"],
            started_at=DUE,
        )
        catalog.add_set(session, stored)
        target = Options(target="/x")
        restore = starting.start_restore(
            session, set_id=stored.id, drive="tape1", options=target, cartridges=[7], requested_by="li"
        )
        verify = starting.start_verify(session, set_id=stored.id, drive="tape2", percent=7, requested_by=None)
        brought = starting.start_import(session, drive="tape3", requested_by="li", identity="/key")
        expected: list[Any] = [
            (restore, Kind.RESTORE, "tape1", stored.id, target, (7,), "li", Trigger.MANUAL),
            (verify, Kind.VERIFY, "tape2", stored.id, Options(percent=7), (), None, Trigger.SCHEDULE),
            (brought, Kind.IMPORT, "tape3", None, Options(identity="/key"), None, "li", Trigger.MANUAL),
        ]
        for run, kind, drive, set_id, options, cartridges, who, trigger in expected:
            assert (run.kind, run.drive, run.set_id, run.options) == (kind, drive, set_id, options)
            assert run.notes == RunNotes(cartridges=cartridges)
            assert (run.requested_by, run.trigger, run.state) == (who, trigger, RunState.QUEUED)
            assert (run.schedule_id, run.period) == (None, None)
            assert is_lately(run.due_at)
            session.expire(run)
            assert [(row.position, row.step) for row in run.steps] == list(enumerate(STEPS[kind]))
            by = f" by {who}" if who else ""
            assert story(session, run) == [f"info 1: Queued for drive {drive}{by}."]
        with pytest.raises(NotFound) as found:
            starting.start_restore(
                session, set_id="none", drive="tape1", options=Options(), requested_by="li"
            )
        assert str(found.value.message) == "There is no backup set 'none'."
        assert str(found.value.remedy) == "'tapeline sets' lists them."


# -- transitions -----------------------------------------------------------------------------------
