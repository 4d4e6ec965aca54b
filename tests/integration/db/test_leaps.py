"""The last sign of life: it goes along with the time, and over no leap without a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from celery_app import celery, wiring
from db import alerts, clock, leaps
from db.engine import Database
from db.errors import NotAllowed
from db.models import BackupSet, ClockMark, now
from db.schedules import schedules
from db.sets import expiry
from db.states import BackupType
from db.tapes import cartridges, drives, permits
from policy.tapes.facts import SetState
from policy.tapes.permit import Denial, decide
from tasks.periodic import recover

assert celery.app

DAY = timedelta(days=1)


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """With a mark of now."""
    with database.transaction() as session:
        session.execute(delete(ClockMark))
        leaps.note(session, now())
        yield session


def test_where_no_sign_of_life_is_known_sets_are_kept(session: Session) -> None:
    """Without any set it is a new installation, and nothing is in doubt; the first sign begins the mark."""
    session.execute(delete(ClockMark))
    assert leaps.doubt(session, now()) is None
    session.add(
        BackupSet(id="s", type=BackupType.FULL, state=SetState.COMPLETE, sources=[], started_at=now())
    )
    session.flush()
    assert leaps.doubt(session, now())
    leaps.note(session, now())
    assert leaps.doubt(session, now()) is None


def test_whoever_works_moves_the_mark_along(session: Session) -> None:
    """A month of silence at a time is nothing; without any sign, so much more is a leap, and stays one."""
    begun = now()
    for days in (30, 60, 90):
        leaps.note(session, begun + days * DAY)
    assert leaps.doubt(session, begun + 120 * DAY) is None
    for days in (126, 127, 500):
        assert leaps.doubt(session, begun + days * DAY)
        leaps.note(session, begun + days * DAY)
    assert leaps.doubt(session, begun + 100 * DAY) is None


def test_a_person_confirms_once_what_is_a_leap(session: Session) -> None:
    """By name and with the reason; a spell of that length is none from then on. Where nothing is in doubt,
    nothing is confirmed."""
    begun = now()
    leaps.confirm(session, begun + 100 * DAY, "li", "summer")
    marks = session.scalars(select(ClockMark).order_by(ClockMark.id)).all()
    assert [(mark.confirmed_by, mark.why) for mark in marks] == [(None, None), ("li", "summer")]
    assert leaps.doubt(session, begun + 199 * DAY) is None
    assert leaps.doubt(session, begun + 201 * DAY)
    with pytest.raises(NotAllowed, match="in no doubt"):
        leaps.confirm(session, begun + 110 * DAY, "li", "again")


def test_what_was_confirmed_wrongly_is_put_right(session: Session) -> None:
    """The clock was ahead after all, and is set back: that is held, too, until somebody confirms it; and the
    spell that never was counts for nothing."""
    begun = now()
    leaps.confirm(session, begun + 4000 * DAY, "li", "a mistake")
    assert leaps.doubt(session, begun + DAY)
    leaps.confirm(session, begun + DAY, "li", "set right")
    assert leaps.doubt(session, begun + 2 * DAY) is None
    assert leaps.doubt(session, begun + 40 * DAY)


def test_each_sign_of_life_counts_and_none_of_a_clock_that_leaps(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drive's worker that starts, one that lives, and the look after runs; Today names the leap."""
    begun = now()
    monkeypatch.setattr(clock, "now", lambda: begun + 400 * DAY)
    drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
    drives.seen(session, "tape0")
    assert leaps.doubt(session, now())
    assert "clock confirm" in str(alerts.alerts(session, now(), [], lambda _: False)[0].message)
    with pytest.raises(NotAllowed, match="clock confirm"):
        expiry.expirable(session, now())
    monkeypatch.setattr(clock, "now", lambda: begun + 30 * DAY)
    drives.seen(session, "tape0")
    assert leaps.doubt(session, begun + 60 * DAY) is None


def test_the_look_after_runs_is_a_sign_of_life_and_a_permit_asks_for_the_last(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A permit that is asked for right after the leap is denied, before anybody has looked."""
    monkeypatch.setattr(wiring, "database", lambda: database)
    with database.transaction() as session:
        session.execute(delete(ClockMark))
    recover.recover()
    begun = now()
    blank = {"state": "blank", "label": None}
    with database.transaction() as session:
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        assert session.scalar(select(ClockMark.seen_at)) is not None
        tape = cartridges.tape_facts(session, blank)
        assert decide(permits.facts_for(session, row, tape, begun)).allowed
        monkeypatch.setattr(clock, "now", lambda: begun + 400 * DAY)
        assert decide(permits.facts_for(session, row, tape, now())).denials == (Denial.CLOCK,)
