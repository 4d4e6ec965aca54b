"""Schedules, runs and sets that the tests of alerts share, and what the list of alerts names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from db import alerts
from db.admin import processes
from db.admin.processes import ProcessSettings
from db.engine import Database
from db.models import BackupSet, ChainRun, ScheduledTask, TapeCartridge
from db.runs import starting, transitions
from db.schedules import calendar, schedules
from db.states import BackupType, RunState, Trigger
from policy.message import M
from policy.tapes.facts import SetState
from policy.times.period import ScheduleType

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


DAILY: dict[str, Any] = {
    "schedule_type": ScheduleType.DAILY, "schedule_config": {"at": "02:00"}, "time_zone": "UTC",
}  # fmt: skip


def concerns(session: Session, moment: datetime = NOW) -> list[alerts.Alert]:
    ahead = calendar.entries(session, moment, moment + timedelta(days=7))
    return alerts.alerts(session, moment, ahead, lambda seen: moment - seen > timedelta(minutes=5))


def said(database: Database, moment: datetime = NOW) -> list[str]:
    with database.transaction() as session:
        return [str(each.message) for each in concerns(session, moment)]


def end(session: Session, run: ChainRun, *states: RunState) -> None:
    for state in states:
        assert transitions.transition(session, run, state, M("the reason"))


def a_run(session: Session, day: int, *states: RunState) -> ChainRun:
    row = schedules.get(session, "nightly")
    due = datetime(2026, 11, day, 2, tzinfo=UTC)
    run = starting.start(session, row, due_at=due, trigger=Trigger.MANUAL)
    assert run is not None
    end(session, run, *states)
    return run


def a_set(
    row: ScheduledTask, tape: TapeCartridge, name: str, state: SetState, damaged: int | None = None
) -> BackupSet:
    return BackupSet(
        id=name, template_id=row.template_id, cartridge_id=tape.id, generation=1, type=BackupType.FULL,
        state=state, sources=[], started_at=datetime(2026, 11, 24, 2, tzinfo=UTC), damaged=damaged,
    )  # fmt: skip


def enter(database: Database, name: str, **facts: Any) -> None:
    """A process that runs, and what it knows of its settings."""
    reading = {"file": "/etc/t.toml", "channels": [], "behind": [], "problem": None, **facts}
    with database.transaction() as session:
        processes.enter(session, ProcessSettings(name=name, host="h", read_at=datetime.now(UTC), **reading))
