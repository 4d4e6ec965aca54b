"""Runs in a database, in the states that tests begin with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from db.engine import Database
from db.models import ChainRun, ScheduledTask
from db.runs import admission, starting, steps, transitions
from db.schedules import schedules
from db.states import STEPS, Kind, RunState, Step, StepState, Trigger

DUE = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)


def schedule(session: Session, name: str = "monthly", drive: str = "tape0") -> ScheduledTask:
    return schedules.put(session, name, drive=drive, sources=["/data"], time_zone="UTC")


def start(session: Session, name: str = "monthly", due: datetime = DUE, **how: Any) -> ChainRun | None:
    return starting.start(
        session, schedule(session, name), due_at=due, trigger=how.get("trigger", Trigger.SCHEDULE)
    )


def running(database: Database, name: str = "monthly") -> ChainRun:
    """A run that owns its drive."""
    with database.transaction() as session:
        start(session, name, trigger=Trigger.MANUAL, due=datetime.now(UTC))
        run = admission.admit(session, "tape0")
        assert run
        return run


def claimed(database: Database, run: ChainRun, step: Step = Step.PRECHECK) -> steps.Claim:
    with database.transaction() as session:
        held = steps.claim(session, run.id, run.dispatch, step, "worker")
    assert held
    return held


def fail(database: Database, run: ChainRun, at: Step) -> None:
    """Pass all steps before ``at`` and fail there."""
    with database.transaction() as session:
        for step in STEPS[Kind.BACKUP]:
            held = steps.claim(session, run.id, run.dispatch, step, "w")
            assert held
            if step is at:
                steps.finish(session, held, StepState.FAILED)
                break
            steps.finish(session, held, StepState.SUCCEEDED)
        transitions.transition(session, transitions.get(session, run.id), RunState.FAILED)
