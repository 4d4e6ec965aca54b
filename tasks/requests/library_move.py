"""``tapeline.library_move``: what a button of the page Library asks a drive's worker to move."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.orm import Session

from celery_app import wiring
from celery_app.celery import app
from db.errors import NotAllowed
from db.libraries import inventory as rows
from db.libraries import robot as moves
from db.models import TapeLibrary, now
from db.tapes import drives, mount_backoff
from policy.errors import TapelineError
from policy.message import M
from tape.changer import Bay, Inventory, Slot
from tasks import chain
from tasks.library import robot
from tasks.library.robot import Robot

log = structlog.get_logger("tapeline.library")

EXPIRES = timedelta(minutes=10)
"""A request that a busy worker did not get to by then is not made any more: who asked has gone."""


@dataclass(frozen=True, slots=True)
class Request:
    """A move that a person has asked for, and what they saw."""

    library: str
    verb: str
    place: int = 0
    """A slot, or for ``unload`` the number of a drive."""
    target: int = 0
    """For ``load`` the number of a drive."""
    barcode: str | None = None
    asked_by: str = "-"

    @property
    def served(self) -> int | None:
        """The number of the drive whose tape it changes."""
        return {"load": self.target, "unload": self.place}.get(self.verb)


@app.task(name="tapeline.library_move", acks_late=False, ignore_result=True)
def library_move(request: dict[str, Any], asked_at: str) -> str:
    """Make one move if what was seen is there still. What it came to is among the library's moves."""
    with wiring.database().transaction():
        is_late = now() - datetime.fromisoformat(asked_at) > EXPIRES
    if is_late:
        return "expired"
    asked = Request(**request)
    try:
        with robot.held(asked.library, asked_by=asked.asked_by) as arm:
            _make(arm, arm.look(anew=asked.verb == "inventory"), asked)
    except TapelineError as error:
        log.warning("the library was not moved", verb=asked.verb, error=str(error))
        _note(asked, error)
        return "not moved"
    return "moved"


def _make(arm: Robot, inventory: Inventory, asked: Request) -> None:
    place, barcode = asked.place, asked.barcode
    match asked.verb:
        case "load":
            _check(inventory.slot(place), barcode)
            arm.load(place, asked.target, barcode)
        case "unload":
            bay = inventory.bay(place)
            _check(bay, barcode)
            slot = inventory.free_slot(bay.home if bay else None)
            if slot is None:
                raise robot.no_free_slot(arm.name)
            arm.unload(place, slot, barcode)
        case "export":
            _check(inventory.slot(place), barcode)
            arm.move(place, _empty_mail_slot(arm, inventory), barcode, out=True)
        case "import":
            for mail in [slot for slot in inventory.slots if slot.is_mail and slot.full]:
                free = arm.look().free_slot(None)
                if free is None:
                    raise robot.no_free_slot(arm.name)
                arm.move(mail.number, free, mail.barcode)
    if asked.served is not None:
        with wiring.database().transaction() as session:
            mount_backoff.forget(session, arm.settings.drives[asked.served])


def _empty_mail_slot(arm: Robot, inventory: Inventory) -> int:
    mail = next((each.number for each in inventory.slots if each.is_mail and not each.full), None)
    if mail is None:
        raise NotAllowed(
            M("No mail slot of library {library} is empty.", library=arm.name),
            M("Take out what is in it, then try again."),
        )
    return mail


def _check(place: Slot | Bay | None, barcode: str | None) -> None:
    if place is None or not place.full or place.barcode != barcode:
        raise NotAllowed(
            M("Another cartridge is there by now: nothing was moved."),
            M("Look at the page, and decide again."),
        )


def _note(asked: Request, error: TapelineError) -> None:
    """Whoever pressed the button finds on the page why nothing was moved."""
    with wiring.database().transaction() as session:
        is_known = session.get(TapeLibrary, asked.library) is not None
        if not is_known or moves.unfinished(session, asked.library) is not None:
            return
        last = next(iter(moves.last_of(session, asked.library, 1)), None)
        if last is not None and last.outcome == error.message.to_json():
            return  # The robot has entered it.
        number = moves.begin(
            session,
            asked.library,
            asked.verb,
            asked.place,
            asked.target,
            barcode=asked.barcode,
            run_id=None,
            asked_by=asked.asked_by,
        )
        moves.end(session, number, error.message)


def queue_for(session: Session, asked: Request) -> str:
    """The queue of a worker that has this library. Raises NotFound, NotAllowed if none of them lives."""
    row = rows.get(session, asked.library)
    named = row.drives.get(str(asked.served))
    serving = [named] if named else list(row.drives.values())
    alive = [name for name in serving if drives.is_alive(session, name)]
    if not alive:
        raise NotAllowed(
            M("No worker of library {library} lives.", library=asked.library),
            M("Start the worker of its drive on its host: tapeline worker tape"),
        )
    return drives.queue_of(session, alive[0]) or "tape"


def send(queue: str, asked: Request) -> None:
    """Send it; a broker that does not answer loses it, and nothing moves."""
    with wiring.database().transaction():
        moment = now().isoformat()
    chain.ask("tapeline.library_move", queue=queue, brief=True, request=asdict(asked), asked_at=moment)
