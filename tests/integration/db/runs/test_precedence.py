"""Which of several queued runs gets the drive first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import ChainRun, ScheduledTask
from db.runs import admission, starting, transitions
from db.schedules import planner, schedules
from db.states import BackupType, RunState, Trigger
from policy.message import M

DUE = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)


def schedule(session: Session, name: str, priority: str = "normal", kind: str = "full") -> ScheduledTask:
    template = {"type": BackupType(kind)}
    how = {"drive": "tape0", "sources": ["/data"], "time_zone": "UTC", "priority": priority}
    return schedules.put(session, name, template=template, **how)


def queued(session: Session, row: ScheduledTask, due: datetime = DUE) -> ChainRun:
    run = starting.start(session, row, due_at=due, trigger=Trigger.MANUAL)
    assert run
    return run


def served(session: Session) -> list[str]:
    """The order in which the queued runs get the drive, each after the one before has ended."""
    order = []
    while (run := admission.admit(session, "tape0")) is not None:
        order.append(run.schedule.name if run.schedule else run.kind.value)
        transitions.transition(session, run, RunState.FAILED)
    return order


def test_priority_decides_then_full_backups_go_first_then_arrival(database: Database) -> None:
    """An increment that is due with its full backup follows it; only a priority changes that."""
    with database.transaction() as session:
        rows = [
            schedule(session, "low", "low"),
            schedule(session, "nightly", kind="incremental"),
            schedule(session, "monthly"),
            schedule(session, "mail"),
            schedule(session, "ledger", "high", "incremental"),
        ]
        for row in rows:
            queued(session, row)
        assert served(session) == ["ledger", "monthly", "mail", "nightly", "low"]


def test_an_import_goes_before_every_backup(database: Database) -> None:
    """Somebody waits for it."""
    with database.transaction() as session:
        queued(session, schedule(session, "ledger", "high"))
        starting.start_import(session, drive="tape0", requested_by="li")
        assert served(session) == ["import", "ledger"]


def test_a_run_that_has_begun_goes_before_all_others(database: Database) -> None:
    """The tape that was just inserted was asked for by it; another run would write on that tape."""
    with database.transaction() as session:
        begun = queued(session, schedule(session, "low", "low"))
        admission.admit(session, "tape0")
        transitions.transition(session, begun, RunState.WAITING_FOR_TAPE, M("another tape"))
        queued(session, schedule(session, "ledger", "high"))
        starting.start_import(session, drive="tape0", requested_by="li")
        transitions.transition(session, begun, RunState.QUEUED)
        assert served(session) == ["low", "import", "ledger"]


@pytest.mark.parametrize("names", list(permutations(["full", "incremental", "urgent"])))
def test_the_calendar_and_beat_expect_the_same_order(database: Database, names: list[str]) -> None:
    """Schedules that are due at the same moment are started, and foreseen, in the order of their runs."""
    made = {"full": ("normal", "full"), "incremental": ("normal", "incremental"), "urgent": ("high", "full")}
    with database.transaction() as session:
        rows = [schedule(session, name, *made[name]) for name in names]
        for row in rows:
            row.schedule_config = {"at": "02:00", "day": 1}
            planner.plan(row, DUE - timedelta(days=1))
        session.flush()
        moment = max(row.next_run_time for row in rows if row.next_run_time)
        due = planner.needing_attention(session, moment)
        started = [session.get_one(ScheduledTask, number).name for number in due]
        foreseen = [row.name for _, row in planner.upcoming(rows, DUE - timedelta(days=1), 3)]
        for row in rows:
            queued(session, row)
        assert started == foreseen == served(session) == ["urgent", "full", "incremental"]
