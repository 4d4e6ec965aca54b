"""A run that comes no further is an alert with its name, later a failure; a heartbeat is no progress."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from celery_app import celery, wiring
from db import alerts
from db.engine import Database
from db.models import Notification, RunEvent, now
from db.runs import admission, retrying, starting, steps, transitions
from db.schedules import schedules
from db.states import RunState, Step, Trigger
from db.tapes import drives
from policy.message import M, Message
from tasks import chain
from tasks.periodic import recover

assert celery.app  # what the tasks are of

HOUR = timedelta(hours=1)


@pytest.fixture
def tasks(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks with this database; the names of the messages that they send."""
    sent: list[str] = []
    monkeypatch.setattr(wiring, "database", lambda: database)
    monkeypatch.setattr(chain, "ask", lambda name, **_: sent.append(name))
    monkeypatch.setattr(chain, "send", lambda *_, **__: True)
    return sent


def begun(database: Database, *, worker: bool = True) -> int:
    """A run that has its drive."""
    with database.transaction() as session:
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"], time_zone="UTC")
        if worker:
            drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
        assert starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL)
        run = admission.admit(session, "tape0")
        assert run
        return run.id


def at_work(database: Database, number: int) -> steps.Claim:
    with database.transaction() as session:
        held = steps.claim(
            session, number, transitions.get(session, number).dispatch, Step.PRECHECK, "tape@h"
        )
    assert held
    return held


def stands_still(database: Database, number: int, since: timedelta) -> None:
    """It lives, and has come no further for so long."""
    with database.transaction() as session:
        run = transitions.get(session, number)
        run.moved_at = run.dispatched_at = run.created_at = now() - since


def said(session: Session, number: int) -> list[str]:
    of_run = Notification.run_id == number
    return list(session.scalars(select(Notification.event).where(of_run).order_by(Notification.id)))


def of(database: Database, number: int) -> tuple[RunState, list[str], str]:
    with database.transaction() as session:
        run = transitions.get(session, number)
        reason = str(Message.from_json(run.reason)) if run.reason else ""
        return run.state, said(session, number), reason


def test_a_step_that_lives_and_comes_no_further(database: Database, tasks: list[str]) -> None:
    """Story, Today and message say it, once each time; what comes further is silent again."""
    number = begun(database)
    held = at_work(database, number)
    stands_still(database, number, HOUR)
    with database.transaction() as session:
        steps.beat(session, held)
    for _ in range(3):
        recover.recover()
    assert of(database, number)[:2] == (RunState.RUNNING, ["started", "stalled"])
    assert "tapeline.deliver" in tasks
    with database.transaction() as session:
        [concern] = [c for c in alerts.alerts(session, now(), [], lambda _: False) if c.run == number]
        assert f"Run {number} of schedule 'monthly' stands still" in str(concern.message)
        assert "in step precheck on tape@h" in str(concern.message)
        told = session.scalars(select(RunEvent).where(RunEvent.level == "warning")).all()
        assert len(told) == 1
    with database.transaction() as session:
        steps.beat(session, held, moved=True)
    recover.recover()
    with database.transaction() as session:
        assert not [c for c in alerts.alerts(session, now(), [], lambda _: False) if c.run == number]
    stands_still(database, number, HOUR)
    recover.recover()
    # What was said before it came further was said of another time.
    assert of(database, number)[1] == ["started", "stalled"]
    with database.transaction() as session:
        session.scalars(select(Notification).filter_by(event="stalled")).one().created_at -= 2 * HOUR
    recover.recover()
    assert of(database, number)[1] == ["started", "stalled", "stalled"]


def test_what_does_not_answer_is_named(database: Database, tasks: list[str]) -> None:
    """The step says what it waits for."""
    number = begun(database)
    held = at_work(database, number)
    with database.transaction() as session:
        steps.beat(session, held, {"waits_for": "/mnt/dead/file"})
    stands_still(database, number, HOUR)
    recover.recover()
    with database.transaction() as session:
        facts = session.scalars(select(Notification.facts).filter_by(event="stalled")).one()
    assert "waits for /mnt/dead/file" in str(Message.from_json(facts["reason"]))


def test_after_hours_it_fails(database: Database, tasks: list[str]) -> None:
    """With what is sealed; its step owns nothing any more."""
    number = begun(database)
    held = at_work(database, number)
    stands_still(database, number, 5 * HOUR)
    recover.recover()
    state, events, reason = of(database, number)
    assert (state, events) == (RunState.FAILED, ["started", "failed"])
    assert "It was given up" in reason
    with database.transaction() as session, pytest.raises(steps.LostClaim):
        steps.beat(session, held)


