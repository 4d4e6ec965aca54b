"""A schedule that follows another one: its run waits for that one's success, or is missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Database
from db.errors import NotAllowed
from db.models import ChainRun, Notification, ScheduledTask, now
from db.runs import admission, followers, lookup, starting, transitions
from db.schedules import schedules, sync
from db.states import RunState, Trigger
from policy.errors import UsageErrors
from policy.schedule import file
from policy.times.period import ScheduleType

DAILY: dict[str, Any] = {"schedule_type": ScheduleType.DAILY, "schedule_config": {"at": "02:00"}}
DUE = datetime.now(UTC).replace(hour=4, minute=0, second=0, microsecond=0)


def schedule(session: Session, name: str, run_after: str | None = None, **how: Any) -> ScheduledTask:
    how = {**DAILY, "time_zone": "UTC", "grace_seconds": 3 * 86400, "run_after": run_after, **how}
    row = schedules.put(session, name, drive="tape0", sources=["/data"], **how)
    row.created_at = DUE - timedelta(days=30)
    return row


def queued(session: Session, row: ScheduledTask, due: datetime = DUE) -> ChainRun:
    run = starting.start(session, row, due_at=due, trigger=Trigger.SCHEDULE)
    assert run
    return run


def end(session: Session, run: ChainRun, state: RunState) -> None:
    assert admission.admit(session, "tape0") is run
    transitions.transition(session, run, state)


def events(session: Session) -> list[str]:
    query = select(Notification.event).where(Notification.event != "started").order_by(Notification.id)
    return list(session.scalars(query))


def test_it_waits_in_the_queue_and_begins_after_the_success(database: Database) -> None:
    with database.transaction() as session:
        first, second = schedule(session, "files"), schedule(session, "index", "files")
        waiting = queued(session, second, DUE - timedelta(hours=3))
        assert (waiting.state, waiting.awaits) == (RunState.QUEUED, "files")
        assert "files" in str(waiting.reason)
        assert admission.admit(session, "tape0") is None
        assert lookup.queued_for(session) == set()
        assert followers.settle(session) == []
        end(session, queued(session, first), RunState.SUCCEEDED)
        assert followers.settle(session) == []
        assert (waiting.awaits, waiting.reason) == (None, None)
        assert admission.admit(session, "tape0") is waiting


def test_after_the_success_it_does_not_wait_at_all(database: Database) -> None:
    """Of this period: yesterday's success is none."""
    with database.transaction() as session:
        first, second = schedule(session, "files"), schedule(session, "index", "files")
        first.last_success_time = DUE - timedelta(days=1)
        assert queued(session, second).awaits == "files"
        first.last_success_time = DUE - timedelta(hours=2)
        other = schedule(session, "other", "files")
        assert queued(session, other).awaits is None


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
@pytest.mark.parametrize("is_waiting", [True, False])
def test_what_follows_a_failure_is_missed(database: Database, state: RunState, *, is_waiting: bool) -> None:
    """It is not started, and reported as any missed run, whether it waited already or is due later."""
    with database.transaction() as session:
        first, second = schedule(session, "files"), schedule(session, "index", "files")
        run = queued(session, second) if is_waiting else None
        failed = queued(session, first)
        end(session, failed, state)
        if run is None:
            run = queued(session, second)
        else:
            assert followers.settle(session) == [run]
        assert (run.state, run.is_missed) == (RunState.SKIPPED, True)
        assert f"run {failed.id}" in str(run.reason).replace("{run}", str(failed.id))
        assert events(session)[-1] == "missed"
        assert followers.settle(session) == []
        # A failure of yesterday does not count today.
        again = queued(session, second, DUE + timedelta(days=1))
        assert again.awaits == "files"


def test_a_wait_without_end_is_missed_when_its_grace_is_over(database: Database) -> None:
    with database.transaction() as session:
        schedule(session, "files")
        run = queued(session, schedule(session, "index", "files"), now() - timedelta(hours=2))
        assert followers.settle(session) == []
        run.schedule.grace_seconds = 3600  # type: ignore[union-attr]
        assert followers.settle(session) == [run]
        assert "in time" in str(run.reason)
        assert events(session) == ["missed"]


def test_a_person_does_not_wait(database: Database) -> None:
    with database.transaction() as session:
        schedule(session, "files")
        row = schedule(session, "index", "files")
        run = starting.start(session, row, due_at=DUE, trigger=Trigger.MANUAL)
        assert run
        assert run.awaits is None


def test_what_follows_nothing_any_more_is_missed(database: Database) -> None:
    with database.transaction() as session:
        row = schedule(session, "index", "gone")
        assert queued(session, row).is_missed
        assert events(session) == ["missed"]


def wanted(**follow: tuple[str | None, str]) -> list[file.WantedSchedule]:
    """Schedules by name, with what each follows and its type."""
    whens = {"daily": {"type": "daily", "at": "02:00"}, "manual": {"type": "manual"}}
    tables: dict[str, Any] = {}
    for name, (first, kind) in follow.items():
        tables[name] = {"when": whens[kind], "backup": {"sources": ["/data"]}}
        if first is not None:
            tables[name]["run_after"] = first
    return file.read({"schedules": tables}, {"time_zone": "UTC", "drive": "tape0"})


@pytest.mark.parametrize(
    ("follow", "text"),
    [
        ({"a": ("b", "daily")}, "schedules.a.run_after: there is no schedule 'b'."),
        ({"a": ("a", "daily")}, "schedules.a.run_after: these follow each other: a → a."),
        (
            {"a": ("b", "daily"), "b": ("a", "daily")},
            "schedules.a.run_after: these follow each other: a → b → a.",
        ),
        ({"kept": ("a", "daily"), "a": ("kept", "daily")}, "these follow each other: kept → a → kept."),
        ({"a": ("kept", "manual")}, "a schedule of type manual has no times"),
    ],
)
def test_circles_and_unknown_names_are_one_line(
    database: Database, follow: dict[str, tuple[str | None, str]], text: str
) -> None:
    with database.transaction() as session:
        schedule(session, "kept")
        with pytest.raises(UsageErrors) as raised:
            sync.differences(session, wanted(**follow), prune=False)
    assert text in str(raised.value.errors[0])


def test_what_is_followed_is_not_removed(database: Database) -> None:
    """Neither by hand nor by a file that no longer names it, unless its follower goes, too."""
    with database.transaction() as session:
        first = schedule(session, "files")
        schedule(session, "index", "files")
        with pytest.raises(NotAllowed, match="index"):
            sync.removal(session, first)
        with pytest.raises(UsageErrors, match="files"):
            sync.differences(session, wanted(index=("files", "daily")), prune=True)
        assert sync.differences(session, wanted(other=(None, "daily")), prune=True)
