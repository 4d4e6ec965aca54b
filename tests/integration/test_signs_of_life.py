"""A step at work gives signs of life by itself; one that gives none is dead only if it could have."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from celery_app import settings, wiring
from db import drives, runs, steps
from db.engine import Database
from db.errors import LostClaim
from db.models import ChainStep, now
from db.states import RunState, Step
from db.steps import Claim
from policy.message import M
from tasks import recover
from tasks.work import Cancelled, Work
from tests.integration.test_permits import run_at

PATIENCE = 30.0


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
    deadline = time.monotonic() + PATIENCE
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
            runs.cancel(session, held.run_id, "me")

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
        return recover._why_dead(session, runs.get(session, held.run_id), step) is not None


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
        runs.transition(session, runs.get(session, held.run_id), RunState.FAILED, M("x"))
