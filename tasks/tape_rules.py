"""The facts that the tape rules of a run need, gathered from its rows."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from db.models import ChainRun, now
from policy.message import M, Message
from policy.tapes import CartridgeState, TapeFacts, TapePolicy


def policy_of(run: ChainRun) -> TapePolicy:
    """The tape policy of the run's schedule."""
    return TapePolicy.parse(run.schedule.tape_policy if run.schedule else "current_month")


def local_now(run: ChainRun) -> datetime:
    """Now, in the time zone of the run's schedule."""
    return now().astimezone(ZoneInfo(run.schedule.time_zone if run.schedule else "UTC"))


def wrong_tape(run: ChainRun, tape: TapeFacts) -> Message:
    """The refusal that operators know, with what is in the drive and what was expected."""
    return _wrong(run.drive, tape, policy_of(run), local_now(run))


def _wrong(drive: str, tape: TapeFacts, policy: TapePolicy, moment: datetime) -> Message:
    return M(
        "The tape in the drive is not this month's: change it and retry"
        " (in drive {drive}: {found}; expected: {expected}).",
        drive=drive,
        found=tape.describe(),
        expected=policy.expects(moment).to_json(),
    )


def refusal(drive: str, tape: TapeFacts, policy: TapePolicy, moment: datetime) -> Message | None:
    """Why a run of this policy may not go on with the tape in its drive at a local time, or None."""
    known = tape.known
    if known and known.state not in {CartridgeState.ACTIVE, CartridgeState.FULL}:
        return M("Cartridge {tape_id} is in state '{state}'.", tape_id=known.tape_id, state=known.state.value)
    return None if policy.accepts(tape, moment) else _wrong(drive, tape, policy, moment)
