"""Runs, settings and messages that the tests of ``recover`` share."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from celery_app import settings
from db import doubts
from db.engine import Database
from db.models import ChainRun, Notification, RunEvent
from db.runs import starting, steps, transitions
from db.states import Step, StepState
from db.tapes import drives
from policy.guard import Doubt, GuardRule
from policy.message import M, Message
from tests.integration.db.tapes.test_permits import run_at
from tests.integration.tasks.test_recover import HOUR, begun


def configured(monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    """With these settings."""
    found = replace_all(settings.load(), how)
    monkeypatch.setattr(settings, "load", lambda: found)


def replace_all(found: settings.Settings, how: dict[str, Any]) -> settings.Settings:
    return found.model_copy(update=how)


def beside(database: Database) -> ChainRun:
    """A run at another drive, whose worker lives, and that is under way at this moment."""
    with database.transaction() as session:
        drives.register(session, name="tape1", driver="virtual", host="h", worker="w", queue="tape1")
        run = run_at(session, "tape1")
        held = steps.claim(session, run.id, run.dispatch, Step.PRECHECK, "w")
        assert held
        steps.finish(session, held, StepState.SUCCEEDED)
        return run


def messages(database: Database, run: ChainRun, event: str) -> list[dict[str, Any]]:
    with database.transaction() as session:
        query = select(Notification.facts).where(Notification.run_id == run.id, Notification.event == event)
        return list(session.scalars(query.order_by(Notification.id)))


def texts(facts: dict[str, Any]) -> tuple[str | None, ...]:
    return tuple(facts[name] and str(Message.from_json(facts[name])) for name in ("reason", "remedy"))


def of_step(database: Database, run: ChainRun, level: str) -> list[tuple[Step | None, str]]:
    """The lines of a story of a level, with their steps."""
    with database.transaction() as session:
        kept = (
            select(RunEvent).where(RunEvent.run_id == run.id, RunEvent.level == level).order_by(RunEvent.id)
        )
        return [(each.step, str(Message.from_json(each.message))) for each in session.scalars(kept)]


# -- which moments count ---------------------------------------------------------------------------


def aged(database: Database, run: ChainRun, event: str, since: timedelta) -> None:
    with database.transaction() as session:
        for row in session.scalars(
            select(Notification).where(Notification.run_id == run.id, Notification.event == event)
        ):
            row.created_at -= since


DOUBT = Doubt(GuardRule.EMPTY, "/data", M("It is empty."), 100.0).to_json()


def held_run(database: Database) -> ChainRun:
    run = begun(database)
    with database.transaction() as session:
        doubts.hold(session, transitions.get(session, run.id), [Doubt.from_json(DOUBT)], HOUR)
    return run


def queued(session: Session, drive: str) -> None:
    starting.start_import(session, drive=drive, requested_by="li")
