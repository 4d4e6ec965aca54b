"""The facts that the tape rules of a run need, gathered from its rows."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from db import lineage
from db.models import ChainRun, now
from db.states import BackupType
from policy.message import M, Message
from policy.tapes import TapeFacts, TapePolicy


def policy_of(run: ChainRun) -> TapePolicy:
    """The tape policy of the run's schedule."""
    return TapePolicy.parse(run.schedule.tape_policy if run.schedule else "current_month")


def local_now(run: ChainRun) -> datetime:
    """Now, in the time zone of the run's schedule."""
    return now().astimezone(ZoneInfo(run.schedule.time_zone if run.schedule else "UTC"))


def wanted_type(run: ChainRun) -> BackupType:
    """What was asked for, by hand or by the template."""
    assert run.schedule is not None
    return BackupType(run.options.get("type") or run.schedule.template.type)


def is_full(session: Session, run: ChainRun) -> bool:
    """Whether the run makes a full set, because it was asked for or because nothing is there to follow."""
    wanted = wanted_type(run)
    assert run.schedule is not None
    return wanted is BackupType.FULL or lineage.parent_for(session, run.schedule.template_id, wanted) is None


def accepts(session: Session, run: ChainRun, tape: TapeFacts) -> bool:
    """Whether a run may go on with this tape: an increment formats none, so it needs one to append to."""
    policy = policy_of(run)
    if is_full(session, run):
        return policy.accepts(tape, local_now(run))
    return policy.may_append(tape, local_now(run))


def wrong_tape(run: ChainRun, tape: TapeFacts) -> Message:
    """The refusal that operators know, with what is in the drive and what was expected."""
    return M(
        "The tape in the drive is not this month's: change it and retry"
        " (in drive {drive}: {found}; expected: {expected}).",
        drive=run.drive,
        found=tape.describe(),
        expected=policy_of(run).expects(local_now(run)).to_json(),
    )
