"""The facts that the tape rules of a run need, gathered from its rows."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from db.models import BackupSet, ChainRun, TapeCartridge, now
from policy.message import M, Message
from policy.tapes import CartridgeState, TapeFacts, TapePolicy


def policy_of(run: ChainRun) -> TapePolicy:
    """The tape policy of the run's schedule."""
    return TapePolicy.parse(run.schedule.tape_policy if run.schedule else "current_month")


def local_now(run: ChainRun) -> datetime:
    """Now, in the time zone of the run's schedule."""
    return now().astimezone(ZoneInfo(run.schedule.time_zone if run.schedule else "UTC"))


def refusal(session: Session, run: ChainRun, tape: TapeFacts) -> Message | None:
    """Why the run may not go on with this tape, or None. Says nothing about formatting it."""
    known = tape.known
    if known and known.state not in {CartridgeState.ACTIVE, CartridgeState.FULL}:
        return M("Cartridge {tape_id} is in state '{state}'.", tape_id=known.tape_id, state=known.state.value)
    begun = _begun_on(session, run)
    if begun is not None:
        if known and known.id == begun.id:
            return None
        return M(
            "Set {set} goes on where it was begun, on tape {tape} (in drive {drive}: {found}).",
            set=run.set_id,
            tape=begun.tape_id,
            drive=run.drive,
            found=tape.describe(),
        )
    return None if policy_of(run).accepts(tape, local_now(run)) else wrong_tape(run, tape)


def _begun_on(session: Session, run: ChainRun) -> TapeCartridge | None:
    """The cartridge that the run's set has archives on, if there is room on it."""
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    if stored is None or not stored.archives:
        return None
    cartridge = stored.archives[-1].cartridge
    return None if cartridge.state is CartridgeState.FULL else cartridge


def wrong_tape(run: ChainRun, tape: TapeFacts) -> Message:
    """The refusal that operators know, with what is in the drive and what was expected."""
    return M(
        "The tape in the drive is not this month's: change it and retry"
        " (in drive {drive}: {found}; expected: {expected}).",
        drive=run.drive,
        found=tape.describe(),
        expected=policy_of(run).expects(local_now(run)).to_json(),
    )
