"""What needs somebody at a library: an inventory that is not believed, a move that was cut off, a cleaning
cartridge that is worn out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from db.libraries import inventory, robot
from db.models import TapeLibrary
from policy.message import M, Message


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that needs somebody."""

    message: Message
    remedy: Message | None = None
    """What to do, unless the message names it."""
    is_urgent: bool = True


def every(session: Session, moment: datetime) -> Iterator[Trouble]:
    """The troubles of all libraries."""
    for row in inventory.every(session):
        yield from _inside(session, row, moment)
        for barcode, known in sorted(row.cleaners.items()):
            if known["worn"] and barcode in inventory.barcodes(row.inventory):
                worn = M("Cleaning cartridge {barcode} is worn out.", barcode=barcode)
                yield Trouble(worn, M("Put a new one into the library."), is_urgent=False)


def _inside(session: Session, row: TapeLibrary, moment: datetime) -> Iterator[Trouble]:
    cut_off = robot.unfinished(session, row.name)
    if cut_off is not None and moment - cut_off.begun_at > robot.ABANDONED:
        yield Trouble(
            M(
                "A move of library {library} was cut off ({barcode}). To see where it is: tapeline library"
                " inventory",
                library=row.name,
                barcode=cut_off.barcode or "-",
            )
        )
    elif row.old is not None:
        text = M("Library {library} needs a look inside: {reason}", library=row.name, reason=row.old)
        yield Trouble(text, M("Read a new inventory: tapeline library inventory"))
