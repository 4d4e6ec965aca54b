"""Every cartridge: how full it is, how long it is kept, and what a run would do with it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import settings
from dashboard import charts, sheets, verdicts
from dashboard.page import Page, number
from db import views
from db.models import ScheduledTask, TapeCartridge, now
from db.schedules import schedules
from db.sets import amounts
from db.tapes import listing
from db.tapes.facts import Inside, LoadedTapes
from policy.tapes.facts import CartridgeState

MONTHS = 24
"""How many months the chart has."""
A_PAGE = 25
ASKERS = 100
"""How many schedules may be chosen, those that run next; another one by its name in the address."""
REASONS = 3
"""How many reasons for its answer a tape has here; its own page has all of them."""


class Tapes(Page):
    """``/tapes?state=&pool=&name=&for=&page=``; ``for``: the schedule whose run is asked about."""

    active = "tapes"

    @authenticated
    async def get(self) -> None:
        asked = {name: self.get_query_argument(name, "") for name in ("state", "pool", "name", "for", "page")}
        facts = await self.ask(lambda session: _found(session, asked))
        self.page("tapes.html", asked=asked, **facts, chart=charts.by_month(facts["months"], self.show))


class Sheet(Page):
    """``/tapes/sheet?tape=``: a PDF with a card to print for each of some tapes, else for each new one."""

    active = "tapes"

    @authenticated
    async def get(self) -> None:
        names = self.get_query_arguments("tape")
        made = await self.ask(lambda session: sheets.drawn(sheets.chosen(session, names)))
        self.set_header("Content-Type", "application/pdf")
        self.set_header("Content-Disposition", 'attachment; filename="tapes.pdf"')
        self.write(made)


def _found(session: Session, asked: dict[str, str]) -> dict[str, Any]:
    moment = now()
    shelf = LoadedTapes(session, look=False)
    inside = Inside(session, shelf)
    page = number("page", asked["page"] or "1")
    shown, count = listing.page(
        session, asked["state"], asked["pool"], asked["name"],
        first=inside.cartridges, number=page, size=A_PAGE,
    )  # fmt: skip
    names = _askers(session, asked["for"])
    asker = next(iter(verdicts.askers(session, names[:1])), None)
    ids = [tape.id for tape in shown if tape.id not in inside.cartridges]
    if ids:
        shelf.look_briefly(session, ids, moment, asker.period if asker else None)
    kept = listing.kept(session, [tape.id for tape in shown])
    return {
        "tapes": [_shown(shelf, inside, tape, kept.get(tape.id, listing.Kept()), asker) for tape in shown],
        "count": count,
        "number": page,
        "pages": max(-(-count // A_PAGE), 1),
        "states": list(CartridgeState),
        "pools": listing.pools(session),
        "asker": asker.name if asker else None,
        "askers": [row.name for row in names],
        "months": amounts.by_month(session, settings.load().zone, MONTHS),
    }


def _askers(session: Session, chosen: str) -> list[ScheduledTask]:
    """The schedules whose run may be asked about: the chosen one, then those that run next."""
    rows = schedules.next_first(session, ASKERS)
    first = [row for row in rows if row.name == chosen]
    if chosen and not first:
        first = [row for row in schedules.named(session, chosen) if row.enabled]
    return [*first, *(row for row in rows if row.name != chosen)]


def _shown(
    shelf: LoadedTapes,
    inside: Inside,
    tape: TapeCartridge,
    kept: listing.Kept,
    asker: verdicts.ScheduleAsker | None,
) -> dict[str, Any]:
    drive = inside.cartridges.get(tape.id)
    facts = inside.tapes[drive][1] if drive else shelf.facts(tape.id)
    answer = asker.ask(facts) if asker else None
    return {
        **tape_facts(tape),
        "drive": drive,
        "sets": kept.sets,
        "kept": {"ever": kept.ever, "newest": kept.newest, "until": views.iso(kept.until)},
        "damaged": kept.damaged,
        "answer": {**answer, "reasons": answer["reasons"][:REASONS]} if answer else None,
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
