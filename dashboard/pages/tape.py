"""One cartridge: its condition, its sets of every generation, how it filled, what a run would do with it."""

from __future__ import annotations

from http import HTTPStatus
from itertools import accumulate
from typing import Any

import structlog
from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import settings
from dashboard import charts, verdicts
from dashboard.access import AccessRule
from dashboard.page import Page
from dashboard.pages.buttons import AskField, Button, needed_reason
from dashboard.pages.tapes import tape_facts
from db import views
from db.errors import NotAllowed, NotFound
from db.libraries import inventory, whereabouts
from db.models import BackupSet, TapeCartridge
from db.runs import marking
from db.schedules import schedules
from db.sets import amounts
from db.tapes.facts import Inside, LoadedTapes
from policy.message import M, Message
from policy.roles import Role
from policy.tapes.facts import CartridgeState

MAX_SETS = 500
"""How many sets of a cartridge are listed, the newest first."""
SETS_SHOWN = 10
"""How many of them at once; a click shows the others."""


MARKS = {"active": M("Mark as usable"), "retired": M("Retire")}

log = structlog.get_logger("tapeline.dashboard")


class TapePage(Page):
    """``/tapes/3``: by the row's id, because the label changes."""

    active = "tapes"

    @authenticated
    async def get(self, tape_id: str) -> None:
        facts = await self.ask(lambda session: _found(session, tape_id))
        chart = charts.filled(facts["months"], facts["tape"]["capacity"], self.show)
        here = [each for each in facts["sets"][::-1] if each["generation"] == facts["tape"]["generation"]]
        strip = charts.laid_out(here, facts["tape"]["capacity"], self.show)
        self.page("tape.html", **facts, chart=chart, strip=strip, MARKS=MARKS, SHOWN=SETS_SHOWN)


class MarkTape(Button):
    """Change what may be done with a cartridge."""

    rule = AccessRule(Role.ADMIN)
    active = "tapes"

    @authenticated
    async def get(self, tape_id: str, mark: str) -> None:
        wanted = _mark(mark)
        tape = await self.ask(lambda session: _cartridge(session, tape_id))
        _check_changes(tape, wanted)
        self.question(
            _question(tape, wanted),
            MARKS[wanted.value],
            self.link("tapes", tape.id),
            seen=_as_found(tape),
            fields=[AskField("why", M("Why (for the audit)"))],
            danger=wanted is CartridgeState.RETIRED,
        )

    @authenticated
    async def post(self, tape_id: str, mark: str) -> None:
        wanted, why, seen = _mark(mark), self.reason(), self.seen()

        def deed(session: Session) -> None:
            needed_reason(why)
            tape = _cartridge(session, tape_id)
            session.refresh(tape, with_for_update=True)
            if seen != _as_found(tape):
                raise NotAllowed(
                    M("Tape {tape} is not as it was when you were asked.", tape=tape.tape_id),
                    M("Look at its page, and decide again."),
                )
            _check_changes(tape, wanted)
            marking.mark(session, tape, wanted)

        await self.ask(deed)
        log.info("a tape was marked", tape=tape_id, mark=wanted.value, by=self.user, why=why)
        self.redirect(self.link("tapes", tape_id), status=HTTPStatus.SEE_OTHER)


def _question(tape: TapeCartridge, wanted: CartridgeState) -> Message:
    if wanted is CartridgeState.RETIRED:
        return M(
            "Retire tape {tape}? No run uses it again. Its sets stay in the catalogue and can be restored.",
            tape=tape.tape_id,
        )
    return M(
        "Mark tape {tape} as usable? Inspect it first. Its sets stay kept, and a format needs a permit as"
        " always.",
        tape=tape.tape_id,
    )


def _mark(name: str) -> CartridgeState:
    """Raises NotFound for what nobody may mark by hand."""
    wanted = next((each for each in marking.BY_HAND if each.value == name), None)
    if wanted is None:
        raise NotFound(M("There is no page '{name}'.", name=name), M("The page of a tape has the buttons."))
    return wanted


def _marks(tape: TapeCartridge) -> list[str]:
    """The marks that change something about it."""
    is_usable = tape.state in {CartridgeState.ACTIVE, CartridgeState.FULL}
    is_same = {CartridgeState.ACTIVE} if is_usable else {tape.state}
    return [each.value for each in marking.BY_HAND if each not in is_same]


def _check_changes(tape: TapeCartridge, wanted: CartridgeState) -> None:
    if tape.state is wanted:
        raise NotAllowed(
            M("Tape {tape} is {state} already.", tape=tape.tape_id, state=wanted.name),
            M("Look at its page, and decide again."),
        )


def _as_found(tape: TapeCartridge) -> str:
    return f"{tape.state.value} {tape.generation}"


def _cartridge(session: Session, tape_id: str) -> TapeCartridge:
    tape = session.get(TapeCartridge, int(tape_id[:18]))
    if tape is None:
        raise NotFound(M("There is no tape {id}.", id=tape_id), M("The page of the tapes lists them."))
    return tape


def _found(session: Session, tape_id: str) -> dict[str, Any]:
    tape = _cartridge(session, tape_id)
    inside = Inside(session, LoadedTapes(session, look=False))
    drive = inside.cartridges.get(tape.id)
    facts = (
        inside.tapes[drive][1] if drive else LoadedTapes(session, TapeCartridge.id == tape.id).facts(tape.id)
    )
    return {
        "tape": tape_facts(tape),
        "drive": drive,
        "sets": _sets(session, tape),
        "answers": verdicts.folded(
            [
                {"schedule": each.name, **each.ask(facts)}
                for each in verdicts.askers(session, schedules.present(session))
                if drive is None or each.drive == drive
            ]
        ),
        "marks": _marks(tape),
        "fetch": _fetch(session, tape) if drive is None else [],
        "is_served": any(drive in library.drives.values() for library in inventory.every(session)),
        "months": _months(session, tape),
    }


def _fetch(session: Session, tape: TapeCartridge) -> list[dict[str, str]]:
    """The moves by which its library would bring it to a drive."""
    place = whereabouts.of_tapes(session, [tape.tape_id])[tape.tape_id]
    if place.library is None:
        return []
    bays = inventory.get(session, place.library).drives
    return [
        {"library": place.library, "drive": name, "place": str(place.slot), "target": number}
        for number, name in sorted(bays.items())
    ]


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
        "bytes_here": int(size or 0),
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
