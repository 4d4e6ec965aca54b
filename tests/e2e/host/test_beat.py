"""Beat as a process: what stands in the table fires, without a restart and through outages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from db.models import ChainRun, ScheduledTask
from policy.times.period import ScheduleType
from tests.system import System

SOON = timedelta(seconds=3)


def schedule_once(system: System, name: str, at: datetime) -> None:
    system.schedule(
        name,
        system.folder,
        schedule_type=ScheduleType.ONCE,
        schedule_config={"at": at.isoformat(timespec="seconds")},
    )


def runs_of(system: System, name: str) -> list[ChainRun]:
    query = select(ChainRun).join(ScheduledTask).where(ScheduledTask.name == name)
    return list(system.ask(lambda session: session.scalars(query).all()))


def edit(system: System, name: str, config: dict[str, Any]) -> None:
    """As an operator does who has psql and nothing else."""
    statement = text("UPDATE scheduled_tasks SET schedule_config = CAST(:config AS jsonb) WHERE name = :name")
    system.ask(lambda session: session.execute(statement, {"config": json.dumps(config), "name": name}))


def test_what_is_inserted_or_edited_fires_within_seconds_without_a_restart(system: System) -> None:
    """A new row and a row that was edited with SQL; each fires once, at its time, and a worker takes it."""
    schedule_once(system, "edited", datetime.now(UTC) + timedelta(days=300))
    system.start("control")
    system.start_beat()
    system.wait_for(lambda: b"Starting" in system.log("beat"), "beat")

    due = (datetime.now(UTC) + SOON).replace(microsecond=0)
    schedule_once(system, "inserted", due)
    edit(system, "edited", {"at": due.isoformat()})
    for name in ("inserted", "edited"):
        [run] = system.wait_for(lambda name=name: runs_of(system, name), f"{name} to fire", 20)
        assert run.due_at == due
        assert run.created_at - due < timedelta(seconds=5)
    # The drive is free, so one of the two has it now: the message arrived.
    system.wait_for(
        lambda: (
            {run.state.value for run in (*runs_of(system, "inserted"), *runs_of(system, "edited"))}
            == {"RUNNING", "QUEUED"}
        ),
        "one of them to run",
    )


def test_two_beats_fire_once_and_one_that_is_killed_is_not_missed(system: System) -> None:
    """The second beat goes on when the first one is killed; nothing fires twice."""
    system.start_beat()
    system.start_second_beat()
    for name in ("beat", "beat2"):
        system.wait_for(lambda name=name: b"Starting" in system.log(name), name)
    schedule_once(system, "first", datetime.now(UTC) + SOON)
    system.wait_for(lambda: runs_of(system, "first"), "the first to fire")
    system.kill("beat")
    schedule_once(system, "second", datetime.now(UTC) + SOON)
    system.wait_for(lambda: runs_of(system, "second"), "the second to fire")
    assert len(runs_of(system, "first")) == len(runs_of(system, "second")) == 1


@pytest.fixture
def cut_off(short_path: Path, database_url: str) -> Any:
    """An installation whose broker does not answer."""
    found = System(short_path, database_url, "redis://127.0.0.1:1/0")
    yield found
    found.close()


def test_a_broker_that_is_away_keeps_nothing_from_being_decided(cut_off: System) -> None:
    """Beat lives on, the run exists in the database, and is sent when somebody looks after runs."""
    schedule_once(cut_off, "due", datetime.now(UTC) + SOON)
    cut_off.start_beat()
    [run] = cut_off.wait_for(lambda: runs_of(cut_off, "due"), "it to be decided")
    assert run.state.value == "QUEUED"
    cut_off.wait_for(lambda: b"the broker does not answer" in cut_off.log("beat"), "beat to say so")
    schedule_once(cut_off, "later", datetime.now(UTC) + SOON)
    cut_off.wait_for(lambda: runs_of(cut_off, "later"), "beat to go on")
    assert cut_off.processes["beat"].poll() is None
    assert b"Traceback" not in cut_off.log("beat")
