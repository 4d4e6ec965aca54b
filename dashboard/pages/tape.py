"""One cartridge: its condition, its sets of every generation, how it filled, what a run would do with it."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import settings
from dashboard import charts, verdicts
from dashboard.page import Page
from dashboard.pages.tapes import tape_facts
from db import views
from db.errors import NotFound
from db.models import BackupSet, TapeCartridge
from db.schedules import schedules
from db.sets import amounts
from db.tapes.facts import Inside, LoadedTapes
from policy.message import M

MAX_SETS = 500
"""How many sets of a cartridge are listed, the newest first."""


class TapePage(Page):
    """``/tapes/3``: by the row's id, because the label changes."""

    active = "tapes"

    @authenticated
    async def get(self, tape_id: str) -> None:
        facts = await self.ask(lambda session: _found(session, int(tape_id[:18])))
        chart = charts.filled(facts["months"], facts["tape"]["capacity"], self.show)
        self.page("tape.html", **facts, chart=chart)


def _found(session: Session, tape_id: int) -> dict[str, Any]:
    tape = session.get(TapeCartridge, tape_id)
    if tape is None:
        raise NotFound(M("There is no tape {id}.", id=tape_id), M("The page of the tapes lists them."))
    inside = Inside(session, LoadedTapes(session, look=False))
    drive = inside.cartridges.get(tape.id)
    facts = (
        inside.tapes[drive][1] if drive else LoadedTapes(session, TapeCartridge.id == tape.id).facts(tape.id)
    )
    return {
        "tape": tape_facts(tape),
        "drive": drive,
        "sets": _sets(session, tape),
        "answers": [
            {"schedule": each.name, **each.ask(facts)}
            for each in verdicts.askers(session, schedules.present(session))
            if drive is None or each.drive == drive
        ],
        "months": _months(session, tape),
    }


def _sets(session: Session, tape: TapeCartridge) -> list[dict[str, Any]]:
    """Every set that ever was on it, the newest first; how much of each is on it, and of which generation."""
    return [
        _set(stored, generation, size)
        for stored, generation, size in amounts.ever_on(session, tape, MAX_SETS)
    ]


def _set(stored: BackupSet, generation: int | None, size: int | None) -> dict[str, Any]:
    return {
        "id": stored.id,
        "run": stored.run_id,
        "type": stored.type.value,
        "state": stored.state.value,
        "generation": generation or stored.generation,
        "files": stored.files,
        "bytes": stored.bytes,
        "bytes_here": size or 0,
        "warnings": stored.warnings,
        "encrypted": stored.encrypted,
        "started_at": views.iso(stored.started_at),
        "retention_until": views.iso(stored.retention_until),
        "keep_sets": stored.keep_sets,
        "expired_at": views.iso(stored.expired_at),
        "destroyed_at": views.iso(stored.destroyed_at),
        "verified_at": views.iso(stored.verified_at),
        "damaged": stored.damaged,
    }


def _months(session: Session, tape: TapeCartridge) -> list[tuple[str, int]]:
    """How full the present generation was at the end of each month in which something was written."""
    rows = amounts.on_tape_by_month(session, tape, settings.load().zone)
    fills = accumulate(size for _, size in rows)
    return [(name, fill) for (name, _), fill in zip(rows, fills, strict=True)]
