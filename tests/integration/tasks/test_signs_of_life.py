"""A step at work gives signs of life by itself; one that gives none is dead only if it could have."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Timer
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from sqlalchemy import make_url, select, text
from sqlalchemy.orm import Session

from celery_app import settings, wiring
from celery_app.worker import guards
from db.engine import Database
from db.errors import DatabaseUnavailable, LostClaim
from db.models import ChainStep, RunEvent, now
from db.runs import retrying, steps, transitions
from db.runs.steps import Claim
from db.states import RunState, Step, StepState
from db.tapes import drives
from policy.message import M, Message
from tasks import chain
from tasks.periodic import recover
from tasks.step import _perform
from tasks.work import Cancelled, Work
from tests.integration.db.tapes.test_permits import run_at

TIMEOUT = 30.0


@pytest.fixture
def held(database: Database, monkeypatch: pytest.MonkeyPatch) -> Claim:
    """A step that was claimed an hour ago, on a host with a quick heart."""
    configured = settings.Settings(heartbeat_seconds=0.1, time_zone="UTC")
    monkeypatch.setattr(settings, "load", lambda: configured)
    monkeypatch.setattr(wiring, "database", lambda: database)
    with database.transaction() as session:
        run = run_at(session, "tape0")
        claim = steps.claim(session, run.id, run.dispatch, Step.PRECHECK, "worker")
        assert claim
        step_of(session, claim).heartbeat_at = now() - timedelta(hours=1)
        return claim


def step_of(session: Session, held: Claim) -> ChainStep:
    return session.get_one(ChainStep, (held.run_id, held.part, held.step))


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def last_sign(database: Database, held: Claim) -> datetime:
    with database.transaction() as session:
        moment = step_of(session, held).heartbeat_at
    assert moment
    return moment


def test_a_step_beats_while_its_body_asks_for_nothing(database: Database, held: Claim) -> None:
    """A format or a mount takes hours without a word: nobody may take its worker for dead."""
    began = last_sign(database, held)
    with Work(None, held):  # type: ignore[arg-type]
        wait_for(lambda: last_sign(database, held) > began)
        again = last_sign(database, held)
        wait_for(lambda: last_sign(database, held) > again)


def test_it_stops_with_its_step(database: Database, held: Claim) -> None:
    """Once the body has ended no heart of it beats on."""
    with Work(None, held) as work:  # type: ignore[arg-type]
        heart = work._heart
    assert not heart.is_alive()


def test_the_heart_brings_the_wish_to_stop(database: Database, held: Claim) -> None:
    """The body asks its own process at each safe point, not the database."""
    with Work(None, held) as work:  # type: ignore[arg-type]
        work.check()
        with database.transaction() as session:
            retrying.cancel(session, held.run_id, "me")

        def is_heard() -> bool:
            try:
                work.check()
            except Cancelled:
                return True
            return False

        wait_for(is_heard)


def test_the_heart_notices_that_the_step_is_in_other_hands(database: Database, held: Claim) -> None:
    """Whoever was taken for dead stops at the next safe point."""
    with Work(None, held) as work:  # type: ignore[arg-type]
        with database.transaction() as session:
            step_of(session, held).attempts += 1

        def is_heard() -> bool:
            try:
                work.check()
            except LostClaim:
                return True
            return False

        wait_for(is_heard)


def dead(
    database: Database, held: Claim, monkeypatch: pytest.MonkeyPatch, limit: float, silent: float
) -> bool:
    """Whether a step that was silent for so many seconds counts as dead where so many are the limit."""
    monkeypatch.setattr(settings, "load", lambda: SimpleNamespace(dead_after_seconds=limit))
    with database.transaction() as session:
        step = step_of(session, held)
        step.heartbeat_at = now() - timedelta(seconds=silent)
        session.flush()
        return recover._why_dead(session, transitions.get(session, held.run_id), step) is not None


def test_silence_counts_only_while_the_database_was_there(
    database: Database, held: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was down for an hour heard nobody: each step gets its time to be heard again."""
    with database.transaction() as session:
        started = session.scalars(text("SELECT pg_postmaster_start_time()")).one()
    up = (now() - started).total_seconds()
    assert dead(database, held, monkeypatch, limit=up / 2, silent=up)
    assert not dead(database, held, monkeypatch, limit=up / 2, silent=up / 4)
    assert not dead(database, held, monkeypatch, limit=up + 3600, silent=up + 7200)


