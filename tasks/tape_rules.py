"""The facts that the tape rules of a run need, gathered from its rows."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from db.models import ChainRun, now
from policy.message import M, Message
from policy.tapes import TapeFacts, TapePolicy


def policy_of(run: ChainRun) -> TapePolicy:
    """The tape policy of the run's schedule."""
    return TapePolicy.parse(run.schedule.tape_policy if run.schedule else "current_month")


def local_now(run: ChainRun) -> datetime:
    """Now, in the time zone of the run's schedule."""
    return now().astimezone(ZoneInfo(run.schedule.time_zone if run.schedule else "UTC"))


def wrong_tape(run: ChainRun, tape: TapeFacts) -> Message:
    """The refusal that operators know, with what is in the drive and what was expected."""
    return M(
        "The tape in the drive is not this month's: change it and retry"
        " (in drive {drive}: {found}; expected: {expected}).",
        drive=run.drive,
        found=tape.describe(),
        expected=policy_of(run).expects(local_now(run)).to_json(),
    )
