"""``tapeline.start``: an occurrence of a schedule, announced by beat."""

from __future__ import annotations

from datetime import datetime

import structlog

from celery_app import wiring
from celery_app.celery import app
from db.models import ScheduledTask
from db.runs import starting
from db.states import RunState, Trigger
from tasks import chain

log = structlog.get_logger("tapeline.start")


@app.task(name="tapeline.start", acks_late=False, ignore_result=True)
def start(schedule_id: int, due_at: str) -> str:
    """Decide whether a run exists, unless that is decided, and give it its drive when that is free.

    Early acknowledgement; if it is announced twice, it decides once.
    """
    moment = datetime.fromisoformat(due_at)
    with wiring.database().transaction() as session:
        schedule = session.get(ScheduledTask, schedule_id)
        if schedule is None:
            log.warning("there is no such schedule", schedule=schedule_id)
            return "no such schedule"
        run = starting.start(session, schedule, due_at=moment, trigger=Trigger.SCHEDULE)
        run = run or starting.of_moment(session, schedule, moment)
    if run.state is RunState.SKIPPED:
        chain.ask("tapeline.deliver", run_id=run.id)
    else:
        chain.release(run.drive)
    return f"run {run.id}: {run.state.value}"
