"""In a copy of a database nothing starts by itself: whatever could start it asks whether it is held."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from db import alerts
from db.admin import holds
from db.engine import Database
from db.errors import NotAllowed
from db.models import ChainRun, RunEvent, ScheduledTask, now
from db.runs import admission, retrying, starting, steps, transitions
from db.schedules import planner, schedules
from db.states import RunState, Step, StepState, Trigger
from policy.times.period import ScheduleType

EACH_MINUTE = {"schedule_type": ScheduleType.INTERVAL, "schedule_config": {"every": "1m"}}


def queued(session: Session, name: str, drive: str = "tape0") -> ChainRun:
    row = schedules.put(session, name, drive=drive, sources=["/data"], **EACH_MINUTE)
    run = starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL)
    assert run is not None
    return run


def running(session: Session) -> ChainRun:
    queued(session, "running")
    run = admission.admit(session, "tape0")
    assert run is not None
    return run


def held(session: Session, *names: str) -> None:
    """As a copy has it, before anybody has looked."""
    for model in (ChainRun, ScheduledTask):
        session.query(model).update({"home": "another"})
    session.expire_all()
    for name in names:
        assert schedules.get(session, name).is_held


def test_a_held_run_takes_no_step_and_gives_its_drive_back(database: Database) -> None:
    """The message that was on its way does nothing; an import, which somebody begins here, has the drive."""
    with database.transaction() as session:
        run = running(session)
        claimed = steps.claim(session, run.id, run.dispatch, Step.PRECHECK, "worker")
        assert claimed is not None
        steps.finish(session, claimed, StepState.SUCCEEDED)
        assert steps.claim(session, run.id, run.dispatch, Step.CREATE_RECORD, "worker")
        held(session)
        assert steps.claim(session, run.id, run.dispatch, Step.FORMAT_TAPE, "worker") is None
        imported = starting.start_import(session, drive="tape0", requested_by="li")
        assert admission.admit(session, "tape0") is None
        holds.hold_back(session, "tape0")
        assert (run.state, "restored" in str(run.reason)) == (RunState.WAITING_FOR_TAPE, True)
        assert admission.admit(session, "tape0") is imported
        transitions.transition(session, imported, RunState.SUCCEEDED)
        assert admission.admit(session, "tape0") is None
        [concern] = [
            each for each in alerts.alerts(session, now(), [], lambda _: False) if each.run == run.id
        ]
        assert "tapeline database release --run" in str(concern.message)
        holds.release_run(session, run.id, "li")
        assert admission.admit(session, "tape0") is run
        assert steps.claim(session, run.id, run.dispatch, Step.CREATE_RECORD, "worker")
        with pytest.raises(NotAllowed, match="not held"):
            holds.release_run(session, run.id, "li")


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.WAITING_FOR_TAPE])
def test_what_was_queued_or_waited_goes_on_when_it_is_released(database: Database, state: RunState) -> None:
    """Not before; and the time that it may wait for its tape begins anew."""
    with database.transaction() as session:
        run = running(session)
        if state is RunState.QUEUED:
            run = queued(session, "second")
        else:
            transitions.transition(session, run, state)
            run.wait_until = now() - timedelta(hours=1)
        held(session)
        holds.hold_back(session)
        told = [
            event
            for event in session.query(RunEvent).filter_by(run_id=run.id)
            if "restored" in str(event.message)
        ]
        holds.hold_back(session)
        assert len(told) == 1
        assert admission.admit(session, "tape0") is None
        holds.release_run(session, run.id, "li")
        assert (run.state, run.wait_until) == (RunState.QUEUED, None)
        assert admission.admit(session, "tape0") is run


def test_a_held_schedule_fires_neither_by_itself_nor_by_hand(database: Database) -> None:
    """It is shown as held; released, it fires at its next time: what was due meanwhile is not caught up."""
    with database.transaction() as session:
        row = schedules.put(session, "minute", drive="tape0", sources=["/data"], **EACH_MINUTE)
        planner.plan(row, now() - timedelta(hours=2))
        assert planner.needing_attention(session, now()) == [row.id]
        held(session, "minute")
        assert planner.needing_attention(session, now()) == []
        assert planner.attend(session, row.id, now()) == []
        assert (planner.planned_time(row), planner.next_to_write(row, now())) == (None, None)
        assert "tapeline database release --schedule minute" in str(planner.problem_of(row))
        by_hand = starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL)
        assert by_hand is not None
        assert (by_hand.state, "held" in str(by_hand.reason)) == (RunState.SKIPPED, True)
        moment = now()
        holds.release_schedule(session, "minute", moment)
        assert planner.problem_of(row) is None
        assert planner.needing_attention(session, moment) == []
        assert row.next_run_time is not None
        assert row.next_run_time > moment


def test_a_failed_run_that_somebody_retries_is_not_held(database: Database) -> None:
    """Whoever retries it has named it."""
    with database.transaction() as session:
        run = running(session)
        transitions.transition(session, run, RunState.FAILED)
        held(session)
        retrying.retry(session, run.id, None, "li", None)
        assert not run.is_held
        assert admission.admit(session, "tape0") is run
