"""What pages and scripts see of many runs costs no more questions than of one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import event

from db import events, outbox, views
from db.engine import Database
from db.models import ChainRun, Drive
from db.runs import admission, starting, transitions
from db.runs.lookup import RunFilter
from db.schedules import schedules
from db.states import Kind, RunState, Step, Trigger
from db.tapes import drives

DUE = datetime(2026, 11, 1, tzinfo=UTC)


def test_a_list_of_runs_asks_as_much_for_many_as_for_one(database: Database) -> None:
    """Runs with their schedules, steps and warnings, newest first."""
    with database.transaction() as session:
        for number in range(3):
            row = schedules.put(session, f"s{number}", drive="tape0", sources=["/data"])
            run = starting.start(
                session, row, due_at=DUE + timedelta(days=number), trigger=Trigger.MANUAL, requested_by="me"
            )
            assert run is not None
            assert transitions.transition(session, run, RunState.CANCELLED)
    asked: list[str] = []

    def count(*given: object) -> None:
        asked.append(str(given[2]))

    for limit in (1, 3):
        with database.transaction() as session:
            event.listen(session.get_bind(), "before_cursor_execute", count)
            found = views.runs_json(session, RunFilter(limit=limit))
            event.remove(session.get_bind(), "before_cursor_execute", count)
        assert [run["schedule"] for run in found] == ["s2", "s1", "s0"][:limit]
        assert {len(run["steps"]) for run in found} == {6}
        assert len(asked) == 3, asked
        asked.clear()


def test_the_step_at_which_a_run_waits_for_a_tape_is_named(database: Database) -> None:
    with database.transaction() as session:
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        assert starting.start(session, row, due_at=DUE, trigger=Trigger.MANUAL)
        run = admission.admit(session, "tape0")
        assert run
        assert not any(step.get("waits") for step in views.whole_run_json(session, run)["steps"])
        transitions.transition(session, run, RunState.WAITING_FOR_TAPE)
        steps = views.whole_run_json(session, run)["steps"]
        assert [step["name"] for step in steps if step.get("waits")] == ["precheck"]


def test_the_room_on_a_tape_is_that_after_the_backup(database: Database) -> None:
    """What was seen before it was written is past."""
    with database.transaction() as session:
        drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
        drives.written(session, "tape0", 40, 30)
        drives.looked(session, "tape0", {"state": "formatted", "label": "A", "capacity": 40, "free": 40})
        drives.written(session, "tape0", 40, 36)
        drive = session.get(Drive, "tape0")
        assert drive is not None
        assert drive.medium == {
            "state": "formatted", "label": "A", "capacity": 40, "free": 36, "empty": False
        }  # fmt: skip


def test_a_ping_informs_nobody(database: Database) -> None:
    """A message that only a monitoring service got is no message that was sent."""
    with database.transaction() as session:
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        run = starting.start(session, row, due_at=DUE, trigger=Trigger.MANUAL)
        assert run is not None
        transitions.transition(session, run, RunState.CANCELLED)
        announced = events.last_of(session, run, "cancelled")
        assert announced is not None
        outbox.delivered(announced, "ping_url")
        announced.next_attempt_at = None
        session.flush()
        assert views.told(session, run.id) == "nobody"
        outbox.delivered(announced, "ops")
        session.flush()
        assert views.told(session, run.id) == "sent"


def test_what_a_restore_left_in_place_counts_as_warnings(database: Database) -> None:
    """So it is no plain success in any list."""
    with database.transaction() as session:
        run = ChainRun(
            kind=Kind.RESTORE, trigger=Trigger.MANUAL, state=RunState.SUCCEEDED, drive="tape0", due_at=DUE
        )
        session.add(run)
        session.flush()
        starting.add_steps(session, run)
        session.flush()
        session.refresh(run)
        assert views.whole_run_json(session, run)["warnings"] == 0
        step = next(each for each in run.steps if each.step is Step.RESTORE)
        step.result = {"warnings": 3}
        session.flush()
        assert views.whole_run_json(session, run)["warnings"] == 3
        assert [each["warnings"] for each in views.runs_json(session, RunFilter())] == [3]
