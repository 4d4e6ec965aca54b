"""Runs that wait in the queue for a window or for another schedule: who looks after them, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from db.engine import Database
from db.models import ChainRun, ScheduledTask, now
from db.runs import starting, transitions
from db.schedules import schedules
from db.states import RunState, Trigger
from policy.times.period import ScheduleType
from tasks.periodic import recover

DAILY: dict[str, Any] = {"schedule_type": ScheduleType.DAILY, "schedule_config": {"at": "00:00"}}


def schedule(session: Session, name: str, **how: Any) -> ScheduledTask:
    return schedules.put(session, name, drive="tape0", sources=["/data"], time_zone="UTC", **DAILY, **how)


def queued(session: Session, row: ScheduledTask) -> ChainRun:
    run = starting.start(session, row, due_at=now(), trigger=Trigger.SCHEDULE)
    assert run
    return run


def test_a_follower_is_let_go_after_the_success_and_reported_after_a_failure(
    database: Database, sent: list[Any]
) -> None:
    """Within a minute: until then its drive is not asked to take it."""
    with database.transaction() as session:
        first = schedule(session, "files")
        good = queued(session, schedule(session, "good", run_after="files"))
    recover.recover()
    assert sent == []
    with database.transaction() as session:
        session.get_one(ScheduledTask, first.id).last_success_time = now()
    recover.recover()
    assert sent == ["tape0"]
    with database.transaction() as session:
        transitions.transition(session, transitions.get(session, good.id), RunState.CANCELLED)
        failed = queued(session, schedule(session, "broken"))
        bad = queued(session, schedule(session, "bad", run_after="broken"))
        transitions.transition(session, failed, RunState.FAILED)
    sent.clear()
    recover.recover()
    assert sent == [("tapeline.deliver", bad.id)]
    with database.transaction() as session:
        assert transitions.get(session, bad.id).state is RunState.SKIPPED


def test_a_drive_is_asked_when_the_window_opens(database: Database, sent: list[Any]) -> None:
    """Not before: a look at all runs costs nothing for those that wait for the night."""
    with database.transaction() as session:
        moments = [now() + timedelta(hours=hours) for hours in (2, 4)]
        window = "-".join(f"{moment:%H:%M}" for moment in moments)
        run = queued(session, schedule(session, "files", backup_window=window))
    recover.recover()
    assert sent == []
    with database.transaction() as session:
        transitions.get(session, run.id).opens_at = now()
    recover.recover()
    assert sent == ["tape0"]
