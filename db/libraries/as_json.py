"""A library as commands and pages show it: what is where, and what is known of each cartridge."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy.orm import Session

from db.libraries import inventory, robot
from db.models import RobotMove, TapeCartridge, TapeLibrary

MOVES = 10
"""How many of the last moves are shown."""


def library(session: Session, row: TapeLibrary) -> dict[str, Any]:
    """The library with its drives, slots and last moves."""
    shown = inventory.barcodes(row.inventory)
    twice = {barcode for barcode, count in Counter(shown).items() if count > 1}
    tapes = inventory.by_barcode(session, shown)

    def place(spot: dict[str, Any]) -> dict[str, Any]:
        return _place(spot, row, tapes, twice)

    return {
        "name": row.name,
        "driver": row.driver,
        "host": row.host,
        "read_at": row.read_at.isoformat(),
        "old": row.old,
        "cleaners": row.cleaners,
        "drives": [
            {
                "number": bay["number"],
                "drive": row.drives.get(str(bay["number"])),
                "from": bay["home"],
                **place(bay),
            }
            for bay in row.inventory["bays"]
        ],
        "slots": [
            {"number": slot["number"], "mail": slot["is_mail"], **place(slot)}
            for slot in row.inventory["slots"]
        ],
        "moves": [_move(each) for each in robot.last_of(session, row.name, MOVES)],
    }


def _place(
    spot: dict[str, Any], row: TapeLibrary, tapes: dict[str, TapeCartridge], twice: set[str]
) -> dict[str, Any]:
    """``what`` is ``empty``, ``tape``, ``new`` (no drive has shown it yet), ``cleaning``, ``unread`` (no
    readable barcode) or ``twice`` (several cartridges have this barcode)."""
    barcode = spot["barcode"]
    tape = tapes.get(barcode or "")
    what = "tape" if tape else "new"
    if not spot["full"]:
        what = "empty"
    elif barcode is None:
        what = "unread"
    elif barcode in twice:
        what = "twice"
    elif inventory.matches(barcode, row.clean_with):
        what = "cleaning"
    return {
        "full": spot["full"],
        "what": what,
        "barcode": barcode,
        "tape_id": tape.tape_id if tape else None,
        "label": tape.label if tape else None,
        "state": tape.state.value if tape else None,
        "pool": tape.pool.name if tape and tape.pool else None,
    }


def _move(row: RobotMove) -> dict[str, Any]:
    return {
        "id": row.id,
        "verb": row.verb,
        "from": row.source,
        "to": row.target,
        "barcode": row.barcode,
        "run": row.run_id,
        "by": row.asked_by,
        "begun_at": row.begun_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "outcome": row.outcome,
    }
