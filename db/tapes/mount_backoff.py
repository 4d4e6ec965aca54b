"""A tape that a drive could not use: the same tape is tried again only after growing pauses.

Each try takes minutes and wears tape and drive, and usually nothing has changed since the last one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from db.models import ChainRun, Drive, now
from db.states import RunState
from policy.tapes.medium import MediumReport, identity_of
from policy.times import backoff

FIRST_PAUSE = timedelta(minutes=10)
MAX_PAUSE = timedelta(hours=6)


def failed(session: Session, run: ChainRun) -> datetime:
    """Record that the drive could not use the tape in it. Returns when the same tape is tried again."""
    row = session.get(Drive, run.drive, populate_existing=True)
    facts = _facts((row.medium if row else None) or run.tape_seen or {})
    before = run.tape_failed
    times = before["times"] + 1 if before and before["facts"] == facts else 1
    again = now() + pause(times)
    run.tape_failed = {"facts": facts, "times": times, "again_at": again.isoformat()}
    return again


def pause(times: int) -> timedelta:
    """How long a tape that has failed so many times is not tried."""
    return backoff.pause(FIRST_PAUSE, times, MAX_PAUSE)


def may_try(run: ChainRun, medium: MediumReport) -> bool:
    """Whether a waiting run should try the tape that is in the drive now.

    It tries at once what has not failed: another tape, the same one inserted again, or one of which the drive
    reports something else than before. Call it at every check, so that a drive that was empty meanwhile
    counts.
    """
    if run.tape_failed is None:
        return True
    if run.tape_failed["facts"] != _facts(medium):
        run.tape_failed = None
        return True
    return datetime.fromisoformat(run.tape_failed["again_at"]) <= now()


def forget(session: Session, drive: str) -> None:
    """An operator has used a drive: waiting runs try the tape in it."""
    waiting = (ChainRun.drive == drive) & (ChainRun.state == RunState.WAITING_FOR_TAPE)
    session.execute(update(ChainRun).where(waiting).values(tape_failed=None))


def _facts(medium: MediumReport) -> dict[str, Any]:
    """The facts that do not change while a tape stays in."""
    return {**identity_of(medium), "write_protected": bool(medium.get("write_protected"))}
