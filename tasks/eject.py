"""``tapeline.eject``: takes the cartridge out after a run whose schedule says so."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from celery_app import guards, wiring
from celery_app.celery import app
from db import drives, events, runs
from db.models import ChainRun
from db.states import RunState
from policy.message import M, Message
from tape.drive import Medium, MediumState
from tape.errors import DriveError
from tasks import chain


def ask(run_id: int) -> None:
    """Send the wish to the drive's queue, if the schedule has it; one that is lost leaves the tape in."""
    with wiring.database().transaction() as session:
        run = runs.get(session, run_id)
        wanted = run.schedule is not None and run.schedule.after_run == "eject"
    if wanted:
        chain.ask("tapeline.eject", queue=chain.queue_of(run.drive), run_id=run_id)


@app.task(name="tapeline.eject", acks_late=False, ignore_result=True)
def eject(run_id: int) -> str:
    """Eject, unless another run has the drive by now. A drive that does not is a warning in the story."""
    held = guards.held()
    with wiring.database().transaction() as session:
        run = runs.get(session, run_id)
        if held is None or held.drive != run.drive or _is_taken(session, run.drive):
            return "left in the drive"
    try:
        wiring.drive(run.drive).eject()
    except DriveError as error:
        _tell(run_id, M("The tape was not ejected: {error}", error=error.message.to_json()), level="warning")
        return "not ejected"
    with wiring.database().transaction() as session:
        drives.looked(session, run.drive, Medium(MediumState.NO_MEDIUM).to_json())
    _tell(run_id, M("The tape was ejected, as the schedule says."))
    return "ejected"


def _is_taken(session: Session, drive: str) -> bool:
    running = select(ChainRun.id).where(ChainRun.drive == drive, ChainRun.state == RunState.RUNNING)
    return session.scalar(running) is not None


def _tell(run_id: int, message: Message, *, level: str = "info") -> None:
    with wiring.database().transaction() as session:
        events.record(session, runs.get(session, run_id), message, level=level)
