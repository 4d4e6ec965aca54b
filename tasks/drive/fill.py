"""How full a tape is after a backup, and the message when it is nearly full."""

from __future__ import annotations

from sqlalchemy.orm import Session

from celery_app import settings
from db import events
from db.models import ChainRun, TapeCartridge
from db.runs import announcing
from db.states import Step
from db.tapes import cartridges, drives
from policy import units
from policy.message import M
from policy.tapes.room import is_nearly_full


def note_fill(
    session: Session,
    run: ChainRun,
    cartridge_id: int,
    capacity: int | None,
    free: int,
    *,
    step: Step = Step.RUN_BACKUP,
) -> None:
    """Store how full a cartridge is; the run that fills it past the setting's limit announces that."""
    before = session.get_one(TapeCartridge, cartridge_id).bytes_used
    cartridges.used(session, cartridge_id, capacity, free)
    drives.written(session, run.drive, capacity, free)
    limit = settings.load().capacity_warning_percent
    if capacity is None or not is_nearly_full(capacity - free, capacity, limit):
        return
    if is_nearly_full(before, capacity, limit):
        return
    cartridge = session.get_one(TapeCartridge, cartridge_id)
    name = cartridge.label or cartridge.tape_id
    reason = M(
        "Tape {tape} is {percent} % full: {used} of {capacity}.",
        tape=name,
        percent=round(100 * (capacity - free) / capacity),
        used=units.size(capacity - free),
        capacity=units.size(capacity),
    )
    events.record(session, run, reason, step=step)
    announcing.announce(
        session, run, "capacity", reason, M("Have another tape ready for the next backup."), label=name
    )
