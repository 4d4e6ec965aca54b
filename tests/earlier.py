"""What was before a test: a schedule that somebody has removed since, and its runs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import ChainRun, ScheduledTask
from db.schedules import schedules
from db.states import Kind, RunState, Trigger
from policy.times.period import ScheduleType

NAME = "of-an-earlier-year"


def known(session: Session, moment: datetime) -> dict[str, int]:
    """The columns of a set that its own run has entered in the catalogue: retention alone keeps it."""
    row = session.scalar(select(ScheduledTask).where(ScheduledTask.name == NAME))
    if row is None:
        row = schedules.put(
            session, NAME, drive="tape9", sources=["/data"], schedule_type=ScheduleType.MANUAL
        )
        row.enabled, row.archived_at = False, moment
    run = ChainRun(
        kind=Kind.BACKUP, schedule_id=None, trigger=Trigger.MANUAL, state=RunState.CANCELLED, drive="tape9",
        due_at=moment, queued_at=moment, finished_at=moment, part=1,
    )  # fmt: skip
    session.add(run)
    session.flush()
    return {"template_id": row.template_id, "run_id": run.id}
