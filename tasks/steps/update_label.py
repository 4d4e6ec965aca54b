"""``update_label``: updates the cartridge's row from the tape."""

from __future__ import annotations

from typing import cast

from sqlalchemy.orm import Session

from db import events
from db.models import ChainRun, Drive, TapeCartridge
from db.states import Step
from db.tapes import cartridges, permits
from policy.message import M, Message
from policy.tapes.medium import MediumReport
from tasks.step import Done, step
from tasks.work import Work


@step(Step.UPDATE_LABEL)
def update_label(work: Work) -> Done:
    """Idempotent. Waits for an unavailable database; the tape is the truth, the row follows it."""
    return Done({"tape_id": work.db(_update)})


def _update(session: Session, run: ChainRun) -> str | None:
    medium = _medium_now(session, run)
    if medium is None or not medium.get("label"):
        events.record(
            session,
            run,
            M("The label was not read back; the cartridge's row stays as it is."),
            step=Step.UPDATE_LABEL,
            level="warning",
        )
        return None
    original = (run.tape_seen or {}).get("label")
    cartridge, before = cartridges.update_label(session, original=original, medium=medium)
    events.record(session, run, _changed(cartridge, before), step=Step.UPDATE_LABEL)
    return cartridge.tape_id


def _changed(cartridge: TapeCartridge, before: str | None) -> Message:
    facts = {"id": cartridge.id, "label": cartridge.label, "generation": cartridge.generation}
    if before == cartridge.tape_id:
        return M("Cartridge row {id}: label {label}, generation {generation}.", **facts)
    return M(
        "Cartridge row {id}: {before} → {after}, label {label}, generation {generation}.",
        before=before or "-",
        after=cartridge.tape_id,
        **facts,
    )


def _medium_now(session: Session, run: ChainRun) -> MediumReport | None:
    """The drive's last report: after the format if there was one, else what precheck saw.

    A failed format made nothing that a row may be named after.
    """
    permit = permits.used(session, run.id, run.part)
    if permit and permit.outcome:
        after = cast("MediumReport", permit.outcome.get("after") or {})
        return after if permit.outcome["ok"] or after == run.tape_seen else None
    drive = session.get(Drive, run.drive)
    return run.tape_seen or (drive.medium if drive else None)
