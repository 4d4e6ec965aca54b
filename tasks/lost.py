"""Sets that are gone from their tape, although nobody here has formatted it: they are reported."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from db import cartridges, events, runs
from db.models import BackupSet, ChainRun
from db.states import Kind, Step
from policy.errors import TapelineError
from policy.message import M
from policy.tapes import CartridgeState


class SetGone(TapelineError):
    """What the run was writing, or was to read, is not on its tape any more."""


def note_volume(session: Session, run: ChainRun, medium: cartridges.Medium, step: Step) -> None:
    """Bring the row of the tape in the drive up to its volume; what is gone with the one before is
    reported."""
    known = cartridges.recognise(session, medium)
    if known is not None and known.state is CartridgeState.UNKNOWN and run.kind is not Kind.IMPORT:
        return  # A format of ours has left it so: a person decides, and an import is how it is looked at.
    cartridge, gone = cartridges.arrived(session, medium)
    if cartridge is not None and gone:
        report(session, run, cartridge.tape_id, gone, step)


def report(session: Session, run: ChainRun, tape_id: str, gone: Sequence[BackupSet], step: Step) -> None:
    """Say which sets are not on a tape any more: in the run's story, and to whoever is to know."""
    reason = M(
        "These sets are not on tape {tape} any more: {sets}. It was formatted or changed elsewhere.",
        tape=tape_id,
        sets=", ".join(sorted(stored.id for stored in gone)),
    )
    events.record(session, run, reason, step=step, level="error")
    remedy = M("Find out who has changed the tape. The next backup that needs them is a full one.")
    runs.announce(session, run, "sets_lost", reason, remedy)


def set_gone(session: Session, run: ChainRun) -> SetGone | None:
    """The error of a run whose own set is destroyed, or None."""
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    if stored is None or stored.destroyed_at is None:
        return None
    return SetGone(M("Set {set} is not on its tape any more.", set=stored.id), M("Start a new run."))
