"""Whether the tape in a library's drive is the one that its barcode promises."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from celery_app import settings
from celery_app.drive_settings import feeder_of
from db import events
from db.libraries import inventory as rows
from db.libraries import promises
from db.libraries import robot as moves
from db.models import ChainRun, now
from db.runs import announcing
from db.states import Step
from policy.message import M, Message
from policy.tapes.medium import MediumReport
from tape.changer import Inventory
from tape.errors import DriveError
from tasks.library import robot
from tasks.work import Work, WrongTape

FRESH = timedelta(minutes=1)
"""How long an inventory counts as read just now."""
TIMEOUT = 120.0
"""Seconds to wait for the robot: a tape that is in the drive does not depend on it."""


def barcode(work: Work) -> str | None:
    """The barcode of the cartridge in the run's drive, as the robot has read it; None: there is no library,
    or it does not tell. A library that does not answer stops no run whose tape is in the drive."""
    return _barcode(work, may_be_stored=True)


def confirmed(work: Work, shown: str | None, medium: MediumReport) -> str | None:
    """As ``barcode``, once the tape was looked at: where the two do not agree, the robot is asked again
    before cartridges are doubted. Somebody may have exchanged them by hand since the inventory was stored."""
    if shown is None:
        return None
    if work.db(lambda session, _run: promises.contradiction(session, shown, medium)) is None:
        return shown
    return _barcode(work, may_be_stored=False)


def _barcode(work: Work, *, may_be_stored: bool) -> str | None:
    feeder = feeder_of(work.settings.changers, work.drive_name)
    if feeder is None:
        return None
    name, changer, number = feeder
    inventory = work.db(lambda session, _run: _fresh(session, work.drive_name)) if may_be_stored else None
    if inventory is None:
        try:
            asked_by = f"run {work.held.run_id}"
            with robot.held(name, asked_by=asked_by, run_id=work.held.run_id, limit=TIMEOUT) as arm:
                inventory = arm.look()
        except DriveError as error:
            work.tell(
                M(
                    "The library does not answer; its barcodes are not compared: {error}",
                    error=error.message.to_json(),
                ),
                level="warning",
            )
            return None
    bay = inventory.bay(number)
    shown = bay.barcode if bay else None
    is_tape = shown is not None and shown not in inventory.duplicates
    return shown if is_tape and not rows.matches(shown or "", changer.clean_with) else None


def _fresh(session: Session, drive: str) -> Inventory | None:
    row = rows.of_drive(session, drive)
    if row is None or row.old is not None or now() - row.read_at > FRESH:
        return None
    if moves.unfinished(session, row.name) is not None:
        return None  # It was cut off: the tape may come into the drive only now.
    return Inventory.from_json(row.inventory)


def broken(session: Session, run: ChainRun, shown: str | None, medium: MediumReport) -> WrongTape | None:
    """The refusal of a tape that is not the one that its barcode promises; its cartridges become ``unknown``.

    Joins a barcode and a row that meet for the first time, and remembers what the drive shows of the tape.
    """
    feeder = feeder_of(settings.load().changers, run.drive)
    if shown is None or feeder is None or medium["state"] == "no_medium":
        return None
    broken_promise = promises.keep(session, shown, medium, feeder[1].pools)
    if broken_promise is None:
        row = rows.by_barcode(session, [shown]).get(shown)
        if row is not None:
            rows.saw(session, row, medium)
        return None
    promises.doubt(session, broken_promise, shown, medium)
    events.record(session, run, broken_promise.reason, step=Step.PRECHECK, level="error")
    announcing.announce(session, run, "library", broken_promise.reason, _remedy(shown))
    return WrongTape(broken_promise.reason, _remedy(shown))


def _remedy(shown: str) -> Message:
    return M(
        "See which cartridge has the barcode {barcode}, and stick the right one on. The cartridges in"
        " question are marked 'unknown' until you decide: tapeline tape list",
        barcode=shown,
    )
