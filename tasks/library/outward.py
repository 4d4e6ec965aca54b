"""After a run: its tape goes back into a slot of the library, or into the mail slot, to be taken out."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.orm import Session

from celery_app import wiring
from db import events
from db.models import ChainRun
from db.runs import announcing, transitions
from db.sets import catalog
from policy.message import M
from tape.changer import Inventory
from tasks.library import robot
from tasks.library.robot import Robot


def put_away(run: ChainRun, library: str, number: int, *, export: bool) -> None:
    """Put the tape of a drive into a slot; with ``export`` every tape of the run's set into the mail slots,
    as far as they are empty, and announce what to take out. Raises DriveError, NotAllowed."""
    with robot.held(library, asked_by=f"run {run.id}") as arm:
        inventory = _emptied(arm, arm.look(), number)
        moved, left = _exported(arm, inventory, _barcodes_of(run)) if export else ([], [])
    with wiring.database().transaction() as session:
        _tell(session, transitions.get(session, run.id, lock=True), library, moved, left, export=export)


def _emptied(arm: Robot, inventory: Inventory, number: int) -> Inventory:
    bay = inventory.bay(number)
    if bay is None or not bay.full:
        return inventory
    slot = inventory.free_slot(bay.home)
    if slot is None:
        raise robot.no_free_slot(arm.name)
    arm.unload(number, slot, bay.barcode)
    return arm.look()


def _exported(arm: Robot, inventory: Inventory, wanted: Collection[str]) -> tuple[list[str], list[str]]:
    """The barcodes that are in mail slots now, and those for which none was empty."""
    mail = [slot.number for slot in inventory.slots if slot.is_mail and not slot.full]
    moved, left = [], []
    for slot in inventory.slots:
        if slot.barcode not in wanted or slot.barcode is None or slot.is_mail:
            continue
        if not mail:
            left.append(slot.barcode)
            continue
        arm.move(slot.number, mail.pop(0), slot.barcode, out=True)
        moved.append(slot.barcode)
    return moved, left


def _barcodes_of(run: ChainRun) -> set[str]:
    with wiring.database().transaction() as session:
        return {tape.barcode for tape in catalog.tapes(session, run.set_id or "") if tape.barcode}


def _tell(
    session: Session, run: ChainRun, library: str, moved: list[str], left: list[str], *, export: bool
) -> None:
    events.record(session, run, M("The tape is back in its slot of library {library}.", library=library))
    if not export:
        return
    if moved:
        reason = M(
            "Take out of the mail slot of library {library}: {tapes}.",
            library=library,
            tapes=", ".join(moved),
        )
        remedy = M("Write their labels on the cases, and store them in another building.")
        events.record(session, run, reason)
        announcing.announce(session, run, "library", reason, remedy)
    if left:
        reason = M(
            "No mail slot of library {library} is empty for: {tapes}.", library=library, tapes=", ".join(left)
        )
        remedy = M("Empty the mail slots, then: tapeline library export {tape}", tape=left[0])
        events.record(session, run, reason, level="warning")
        announcing.announce(session, run, "library", reason, remedy)
