"""Which of several queued runs gets the drive first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import BackupTask, ChainRun, ScheduledTask
from db.runs import admission, precedence, starting, transitions
from db.schedules import planner, schedules
from db.states import BackupType, Kind, RunState, Trigger
from policy.message import M
from policy.precedence import PRIORITIES, QueuedFacts, place
from policy.times.period import ScheduleType

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


def test_at_the_same_priority_the_rarer_schedule_goes_first(database: Database) -> None:
    """A month that is missed costs more than a night."""
    with database.transaction() as session:
        kinds = (
            ScheduleType.CRON,
            ScheduleType.DAILY,
            ScheduleType.WEEKLY,
            ScheduleType.YEARLY,
            ScheduleType.MONTHLY,
        )
        for kind in kinds:
            row = schedule(session, kind.value)
            row.schedule_type = kind
            queued(session, row)
        assert served(session) == ["yearly", "monthly", "weekly", "cron", "daily"]


FACTS = st.builds(
    QueuedFacts,
    kind=st.sampled_from(["backup", "restore", "import", "verify"]),
    keeps_its_tape=st.booleans(),
    priority=st.sampled_from(PRIORITIES),
    is_full=st.booleans(),
    repeats=st.sampled_from(ScheduleType),
)


@given(facts=st.lists(FACTS, min_size=2, max_size=8), seed=st.integers())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_queue_of_the_database_is_that_of_the_rule(
    database: Database, facts: list[QueuedFacts], seed: int
) -> None:
    """Whatever waits, the statement that admits a run has the order of ``policy.precedence``."""
    with database.transaction() as session:
        names: dict[str, QueuedFacts] = {}
        for number, each in enumerate(facts):
            row = schedule(
                session, f"{seed}-{number}", each.priority, "full" if each.is_full else "incremental"
            )
            row.schedule_type = each.repeats or ScheduleType.DAILY
            session.flush()
            run = queued(session, row, DUE)
            run.kind, run.queued_at = Kind(each.kind), DUE + timedelta(seconds=number)
            run.started_at = DUE if each.keeps_its_tape else None
            names[row.name] = each
        session.flush()
        expected = [
            name
            for name, each in sorted(names.items(), key=lambda pair: (place(pair[1]), len(pair[0]), pair[0]))
        ]
        query = (
            select(ScheduledTask.name)
            .select_from(ChainRun)
            .join(ScheduledTask, ChainRun.schedule_id == ScheduledTask.id)
            .join(BackupTask, ScheduledTask.template_id == BackupTask.id)
            .where(ChainRun.state == RunState.QUEUED)
        )
        assert list(session.scalars(query.order_by(*precedence.of_runs()))) == expected
        session.rollback()
