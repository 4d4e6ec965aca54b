"""A simulated year: real scheduler, real database, beat killed at random; exactly the runs of the table."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from celery_app.scheduler import DatabaseScheduler
from db.engine import Database
from db.models import ChainRun, Notification
from db.runs import starting
from db.schedules import planner, schedules
from db.states import Trigger
from policy.times.period import ScheduleType
from tests.integration.celery_app.year import BY_HAND, EDITS, EXPECTED, GRACE, NEXT, OUTAGES, SCHEDULES

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, tzinfo=UTC)


def utc(text_: str) -> datetime:
    return datetime.fromisoformat(text_).replace(tzinfo=UTC)


def expected() -> Counter[tuple[str, datetime, str]]:
    """The table, line by line, day by day."""
    found: Counter[tuple[str, datetime, str]] = Counter()
    for line in filter(None, (line.partition("#")[0].split() for line in EXPECTED.splitlines())):
        name, state, first, last, step, at = line
        day = date.fromisoformat(first)
        while day <= date.fromisoformat(last):
            found[name, datetime.combine(day, time.fromisoformat(at), UTC), state] += 1
            day += timedelta(days=int(step))
    return found


class Year:
    """The world around beat: its clock, its outages, operators, and drives on which every run succeeds."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.chance = random.Random(seed)
        self.now = START
        self.app = Celery("year", broker="memory://", set_as_current=False)
        self.app.conf.result_expires = None
        self.restarts = 0
        self.beat = self.new_beat()
        self.outages = [(utc(down), utc(up)) for down, up in OUTAGES]
        self.operators = sorted(
            [(utc(at), name, (column, value)) for at, name, column, value in EDITS]
            + [(utc(at), name, None) for name, at in BY_HAND]
        )

    def new_beat(self) -> DatabaseScheduler:
        return DatabaseScheduler(app=self.app, database=self.database, clock=lambda _session: self.now)

    def make_schedules(self) -> None:
        with self.database.transaction() as session:
            for name, (zone, kind, config) in SCHEDULES.items():
                row = schedules.put(
                    session,
                    name,
                    drive=f"drive-{name}",
                    sources=["/data"],
                    schedule_type=ScheduleType(kind),
                    schedule_config=config,
                    time_zone=zone,
                    grace_seconds=GRACE.get(name, 12 * 3600),
                )
                row.created_at = START

    def pass_by(self) -> None:
        while self.now < END:
            self.look()
            self.now = min(max(self.now + timedelta(seconds=1), self.next_moment()), END)
            self.maybe_kill_beat()
            self.let_operators_act()
        self.look()

    def look(self) -> None:
        """One tick of beat, at times of two beats, and every run that came of it succeeds."""
        self.beat.tick()
        if self.chance.random() < 0.1:
            self.new_beat().tick()
        with self.database.transaction() as session:
            self.finish_runs(session)

    def next_moment(self) -> datetime:
        """Just after something is due; at most two days later, since most looks find nothing."""
        with self.database.transaction() as session:
            due = planner.next_time(session, self.now - timedelta(days=5))
        late = timedelta(seconds=self.chance.random() * 2)
        fixed = [moment for moment, *_ in (*self.operators, *self.outages)]
        return min(
            [self.now + timedelta(days=2 * self.chance.random()), *fixed, *([due + late] if due else [])]
        )

    def maybe_kill_beat(self) -> None:
        """Down as the table of outages says; else now and then, for up to four hours."""
        if self.outages and self.now >= self.outages[0][0]:
            self.now = self.outages.pop(0)[1]
        elif self.chance.random() < 0.15:
            up = self.now + timedelta(hours=self.chance.uniform(0, 4))
            self.now = min([up, END, *(down for down, _ in self.outages)])
        else:
            return
        self.beat = self.new_beat()
        self.restarts += 1

    def let_operators_act(self) -> None:
        while self.operators and self.operators[0][0] <= self.now:
            at, name, change = self.operators.pop(0)
            with self.database.transaction() as session:
                if change is None:
                    starting.start(session, schedules.get(session, name), due_at=at, trigger=Trigger.MANUAL)
                    self.finish_runs(session)
                else:
                    self.edit(session, name, *change)

    @staticmethod
    def edit(session: Session, name: str, column: str, value: Any) -> None:
        statement = (
            f"UPDATE scheduled_tasks SET {column} = CAST(:value AS {TYPES[column]}) WHERE name = :name"
        )
        session.execute(text(statement), {"name": name, "value": json.dumps(value)})

    @staticmethod
    def finish_runs(session: Session) -> None:
        """As drives would, in one statement: it is the schedules that are looked at here."""
        session.execute(
            text(
                "WITH done AS (UPDATE chain_runs SET state = 'SUCCEEDED', finished_at = now()"
                " WHERE state = 'QUEUED' RETURNING schedule_id, due_at)"
                " UPDATE scheduled_tasks SET last_success_time = due_at FROM done WHERE id = schedule_id"
            )
        )


TYPES = {"schedule_config": "jsonb", "enabled": "boolean"}


@pytest.mark.timeout(600)
def test_a_year_gives_exactly_the_runs_of_the_table(database: Database) -> None:
    """Every type in two time zones, through summer time, outages, restarts and edits: nothing else."""
    year = Year(database, seed=20260101)
    year.make_schedules()
    year.pass_by()
    with database.transaction() as session:
        found = Counter(
            (run.schedule.name, run.due_at, run.state.value)
            for run in session.scalars(select(ChainRun))
            if run.schedule
        )
        said = Counter(session.scalars(select(Notification.event)))
        following = {row.name: row.next_run_time for row in schedules.present(session)}
    table = expected()
    assert sorted((found - table).elements()) == []
    assert sorted((table - found).elements()) == []
    assert {event: count for event, count in said.items() if event != "success"} == {
        "missed": 6,
        "skipped": 1,
    }
    assert following == {name: utc(at) if at else None for name, at in NEXT.items()}
    assert year.restarts > 50
