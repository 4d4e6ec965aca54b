"""Which cartridges of a library a run could use, by the one verdict, before any of them is in a drive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.orm import Session

from celery_app import settings
from celery_app.drive_settings import feeder_of
from db.libraries import inventory as rows
from db.libraries import robot as moves
from db.models import ChainRun, ScheduledTask, TapeCartridge
from db.sets import lineage
from db.states import Kind
from db.tapes import copies
from db.tapes.facts import LoadedTapes
from policy.tapes.candidates import Offer, Stored, best_first, in_order
from policy.tapes.facts import CartridgeFacts, CartridgeState, TapeFacts
from tape.changer import Inventory
from tape.errors import DriveError
from tasks.drive import copy_target, tape_rules
from tasks.library import robot

log = structlog.get_logger("tapeline.library")


def look(drive: str) -> Inventory | None:
    """What the library of a drive of this host has now; None: there is none, or it does not answer."""
    feeder = feeder_of(settings.load().changers, drive)
    if feeder is None:
        return None
    try:
        with robot.held(feeder[0], asked_by=f"drive {drive}", limit=0) as arm:
            return arm.look()
    except DriveError as error:
        log.info("the library does not answer now", error=str(error))
        return None


def best(session: Session, run: ChainRun, inventory: Inventory) -> Offer | None:
    """The cartridge that a run would fetch now, or None. A tape that was exported is left for the
    operator."""
    feeder = feeder_of(settings.load().changers, run.drive)
    if feeder is None:
        return None
    name, changer, _ = feeder
    mail = {slot.number for slot in inventory.slots if slot.is_mail}
    out = frozenset() if copy_target.only_reads(run) else moves.exported(session, name)
    given = for_run(session, run, inventory, cleaning=changer.clean_with, pools=changer.pools)
    return next(
        (each for each in given if each.stored.slot not in mail or each.stored.barcode not in out), None
    )


def for_schedule(session: Session, schedule: ScheduledTask, moment: datetime) -> Offer | None:
    """The cartridge that the library of a schedule's drive would bring to a run at a local time, as it was
    read last; None: there is no library, its inventory may be old, or it has none."""
    row = rows.of_drive(session, schedule.drive)
    if row is None or row.old is not None:
        return None
    inventory = Inventory.from_json(row.inventory)
    stored = in_slots(session, inventory, cleaning=row.clean_with, pools={})
    asked = [(each, tape_rules.question_for(session, schedule, each.facts, moment)) for each in stored]
    return next(iter(best_first(asked, (), inventory.duplicates)), None)


def for_run(
    session: Session, run: ChainRun, inventory: Inventory, *, cleaning: str, pools: Mapping[str, str]
) -> list[Offer]:
    """The cartridges in the library's slots that a run could use, the best first; each that was not fetched
    for it yet."""
    if run.kind is Kind.IMPORT and run.options.tape is None:
        return []  # It reads the tape that the operator has put in.
    stored = in_slots(session, inventory, cleaning=cleaning, pools=pools)
    if run.kind is Kind.IMPORT:
        asked_for = (each for each in stored if run.options.tape in _names(each))
        return in_order(asked_for, run.fetched, inventory.duplicates)
    if copy_target.only_reads(run):
        needed = [each.id for each in lineage.tapes(session, run.set_id or "", only=run.notes.cartridges)]
        if run.kind is not Kind.VERIFY:
            needed += [each.id for each in lineage.instead_of(session, run.set_id or "", set(needed))]
        mine = {each.facts.known.id: each for each in stored if each.facts.known}
        return in_order(
            (mine[number] for number in needed if number in mine), run.fetched, inventory.duplicates
        )
    has_it = copies.tapes_of(session, run.set_id or "") if run.kind is Kind.COPY else ()
    asked = [
        (each, tape_rules.question_of(session, run, each.facts))
        for each in stored
        if each.facts.known is None or each.facts.known.id not in has_it
    ]
    return best_first(asked, run.fetched, inventory.duplicates)


def _names(stored: Stored) -> set[str | None]:
    """What an operator may call a tape."""
    known = stored.facts.known
    return {stored.barcode, stored.facts.label} | ({known.tape_id, known.label} if known else set())


def in_slots(
    session: Session, inventory: Inventory, *, cleaning: str, pools: Mapping[str, str]
) -> list[Stored]:
    """The tapes in the slots with what is known of them; none that has no barcode, or cleans."""
    slots = {
        slot.barcode: slot.number
        for slot in inventory.slots
        if slot.barcode and not rows.matches(slot.barcode, cleaning)
    }
    known = rows.by_barcode(session, list(slots))
    shelf = LoadedTapes(session, TapeCartridge.id.in_([row.id for row in known.values()]))
    disputed = rows.disputed(session, list(slots))
    return [
        Stored(barcode, number, _facts(shelf, known.get(barcode), barcode, pools))
        for barcode, number in slots.items()
        if barcode not in disputed
    ]


def _facts(
    shelf: LoadedTapes, row: TapeCartridge | None, barcode: str, pools: Mapping[str, str]
) -> TapeFacts:
    if row is None:
        return _never_seen(barcode, pools)
    expected = shelf.facts(row.id)
    seen = row.seen
    if seen is None or _is_formatted_since(row, seen):
        if row.generation == 0 and row.label is None:
            return replace(expected, state="blank", empty=None)
        return expected
    return replace(
        expected,
        state=seen["state"],
        label=seen["label"],
        empty=expected.empty and bool(seen["empty"]),
        write_protected=bool(seen["write_protected"]),
        lock=str(seen["lock"] or "none"),
    )


def _never_seen(barcode: str, pools: Mapping[str, str]) -> TapeFacts:
    """A barcode that no drive has shown yet counts as blank: the tape itself is judged once it is loaded."""
    pool = next((name for pattern, name in pools.items() if rows.matches(barcode, pattern)), None)
    new = CartridgeFacts(0, barcode, None, CartridgeState.ACTIVE, pool, None) if pool else None
    return TapeFacts(
        "blank", None, empty=None, write_protected=False, identity=(("barcode", barcode),), known=new
    )


def _is_formatted_since(row: TapeCartridge, seen: Mapping[str, Any]) -> bool:
    return row.formatted_at is not None and row.formatted_at > datetime.fromisoformat(seen["at"])
