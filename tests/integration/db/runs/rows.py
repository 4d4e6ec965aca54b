"""What a run leaves in its rows, as tests compare it: values, steps, lines of its story."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import (
    BackupTask,
    ChainRun,
    ChainStep,
    Notification,
    RunEvent,
    ScheduledTask,
    now,
)
from db.runs import admission, starting, steps, transitions
from db.schedules import schedules
from db.states import STEPS, Kind, RunState, Step, StepState, Trigger
from policy.message import M, Message

DUE = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)


HOUR = timedelta(hours=1)


SINCE = datetime.now(UTC)


def schedule(session: Session, name: str = "monthly", **how: Any) -> ScheduledTask:
    how.setdefault("drive", "tape0")
    how.setdefault("time_zone", "UTC")
    return schedules.put(session, name, sources=["/data"], **how)


def started(session: Session, name: str = "monthly", due: datetime = DUE, **how: Any) -> ChainRun:
    how.setdefault("trigger", Trigger.MANUAL)
    run = starting.start(session, schedules.get(session, name), due_at=due, **how)
    assert run
    return run


def running(session: Session, name: str = "monthly", **how: Any) -> ChainRun:
    started(session, name, **how)
    run = admission.admit(session, schedules.get(session, name).drive)
    assert run
    return run


def values(row: Any) -> dict[str, Any]:
    """Every column of a row."""
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def has(row: Any, **expected: Any) -> None:
    assert {name: getattr(row, name) for name in expected} == expected


def of_run(session: Session, run: ChainRun) -> Any:
    """Everything about a run, to see that nothing has changed."""
    session.flush()
    session.expire_all()
    rows = session.scalars(select(ChainStep).where(ChainStep.run_id == run.id)).all()
    return values(run), sorted((values(row) for row in rows), key=lambda row: (row["part"], row["position"]))


def story(session: Session, run: ChainRun) -> list[str]:
    session.flush()
    kept = session.scalars(select(RunEvent).where(RunEvent.run_id == run.id).order_by(RunEvent.id))
    return [f"{each.level} {each.part}: {Message.from_json(each.message)}" for each in kept]


def said(session: Session, run: ChainRun) -> list[str]:
    found = session.scalars(
        select(Notification).where(Notification.run_id == run.id).order_by(Notification.id)
    )
    return [each.event for each in found]


def text_of(stored: dict[str, Any] | None) -> str | None:
    return None if stored is None else str(Message.from_json(stored))


def is_lately(moment: datetime | None) -> bool:
    return moment is not None and SINCE <= moment <= now()


# -- starting --------------------------------------------------------------------------------------


def _like(template: BackupTask) -> dict[str, Any]:
    """The values of an execution record made of a template."""
    copied = {
        key: value
        for key, value in values(template).items()
        if key not in {"id", "created_at", "run_id", "state"}
    }
    return copied | {"is_template": False}


def run_steps(session: Session, run: ChainRun) -> list[ChainStep]:
    return list(session.scalars(select(ChainStep).where(ChainStep.run_id == run.id)))


def claimed(session: Session, run: ChainRun, step: Step = Step.PRECHECK) -> steps.Claim:
    held = steps.claim(session, run.id, run.dispatch, step, "worker@host")
    assert held
    return held


def step_of(session: Session, run: ChainRun, step: Step = Step.PRECHECK) -> ChainStep:
    session.flush()
    return session.get_one(ChainStep, (run.id, run.part, step), populate_existing=True)


def values_of(session: Session, run: ChainRun) -> dict[str, Any]:
    session.expire(run)
    return values(run)


def failed(session: Session, name: str = "monthly", at: Step = Step.FORMAT_TAPE) -> ChainRun:
    run = running(session, name)
    for step in STEPS[Kind.BACKUP]:
        held = claimed(session, run, step)
        steps.finish(session, held, StepState.FAILED if step is at else StepState.SUCCEEDED)
        if step is at:
            break
    transitions.transition(session, run, RunState.FAILED, M("Broken."))
    return run
