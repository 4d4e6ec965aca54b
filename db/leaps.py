"""Whether the clock can be right: the database's clock is compared with the last sign of life.

A single host has no other clock to compare with. Running processes move the mark forward; only a person moves
it over a leap.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ScalarSelect, func, select, update
from sqlalchemy.orm import Session

from db.errors import NotAllowed
from db.models import BackupSet, ClockMark
from policy.message import M, Message
from policy.times import clock

EACH = timedelta(minutes=1)
"""How often the mark is moved forward."""


def doubt(session: Session, moment: datetime) -> Message | None:
    """Why the clock may be wrong now, and what to do about it; None: there is no doubt."""
    mark = _mark(session, moment)
    if mark is None and session.scalar(select(BackupSet.id).limit(1)) is None:
        return None  # A new installation, before its first worker: nothing could look expired.
    return clock.leap(moment, mark)


def note(session: Session, moment: datetime) -> None:
    """A sign of life: the mark moves to this moment, unless that would be a leap. The first one sets the
    mark."""
    mark = _mark(session, moment)
    if mark is None:
        session.add(ClockMark(begun_at=moment, seen_at=moment))
        session.flush()
    elif clock.leap(moment, mark) is None and mark.seen_at < moment - EACH:
        session.execute(update(ClockMark).where(ClockMark.id == _newest()).values(seen_at=moment))


def confirm(session: Session, moment: datetime, who: str, why: str) -> ClockMark:
    """A person confirms that the clock is right. Raises NotAllowed if there is no doubt."""
    if doubt(session, moment) is None:
        raise NotAllowed(M("The clock is in no doubt: nothing is to be confirmed."))
    last = session.scalar(select(ClockMark.seen_at).where(ClockMark.id == _newest()))
    mark = ClockMark(begun_at=moment, seen_at=moment, leapt_from=last, confirmed_by=who, why=why)
    session.add(mark)
    session.flush()
    return mark


def check(session: Session, moment: datetime) -> None:
    """Raises NotAllowed if the clock is in doubt."""
    reason = doubt(session, moment)
    if reason is not None:
        raise NotAllowed(reason)


def _newest() -> ScalarSelect[int]:
    return select(func.max(ClockMark.id)).scalar_subquery()


def _mark(session: Session, moment: datetime) -> clock.LastSeen | None:
    seen_at = session.scalar(select(ClockMark.seen_at).where(ClockMark.id == _newest()))
    if seen_at is None:
        return None
    # A confirmed gap that reaches into the future was no quiet time: the clock was wrong.
    confirmed = select(ClockMark).where(ClockMark.begun_at <= moment)
    spells = [
        mark.begun_at - mark.leapt_from for mark in session.scalars(confirmed) if mark.leapt_from is not None
    ]
    return clock.LastSeen(seen_at, max(spells, default=timedelta()))
