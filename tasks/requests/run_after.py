"""``tapeline.run_after``: the drive's worker executes the commands of ``after`` that runs still owe, and
removes what copies that have ended left on its disk."""

from __future__ import annotations

import structlog
from sqlalchemy.orm import Session

from celery_app import wiring
from celery_app.celery import app
from celery_app.worker import guards
from db.runs import brackets, transitions
from tasks.writing import commands, copy_spool

log = structlog.get_logger("tapeline.commands")


@app.task(name="tapeline.run_after", acks_late=False, ignore_result=True)
def run_after(drive: str) -> list[int]:
    """Close the brackets of runs that have ended, are held, or wait for a tape before they wrote
    anything; remove the files of copies that have ended.

    Returns these runs. Asked for twice, it finds nothing to do.
    """
    held = guards.held()
    if held is None or held.drive != drive:
        log.warning("asked a worker that does not have the drive", drive=drive)
        return []
    return settle(drive)


def settle(drive: str) -> list[int]:
    """The same, for a caller that has the drive."""
    with wiring.database().transaction() as session:
        owed = [run_id for run_id, _ in brackets.owed(session, drive)]
        states = {run_id: _state(session, run_id) for run_id in owed}
    for run_id in owed:
        commands.settle(run_id, states[run_id])
    return owed + copy_spool.settle(drive)


def _state(session: Session, run_id: int) -> str:
    return str(transitions.get(session, run_id).state.value)
