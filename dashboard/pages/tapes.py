"""Every cartridge: how full it is, how long it is kept, and what a run would do with it."""

from __future__ import annotations

from math import inf
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import settings
from dashboard import charts, inside, verdicts
from dashboard.page import Page, number
from db import views
from db.models import ScheduledTask, TapeCartridge
from db.schedules import schedules
from db.sets import amounts
from db.tapes import cartridges
from db.tapes.facts import Shelf
from db.tapes.kin import StoredSet
from policy.tapes.facts import CartridgeState, SetState

MONTHS = 24
"""How many months the chart has."""
A_PAGE = 50


class Tapes(Page):
    """``/tapes?state=&pool=&name=&for=&page=``; ``for``: the schedule whose run is asked about."""

    active = "tapes"

    @authenticated
    async def get(self) -> None:
        asked = {name: self.get_query_argument(name, "") for name in ("state", "pool", "name", "for", "page")}
        found = await self.ask(lambda session: _found(session, asked))
        self.page("tapes.html", asked=asked, **found, chart=charts.by_month(found["months"], self.show))


def _found(session: Session, asked: dict[str, str]) -> dict[str, Any]:
    loaded = inside.by_cartridge(session)
    known = cartridges.every(session)
    chosen = [tape for tape in known if _is_wanted(tape, asked)]
    chosen.sort(key=lambda tape: (tape.id not in loaded, _newest_first(tape), tape.id))
    page = number("page", asked["page"] or "1")
    asking = verdicts.askers(session, _next_first(schedules.present(session)))
    asker = next((each for each in asking if each.name == asked["for"]), asking[0] if asking else None)
    shown = chosen[(page - 1) * A_PAGE : page * A_PAGE]
    # Of a thousand tapes, only the sets of the shown ones are loaded.
    shelf = Shelf(session, TapeCartridge.id.in_([tape.id for tape in shown]))
    return {
        "tapes": [_shown(shelf, tape, loaded.get(tape.id), asker) for tape in shown],
        "count": len(chosen),
        "number": page,
        "pages": max(-(-len(chosen) // A_PAGE), 1),
        "states": list(CartridgeState),
        "pools": sorted({tape.pool.name for tape in known if tape.pool}),
        "asker": asker.name if asker else None,
        "askers": [each.name for each in asking],
        "months": amounts.by_month(session, settings.load().zone, MONTHS),
    }


def _next_first(rows: list[ScheduledTask]) -> list[ScheduledTask]:
    """The schedule that runs next, unless another one is chosen."""
    return sorted(rows, key=lambda row: row.next_run_time.timestamp() if row.next_run_time else inf)


def _is_wanted(tape: TapeCartridge, asked: dict[str, str]) -> bool:
    names = (tape.tape_id, tape.label, tape.barcode)
    return (
        asked["state"] in {"", tape.state.value}
        and asked["pool"] in {"", tape.pool.name if tape.pool else None}
        and any(asked["name"].lower() in (name or "").lower() for name in names)
    )


def _newest_first(tape: TapeCartridge) -> float:
    return -tape.formatted_at.timestamp() if tape.formatted_at else 0


def _shown(
    shelf: Shelf, tape: TapeCartridge, loaded: inside.Inside | None, asker: verdicts.Asker | None
) -> dict[str, Any]:
    kept = [stored for stored in shelf.sets(tape.id) if stored.state is not SetState.DESTROYED]
    facts = loaded.facts if loaded else shelf.facts(tape.id)
    return {
        **tape_facts(tape),
        "drive": loaded.drive if loaded else None,
        "sets": len(kept),
        "kept": _kept(kept),
        "damaged": sum(stored.damaged or 0 for stored in kept),
        "answer": asker.ask(facts) if asker else None,
    }


def tape_facts(tape: TapeCartridge) -> dict[str, Any]:
    """A single cartridge."""
    return {
        "id": tape.id,
        "tape_id": tape.tape_id,
        "label": tape.label,
        "barcode": tape.barcode,
        "pool": tape.pool.name if tape.pool else None,
        "state": tape.state.value,
        "generation": tape.generation,
        "bytes_used": tape.bytes_used,
        "capacity": tape.capacity,
        "formatted_at": views.iso(tape.formatted_at),
        "health": views.health_json(tape),
    }


def _kept(sets: list[StoredSet]) -> dict[str, Any]:
    """How long the sets keep their tape: one of them for ever, or as one of the newest, or until a time."""
    ends = [stored.retention_until for stored in sets if stored.retention_until]
    return {
        "ever": any(stored.retention_until is None and stored.keep_sets is None for stored in sets),
        "newest": any(stored.keep_sets is not None for stored in sets),
        "until": views.iso(max(ends)) if ends else None,
    }