def test_a_step_that_is_older_than_the_drives_worker_is_dead(
    database: Database, held: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker was started anew: there is nothing to wait for."""
    with database.transaction() as session:
        drives.register(session, name="tape0", host="h", driver="virtual", queue="tape", worker="w")
    assert dead(database, held, monkeypatch, limit=3600, silent=0)
    with database.transaction() as session:
        step_of(session, held).started_at = now()
    assert not dead(database, held, monkeypatch, limit=3600, silent=0)


def test_a_lost_claim_is_no_longer_a_right(database: Database, held: Claim) -> None:
    """A run that has ended has no step that anybody may finish as its own."""
    with database.transaction() as session:
        step_of(session, held).attempts += 1
        with pytest.raises(LostClaim):
            steps.hold(session, held)
        transitions.transition(session, transitions.get(session, held.run_id), RunState.FAILED, M("x"))


def let_in(database: Database, *, anybody: bool) -> None:
    """Open a database, or close it and end its connections, as a server does that is away."""
    url = make_url(database.url)
    connection = psycopg2.connect(user=url.username, host=url.query["host"], dbname="postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS {anybody}')
        if not anybody:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            cursor.execute(ended, [url.database])
    connection.close()


@pytest.fixture
def sent(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """The steps from which runs are sent again, on a host without patience for its database."""
    configured = settings.Settings(database_patience_seconds=0, time_zone="UTC")
    monkeypatch.setattr(settings, "load", lambda: configured)
    monkeypatch.setattr(wiring, "database", lambda: database)
    monkeypatch.setattr(guards, "held", lambda: SimpleNamespace(drive="tape0"))
    found: list[Step] = []
    monkeypatch.setattr(chain, "send", lambda _run, step: found.append(step) or True)
    return found


def perform(database: Database, body: Callable[[Work], Any]) -> int:
    """Have a body done as the first step of a run, whose database is away at its end."""
    with database.transaction() as session:
        run = run_at(session, "tape0")
    task = SimpleNamespace(request=SimpleNamespace(hostname="worker"))
    with pytest.raises(DatabaseUnavailable):
        _perform(task, Step.PRECHECK, body, run.id, run.dispatch)  # type: ignore[arg-type]
    return run.id


def story(database: Database, run_id: int) -> list[str]:
    with database.transaction() as session:
        kept = session.scalars(select(RunEvent).where(RunEvent.run_id == run_id).order_by(RunEvent.id))
        return [str(Message.from_json(event.message)) for event in kept]


@pytest.mark.parametrize("at", ["in its middle", "at its end"])
def test_what_a_step_gave_up_for_stands_in_its_story(database: Database, sent: list[Step], at: str) -> None:
    """As soon as the database is back; and the run goes on at once, from that step."""

    def body(work: Work) -> Any:
        let_in(database, anybody=False)
        Timer(0.5, let_in, [database], {"anybody": True}).start()
        if at == "in its middle":
            work.tell(M("x"))
        return SimpleNamespace(result={})

    run = perform(database, body)
    told = [line for line in story(database, run) if "without the database" in line]
    assert len(told) == 1
    assert "The database does not answer" in told[0]
    assert sent == [Step.PRECHECK]


def test_a_worker_that_ends_does_not_wait_to_tell_it(
    database: Database, sent: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the step is found silent, as one whose process died."""

    def body(work: Work) -> Any:
        let_in(database, anybody=False)
        monkeypatch.setattr(guards, "is_ending", lambda: True)
        work.tell(M("x"))

    run = perform(database, body)
    let_in(database, anybody=True)
    assert not any("without the database" in line for line in story(database, run))
    assert sent == []


def test_what_a_step_gave_up_for_is_told_when_it_is_in_other_hands_too(
    database: Database, held: Claim, sent: list[Step]
) -> None:
    """Whoever took it over goes on undisturbed."""
    with database.transaction() as session:
        step_of(session, held).attempts += 1
    recover.gave_up(held, M("the cause"))
    assert "the cause" in story(database, held.run_id)
    assert sent == []
    with database.transaction() as session:
        assert step_of(session, held).state is StepState.RUNNING
