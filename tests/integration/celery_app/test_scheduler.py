"""Beat's scheduler in this process: a database that goes away, a schedule that cannot be attended to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from sqlalchemy import create_engine, make_url, select, text

from celery_app.scheduler import LOOK_SECONDS, DatabaseScheduler
from db.engine import Database
from db.models import ChainRun
from db.schedules import planner, schedules
from policy.times.period import ScheduleType

START = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
DUE = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self, _session: object) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def beat(database: Database, clock: Clock) -> DatabaseScheduler:
    app = Celery("test", broker="memory://", set_as_current=False)
    app.conf.result_expires = None
    with database.transaction() as session:
        for name in ("one", "two"):
            row = schedules.put(
                session, name, drive="tape0", sources=["/data"], schedule_type=ScheduleType.DAILY,
                schedule_config={"at": "02:00"},
            )  # fmt: skip
            row.created_at = START
    found = DatabaseScheduler(app=app, database=database, clock=clock)
    found.tick()
    return found


def started(database: Database) -> list[str]:
    with database.transaction() as session:
        return sorted(run.schedule.name for run in session.scalars(select(ChainRun)) if run.schedule)


def connections(database: Database, *, allowed: bool) -> None:
    """Let nobody into the database any more, and throw out who is in, or let them in again."""
    url = make_url(database.url)
    admin = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS {allowed}'))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": url.database},
        )
    admin.dispose()


def test_it_wakes_at_the_moment_something_is_due(beat: DatabaseScheduler, clock: Clock) -> None:
    """A quiet table is looked at every two seconds; what is due sooner is not waited for."""
    assert beat.tick() == LOOK_SECONDS
    clock.now = DUE - timedelta(seconds=0.75)
    assert beat.tick() == 0.75


def test_a_database_that_goes_away_is_waited_for(
    beat: DatabaseScheduler, database: Database, clock: Clock
) -> None:
    """Beat lives on without it; when it is back, what became due meanwhile is started once."""
    connections(database, allowed=False)
    try:
        for minutes in range(3):
            clock.now = DUE + timedelta(minutes=minutes)
            assert beat.tick() == LOOK_SECONDS
    finally:
        connections(database, allowed=True)
    beat.tick()
    beat.tick()
    assert started(database) == ["one", "two"]


def test_one_schedule_that_fails_unexpectedly_does_not_stop_the_others(
    beat: DatabaseScheduler, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with it, the other one fires; it is tried again at the next look."""
    with database.transaction() as session:
        broken = schedules.get(session, "one").id
    attend = planner.attend

    def fails(session: object, number: int, moment: datetime) -> list[ChainRun]:
        if number == broken:
            raise ZeroDivisionError("as never seen before")
        return attend(session, number, moment)  # type: ignore[arg-type]

    clock.now = DUE
    with monkeypatch.context() as patched:
        patched.setattr(planner, "attend", fails)
        assert beat.tick() == LOOK_SECONDS
    assert started(database) == ["two"]
    beat.tick()
    assert started(database) == ["one", "two"]
