"""Which run of a period is made, and which has nothing to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import ChainRun, ScheduledTask
from db.runs import admission, starting, transitions
from db.schedules.schedules import put
from db.states import RunState, Trigger
from policy.times.period import ScheduleType

OWN = {ScheduleType.ONCE, ScheduleType.INTERVAL, ScheduleType.CRON}
"""Each occurrence is a period of its own."""

FIRING = [kind for kind in ScheduleType if kind is not ScheduleType.MANUAL]
"""The types that beat starts runs of."""

DUE = datetime(2026, 11, 11, 2, 0, tzinfo=UTC)
NEXT = {
    ScheduleType.DAILY: timedelta(days=1),
    ScheduleType.WEEKLY: timedelta(days=7),
    ScheduleType.MONTHLY: timedelta(days=30),
    ScheduleType.YEARLY: timedelta(days=365),
}
LATER = timedelta(minutes=5)


def start(session: Session, schedule: ScheduledTask, due_at: datetime, trigger: Trigger) -> ChainRun:
    run = starting.start(session, schedule, due_at=due_at, trigger=trigger)
    assert run is not None
    return run


def succeed(session: Session, run: ChainRun) -> None:
    admitted = admission.admit(session, run.drive)
    assert admitted is not None
    transitions.transition(session, admitted, RunState.SUCCEEDED)


@pytest.mark.parametrize("kind", FIRING)
@pytest.mark.parametrize("trigger", Trigger)
def test_a_success_counts_however_its_run_was_started(
    database: Database, kind: ScheduleType, trigger: Trigger
) -> None:
    """An automatic run has nothing to do in a period with a success, by hand or not; the next one has."""
    with database.transaction() as session:
        schedule = put(session, "s", drive="tape0", sources=["/data"], schedule_type=kind)
        succeed(session, start(session, schedule, DUE, trigger))
        again = start(session, schedule, DUE - LATER if kind in OWN else DUE + LATER, Trigger.SCHEDULE)
        assert again.state is RunState.SKIPPED
        following = start(session, schedule, DUE + NEXT.get(kind, LATER), Trigger.SCHEDULE)
        assert following.state is RunState.QUEUED


@pytest.mark.parametrize("kind", FIRING)
def test_a_skipped_run_counts_for_nothing(database: Database, kind: ScheduleType) -> None:
    """After a run that was skipped, the period still has its backup to make."""
    with database.transaction() as session:
        schedule = put(session, "s", drive="tape0", sources=["/data"], schedule_type=kind, enabled=False)
        assert start(session, schedule, DUE, Trigger.SCHEDULE).state is RunState.SKIPPED
        schedule.enabled = True
        assert start(session, schedule, DUE + LATER, Trigger.SCHEDULE).state is RunState.QUEUED


@pytest.mark.parametrize("kind", FIRING)
def test_a_run_by_hand_is_exempt(database: Database, kind: ScheduleType) -> None:
    """An operator may make as many backups of a period as there are reasons for."""
    with database.transaction() as session:
        schedule = put(session, "s", drive="tape0", sources=["/data"], schedule_type=kind)
        succeed(session, start(session, schedule, DUE, Trigger.SCHEDULE))
        assert start(session, schedule, DUE - LATER, Trigger.MANUAL).state is RunState.QUEUED
