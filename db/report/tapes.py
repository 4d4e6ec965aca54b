"""Tapes used and free, those to bring and to take out, and how many have to be bought by when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from db.schedules import calendar
from db.tapes import drives
from db.tapes.facts import LoadedTapes
from policy.tapes.facts import CartridgeState
from policy.times.calendar import CalendarEntry
from policy.times.shelf import PlannedRun

AHEAD = timedelta(days=90)
"""How far ahead tapes to buy are looked for."""

OUT_OF_USE = frozenset({CartridgeState.UNKNOWN, CartridgeState.ERROR, CartridgeState.RETIRED})


def stock(session: Session, moment: datetime) -> dict[str, Any]:
    """How many cartridges there are: with a set that is kept, free to be written anew, and out of use."""
    shelf, counts = LoadedTapes(session), {"used": 0, "free": 0, "out_of_use": 0}
    space = {"bytes_used": 0, "capacity": 0}
    for number, row in shelf.cartridges.items():
        space["bytes_used"] += row.bytes_used
        space["capacity"] += row.capacity or 0
        if row.state in OUT_OF_USE:
            counts["out_of_use"] += 1
        elif all(each.may_be_erased(moment) for each in shelf.known(number).sets):
            counts["free"] += 1
        else:
            counts["used"] += 1
    return {**counts, **space}


def ahead(
    session: Session, moment: datetime, until: datetime, size_at: Callable[[PlannedRun], int | None]
) -> dict[str, Any]:
    """Changes of tapes up to ``until``, and the new tapes that are needed within ``AHEAD``.

    ``size_at``: how large a future run will be on tape.
    """
    entries = calendar.entries(session, moment, moment + AHEAD, size_at)
    inside = {drive.name: (drive.medium or {}).get("label") for drive in drives.every(session)}
    changes = []
    for entry in entries:
        if entry.insert and entry.slot is None and entry.planned.at <= until:
            changes.append(_change(entry, inside.get(entry.planned.drive)))
        if entry.label is not None and not entry.is_left:
            inside[entry.planned.drive] = entry.label
    # A tape that is blank in the drive or in its library is not to be bought.
    bought = [entry for entry in entries if entry.insert and entry.tape_id is None and entry.slot is None]
    return {
        "changes": changes,
        "to_buy": len(bought),
        "buy_by": bought[0].planned.at.isoformat() if bought else None,
    }


def _change(entry: CalendarEntry, inside: str | None) -> dict[str, Any]:
    return {
        "at": entry.planned.at.isoformat(),
        "schedule": entry.planned.schedule,
        "drive": entry.planned.drive,
        "take_out": inside,
        "bring": entry.tape_id,
        "label": entry.label,
        "erases": len(entry.erases),
    }