def test_a_step_that_does_not_obey(database: Database, tasks: list[str]) -> None:
    """A cancelled run ends, whatever its step waits for; one that comes further has its time."""
    number = begun(database)
    at_work(database, number)
    with database.transaction() as session:
        retrying.cancel(session, number, "li")
        session.flush()
        run = transitions.get(session, number)
        run.cancel_requested_at = now() - HOUR
        run.moved_at = now()
    recover.recover()
    assert of(database, number)[0] is RunState.RUNNING
    stands_still(database, number, timedelta(minutes=5))
    recover.recover()
    state, _, reason = of(database, number)
    assert state is RunState.CANCELLED
    assert "without its step" in reason


def test_a_drive_without_a_living_worker(database: Database, tasks: list[str]) -> None:
    """Said at once, with the run's name, also where the silence itself was said before, and for each run."""
    number = begun(database)
    with database.transaction() as session:
        row = session.get(drives.Drive, "tape0")
        assert row
        row.last_seen_at -= HOUR
    for _ in range(2):
        recover.recover()
    assert of(database, number)[:2] == (RunState.RUNNING, ["started", "stalled"])
    with database.transaction() as session:
        facts = session.scalars(select(Notification.facts).filter_by(event="stalled")).one()
        assert f"Run {number} has drive tape0, and its worker is not running" in str(
            Message.from_json(facts["reason"])
        )
        transitions.transition(session, transitions.get(session, number), RunState.FAILED, M("for the test"))
    with database.transaction() as session:
        row = session.scalars(select(schedules.ScheduledTask)).one()
        again = starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL)
        assert again
        assert admission.admit(session, "tape0")
    recover.recover()
    assert of(database, again.id)[1] == ["started", "stalled"]


def test_a_drive_that_never_had_a_worker(database: Database, tasks: list[str]) -> None:
    """It may be starting; a minute later somebody has to know."""
    number = begun(database, worker=False)
    recover.recover()
    assert of(database, number)[1] == ["started"]
    stands_still(database, number, timedelta(minutes=2))
    recover.recover()
    with database.transaction() as session:
        facts = session.scalars(select(Notification.facts).filter_by(event="stalled")).one()
    assert "never had a worker" in str(Message.from_json(facts["reason"]))


def waits(database: Database) -> int:
    number = begun(database)
    with database.transaction() as session:
        run = transitions.get(session, number)
        run.wait_until = now() + 24 * HOUR
        transitions.transition(session, run, RunState.WAITING_FOR_TAPE, M("wrong tape"))
    return number


def test_one_look_at_a_time(database: Database, tasks: list[str]) -> None:
    """As long as nobody has answered the first, no second is asked; it does not wait for ever."""
    number = waits(database)
    for _ in range(5):
        recover.recover()
    assert tasks.count("tapeline.look") == 1
    with database.transaction() as session:
        transitions.get(session, number).look_asked_at = now() - HOUR
    recover.recover()
    assert tasks.count("tapeline.look") == 2


def test_no_look_behind_a_run_or_for_nobody(database: Database, tasks: list[str]) -> None:
    """While another run has the drive, or no worker lives, a question would only lie there."""
    waits(database)
    with database.transaction() as session:
        row = schedules.put(session, "other", drive="tape0", sources=["/data"], time_zone="UTC")
        other = starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL)
        assert other
        assert admission.admit(session, "tape0")
    recover.recover()
    assert "tapeline.look" not in tasks
    with database.transaction() as session:
        transitions.transition(
            session, transitions.get(session, other.id), RunState.FAILED, M("for the test")
        )
        drive = session.get(drives.Drive, "tape0")
        assert drive
        drive.last_seen_at -= HOUR
    recover.recover()
    assert "tapeline.look" not in tasks
    with database.transaction() as session:
        drives.seen(session, "tape0")
    recover.recover()
    assert tasks.count("tapeline.look") == 1


def test_a_message_that_nobody_takes_is_one_line_of_the_story(database: Database, tasks: list[str]) -> None:
    """A worker that stands still takes none, however often it is sent; what comes further is told anew."""

    def lines() -> list[str]:
        with database.transaction() as session:
            found = session.scalars(select(RunEvent).where(RunEvent.run_id == number).order_by(RunEvent.id))
            return [
                str(Message.from_json(each.message)) for each in found if "sent again" in str(each.message)
            ]

    number = begun(database)
    stands_still(database, number, HOUR)
    for _ in range(3):
        with database.transaction() as session:
            transitions.get(session, number).dispatched_at = now() - HOUR
            dispatch = transitions.get(session, number).dispatch
        recover.recover()
        with database.transaction() as session:
            assert transitions.get(session, number).dispatch == dispatch + 1
    assert lines() == ["No worker has taken the message for precheck; it is sent again."]
    with database.transaction() as session:
        run = transitions.get(session, number)
        run.moved_at, run.dispatched_at = now(), now() - HOUR
        run.created_at = now() - HOUR
    recover.recover()
    assert len(lines()) == 2
