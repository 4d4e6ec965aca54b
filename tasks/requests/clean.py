"""``tapeline.clean``: a drive that asks for it is cleaned by its library, after the run."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from celery_app import settings, wiring
from celery_app.celery import app
from celery_app.drive_settings import feeder_of
from celery_app.worker import guards
from db import events
from db.errors import NotAllowed
from db.models import ChainRun
from db.runs import announcing, transitions
from db.tapes import drives
from policy import health
from policy.message import M, Message
from tape.errors import DriveError
from tasks.library import cleaning
from tasks.library.cleaning import Cleaned


@app.task(name="tapeline.clean", acks_late=False, ignore_result=True)
def clean(run_id: int) -> str:
    """Clean the drive of a run with a cleaning cartridge of its library, unless another run has the drive or
    is queued for it: the end of that run asks again. It is tried once; the story and a message tell how it
    ended."""
    held = guards.held()
    with wiring.database().transaction() as session:
        run = transitions.get(session, run_id)
        is_owed = held is not None and held.drive == run.drive
        if not is_owed or drives.clean_owed(session, run.drive) != run_id:
            return "not now"
    feeder = feeder_of(settings.load().changers, run.drive)
    if feeder is None:
        _tell(run, None, M("No library of this host feeds drive {drive}.", drive=run.drive))
        return "no library"
    try:
        done = cleaning.clean(feeder[0], feeder[2], wiring.drive(run.drive))
    except (DriveError, NotAllowed) as error:
        _tell(run, None, M("The drive was not cleaned: {error}", error=error.message.to_json()))
        return "not cleaned"
    if done is None:
        _tell(
            run,
            None,
            M(
                "The drive asks to be cleaned, and library {library} has no cleaning cartridge.",
                library=feeder[0],
            ),
        )
        return "no cleaning cartridge"
    _tell(
        run,
        done,
        M(
            "The drive was cleaned with {barcode}: use {uses} of {count}.",
            barcode=done.barcode,
            uses=done.uses,
            count=health.MAX_CLEANINGS,
        ),
    )
    return "cleaned"


def _tell(run: ChainRun, done: Cleaned | None, message: Message) -> None:
    """Nobody needs a message of a drive that was cleaned with a cartridge that is good still."""
    with wiring.database().transaction() as session:
        row = transitions.get(session, run.id, lock=True)
        left = None if done is None else _left(done)
        drives.cleaned(session, run.drive, alerts=left)
        events.record(session, row, message, level="info" if done else "warning")
        _announce(session, row, done, message)


def _left(done: Cleaned) -> list[dict[str, Any]]:
    """What the drive warns of after it was cleaned; a worn cartridge is no warning of the drive's."""
    facts = {"tape_alerts": [each for each in done.health.tape_alerts if each not in health.WORN_OUT]}
    return [each.to_json() for each in health.alerts("-", facts)]


def _announce(session: Session, run: ChainRun, done: Cleaned | None, message: Message) -> None:
    if done is None:
        remedy = M("Put a cleaning cartridge (CLN…) into the library, or clean the drive by hand.")
        announcing.announce(session, run, "library", message, remedy)
    elif done.is_worn:
        worn = M("Cleaning cartridge {barcode} is worn out.", barcode=done.barcode)
        events.record(session, run, worn, level="warning")
        announcing.announce(session, run, "library", worn, M("Put a new one into the library."))
