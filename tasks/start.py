"""``tapeline.start``: an occurrence of a schedule, announced by beat or by hand."""

from __future__ import annotations

from datetime import datetime

import structlog

from celery_app import wiring
from celery_app.celery import app
from db import runs
from db.models import ScheduledTask
from db.states import RunState, Trigger
from tasks import chain

log = structlog.get_logger("tapeline.start")


@app.task(name="tapeline.start", acks_late=False, ignore_result=True)
def start(schedule_id: int, due_at: str, trigger: str = "schedule", requested_by: str | None = None) -> str:
    """Decide whether a run exists, and let it have its drive when that is free.

    Early acknowledgement; announced twice, it decides once.
    """
    with wiring.database().transaction() as session:
        schedule = session.get(ScheduledTask, schedule_id)
        if schedule is None:
            log.warning("there is no such schedule", schedule=schedule_id)
            return "no such schedule"
        run = runs.start(
            session,
            schedule,
            due_at=datetime.fromisoformat(due_at),
            trigger=Trigger(trigger),
            requested_by=requested_by,
        )
        drive = schedule.drive
    if run is None:
        return "decided before"
    if run.state is RunState.SKIPPED:
        chain.ask("tapeline.deliver", run_id=run.id)
        return f"run {run.id}: skipped"
    chain.release(drive)
    return f"run {run.id}: {run.state.value}"
