"""``tapeline.eject``: ejects the cartridge after a run whose schedule wants that; a library puts it away."""

from __future__ import annotations

from sqlalchemy.orm import Session

from celery_app import settings, wiring
from celery_app.celery import app
from celery_app.drive_settings import feeder_of
from celery_app.worker import guards
from db import events
from db.errors import NotAllowed
from db.models import ChainRun
from db.runs import transitions
from db.sets import catalog
from db.tapes import cartridges, drives
from policy.message import M, Message
from policy.tapes.medium import MediumReport
from tape.drive import Medium, MediumState
from tape.errors import DriveError
from tasks.library import outward


@app.task(name="tapeline.eject", acks_late=False, ignore_result=True)
def eject(run_id: int) -> str:
    """Eject the tape that a run has written, unless another run has the drive or is queued for it: the end of
    that run asks again. If a drive does not eject, the story has a warning."""
    held = guards.held()
    with wiring.database().transaction() as session:
        run = transitions.get(session, run_id)
        is_owed = held is not None and held.drive == run.drive
        if not is_owed or drives.eject_owed(session, run.drive) != run_id:
            return "left in the drive"
    try:
        return _take_out(run)
    except (DriveError, NotAllowed) as error:
        _tell(run, M("The tape was not ejected: {error}", error=error.message.to_json()), level="warning")
        return "not ejected"


def _take_out(run: ChainRun) -> str:
    drive = wiring.drive(run.drive)
    medium = drive.look().to_json()
    with wiring.database().transaction() as session:
        is_there = _is_of(session, run, medium)
        schedule = transitions.get(session, run.id).schedule
        export = schedule is not None and schedule.after_run == "export"
    if not is_there:
        _tell(run, M("The tape was not ejected: it is not in the drive any more."))
        return "another tape is in the drive"
    feeder = feeder_of(settings.load().changers, run.drive)
    if feeder is None:
        drive.eject()
    else:
        outward.put_away(run, feeder[0], feeder[2], export=export)
    with wiring.database().transaction() as session:
        drives.looked(session, run.drive, Medium(MediumState.NO_MEDIUM).to_json())
    _tell(run, M("The tape was ejected, as the schedule says."))
    return "ejected"


def _is_of(session: Session, run: ChainRun, medium: MediumReport) -> bool:
    """Whether the last tape of a run's set is in the drive: somebody may have changed it since."""
    cartridge = cartridges.recognise(session, medium)
    return cartridge is not None and cartridge in catalog.tapes(session, run.set_id or "")[-1:]


def _tell(run: ChainRun, message: Message, *, level: str = "info") -> None:
    """It is done once, with any result."""
    with wiring.database().transaction() as session:
        drives.eject_after(session, run.drive, None)
        events.record(session, transitions.get(session, run.id), message, level=level)
