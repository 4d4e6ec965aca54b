"""Whether the present moment can be one: the database's clock is compared with the last sign of life.

On a single host it has only itself to compare with. Whoever works moves the mark along, and nobody moves it
over a leap but a person.
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
"""How often the mark is moved along."""


def doubt(session: Session, moment: datetime) -> Message | None:
    """Why this moment may be none, and what to do about it; None: nothing speaks against it."""
    mark = _mark(session, moment)
    if mark is None and session.scalar(select(BackupSet.id).limit(1)) is None:
        return None  # A new installation, before its first worker: nothing could look expired.
    return clock.leap(moment, mark)


def note(session: Session, moment: datetime) -> None:
    """A sign of life: the time goes on to this moment, unless that would be a leap. The first begins it."""
    mark = _mark(session, moment)
    if mark is None:
        session.add(ClockMark(begun_at=moment, seen_at=moment))
        session.flush()
    elif clock.leap(moment, mark) is None and mark.seen_at < moment - EACH:
        session.execute(update(ClockMark).where(ClockMark.id == _newest()).values(seen_at=moment))


def confirm(session: Session, moment: datetime, who: str, why: str) -> ClockMark:
    """A person answers for it that the clock is right. Raises NotAllowed where nothing is in doubt."""
    if doubt(session, moment) is None:
        raise NotAllowed(M("The clock is in no doubt: nothing is to be confirmed."))
    last = session.scalar(select(ClockMark.seen_at).where(ClockMark.id == _newest()))
    mark = ClockMark(begun_at=moment, seen_at=moment, leapt_from=last, confirmed_by=who, why=why)
    session.add(mark)
    session.flush()
    return mark


def check(session: Session, moment: datetime) -> None:
    """Raises NotAllowed where the moment is in doubt."""
    found = doubt(session, moment)
    if found is not None:
        raise NotAllowed(found)


def _newest() -> ScalarSelect[int]:
    return select(func.max(ClockMark.id)).scalar_subquery()


def _mark(session: Session, moment: datetime) -> clock.Mark | None:
    seen_at = session.scalar(select(ClockMark.seen_at).where(ClockMark.id == _newest()))
    if seen_at is None:
        return None
    # What was confirmed of a time that has not come yet was no quiet spell: the clock was wrong.
    confirmed = select(ClockMark).where(ClockMark.begun_at <= moment)
    spells = [
        mark.begun_at - mark.leapt_from for mark in session.scalars(confirmed) if mark.leapt_from is not None
    ]
    return clock.Mark(seen_at, max(spells, default=timedelta()))
