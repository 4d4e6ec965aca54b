"""A run and the window of its schedule: put off until it opens, paused when it closes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import BackupSet, ChainRun, Notification, ScheduledTask, now
from db.runs import admission, brackets, lookup, retrying, starting, steps, transitions, windows
from db.schedules import calendar, needs, planner, preview, schedules, sync
from db.states import BackupType, Kind, RunState, Step, StepState, Trigger
from db.tapes import drives
from policy.schedule import file
from policy.tapes.facts import SetState
from policy.times.period import ScheduleType

HOUR = timedelta(hours=1)


def around(begins: timedelta, ends: timedelta) -> str:
    """A window from so long after now until so long after now, in UTC."""
    return f"{now() + begins:%H:%M}-{now() + ends:%H:%M}"


OPEN: Callable[[], str] = lambda: around(-HOUR, 2 * HOUR)  # noqa: E731
SHUT: Callable[[], str] = lambda: around(2 * HOUR, 4 * HOUR)  # noqa: E731


def schedule(session: Session, name: str = "nightly", window: str | None = None) -> ScheduledTask:
    how = {"drive": "tape0", "sources": ["/data"], "time_zone": "UTC"}
    return schedules.put(session, name, backup_window=window, **how)


def queued(session: Session, row: ScheduledTask, trigger: Trigger = Trigger.SCHEDULE) -> ChainRun:
    run = starting.start(session, row, due_at=now(), trigger=trigger)
    assert run
    return run


def test_what_is_due_outside_the_window_starts_at_its_opening(database: Database) -> None:
    """It is a run from its due time on, queued, with the moment in its reason; it takes no drive before."""
    with database.transaction() as session:
        run = queued(session, schedule(session, window=SHUT()))
        assert run.state is RunState.QUEUED
        assert run.opens_at
        assert timedelta(0) < run.opens_at - now() <= 2 * HOUR
        assert "opens" in str(run.reason)
        assert admission.admit(session, "tape0") is None
        assert lookup.queued_for(session) == set()
        # The drive is idle: what waits for that is done.
        drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
        drives.eject_after(session, "tape0", run.id)
        assert drives.eject_owed(session, "tape0") == run.id
        run.opens_at = now()
        run.schedule.backup_window = OPEN()  # type: ignore[union-attr]
        assert admission.admit(session, "tape0") is run
        assert run.opens_at is None
        assert run.closes_at
        assert timedelta(0) < run.closes_at - now() <= 2 * HOUR


def test_a_run_that_got_no_drive_before_the_closing_waits_for_the_next_opening(database: Database) -> None:
    """It was due in the window, but the drive was busy; the run behind it goes first."""
    with database.transaction() as session:
        late = queued(session, schedule(session, window=OPEN()))
        late.schedule.backup_window = SHUT()  # type: ignore[union-attr]
        other = queued(session, schedule(session, "other"))
        assert admission.admit(session, "tape0") is other
        assert late.opens_at is not None


@pytest.mark.parametrize("trigger", Trigger)
def test_a_person_is_not_bound_by_it(database: Database, trigger: Trigger) -> None:
    """Who starts a run by hand wants it now; who retries one, too. A restore has no window at all."""
    with database.transaction() as session:
        run = queued(session, schedule(session, window=SHUT()), trigger)
        assert (run.opens_at is None) is (trigger is Trigger.MANUAL)
        retrying.cancel(session, run.id, "li")
        failed = queued(session, schedule(session, window=OPEN()), trigger)
        assert admission.admit(session, "tape0") is failed
        transitions.transition(session, failed, RunState.FAILED)
        failed.schedule.backup_window = SHUT()  # type: ignore[union-attr]
        retrying.retry(session, failed.id, None, "li", None)
        assert admission.admit(session, "tape0") is failed
        assert failed.closes_at is None
        transitions.transition(session, failed, RunState.FAILED)
        read = starting.start_import(session, drive="tape0", requested_by=None)
        assert read.kind is Kind.IMPORT
        assert admission.admit(session, "tape0") is read


def paused(session: Session) -> ChainRun:
    """A run that has paused in ``run_backup``."""
    run = queued(session, schedule(session, window=OPEN()))
    assert admission.admit(session, "tape0") is run
    for step in (Step.PRECHECK, Step.CREATE_RECORD, Step.FORMAT_TAPE, Step.UPDATE_LABEL):
        held = steps.claim(session, run.id, run.dispatch, step, "w")
        assert held
        assert held.closes_at == run.closes_at
        steps.finish(session, held, StepState.SUCCEEDED)
    assert steps.claim(session, run.id, run.dispatch, Step.RUN_BACKUP, "w")
    run.fetched = ["A00001L9"]
    run.schedule.backup_window = SHUT()  # type: ignore[union-attr]
    admission.reopen(session, run, Step.PRECHECK)
    windows.pause(session, run)
    return run


def test_a_paused_run_gives_back_everything_and_owes_nobody_a_message(database: Database) -> None:
    """Neither drive nor tape, no alarm, no failure; it is still the active run of its schedule."""
    with database.transaction() as session:
        run = paused(session)
        assert (run.state, run.idle_since is not None) == (RunState.QUEUED, True)
        assert "Paused" in str(run.reason)
        assert run.fetched == []
        assert drives.running(session, "tape0") is None
        events = session.scalars(select(Notification.event)).all()
        assert set(events) <= {"started"}
        assert lookup.active_of(session, run.schedule_id) == run.id
        assert admission.first_open_step(session, run).step is Step.PRECHECK  # type: ignore[union-attr]
        refused = starting.start(session, run.schedule, due_at=now() + HOUR, trigger=Trigger.SCHEDULE)  # type: ignore[arg-type]
        assert refused
        assert refused.state is RunState.SKIPPED


def test_a_paused_run_owes_its_commands(database: Database) -> None:
    """Nothing stays quiesced, and no snapshot grows, until the next night."""
    with database.transaction() as session:
        run = paused(session)
        run.set_id = "20261101T020000Z-0001"
        brackets.begin(session, run, host="h", after=["thaw"], exclusive=[])
        assert brackets.owed(session, "tape0") == [(run.id, "tape0")]
        run.opens_at = None
        assert brackets.owed(session, "tape0") == []
        assert session.scalars(select(BackupSet.id)).all() == []


def test_a_paused_run_goes_on_by_the_order_of_the_queue(database: Database) -> None:
    """No tape was inserted for it: an import, and a run of high priority, goes first."""
    with database.transaction() as session:
        run = paused(session)
        run.schedule.backup_window, run.opens_at = OPEN(), now()  # type: ignore[union-attr]
        urgent = schedule(session, "ledger")
        urgent.priority = "high"
        ledger, later = queued(session, urgent), queued(session, schedule(session, "other"))
        read = starting.start_import(session, drive="tape0", requested_by="li")
        order = []
        while (admitted := admission.admit(session, "tape0")) is not None:
            order.append(admitted)
            transitions.transition(session, admitted, RunState.FAILED)
        assert order == [read, ledger, run, later]


def test_an_edited_window_applies_to_the_run_that_waits_or_works(database: Database) -> None:
    """A window that opens earlier, closes later or is gone."""
    with database.transaction() as session:
        run = queued(session, schedule(session, window=SHUT()))
        schedule(session, window=around(HOUR, 3 * HOUR))
        before = run.opens_at
        windows.follow(session, run.schedule)  # type: ignore[arg-type]
        assert run.opens_at != before
        schedule(session)
        windows.follow(session, run.schedule)  # type: ignore[arg-type]
        assert (run.opens_at, run.reason) == (None, None)
        assert admission.admit(session, "tape0") is run
        schedule(session, window=OPEN())
        windows.follow(session, run.schedule)  # type: ignore[arg-type]
        assert run.closes_at
        assert run.closes_at > now()
        schedule(session, window=SHUT())
        windows.follow(session, run.schedule)  # type: ignore[arg-type]
        assert run.closes_at <= now()


def test_a_window_that_a_row_has_wrong_is_named_and_loses_no_backup(database: Database) -> None:
    with database.transaction() as session:
        row = schedule(session, window="at night")
        row.schedule_config = {"day": 1, "at": "02:00"}
        assert "at night" in str(planner.problem_of(row))
        run = queued(session, row)
        assert admission.admit(session, "tape0") is run


def test_counted_from_its_due_time(database: Database) -> None:
    """A daily run that was due before midnight and works after it counts for the day on which it was due."""
    due = datetime(2026, 11, 1, 23, 0, tzinfo=UTC)
    with database.transaction() as session:
        run = starting.start(session, schedule(session, window=SHUT()), due_at=due, trigger=Trigger.SCHEDULE)
        assert run
        assert (run.due_at, run.period) == (due, "2026-11")


def test_the_calendar_shows_the_opening_and_names_the_night_that_is_too_short(database: Database) -> None:
    """From the time that the last sets took, without that in which their runs waited."""
    noon = datetime(2026, 11, 25, 12, tzinfo=UTC)
    with database.transaction() as session:
        row = schedule(session, window="20:00-06:00")
        row.schedule_type, row.schedule_config = ScheduleType.DAILY, {"at": "13:00"}
        planner.plan(row, noon)
        for day in range(1, 4):
            run = starting.start(session, row, due_at=noon - timedelta(days=day), trigger=Trigger.MANUAL)
            assert run
            transitions.transition(session, run, RunState.RUNNING)
            transitions.transition(session, run, RunState.SUCCEEDED)
            begun = noon - timedelta(days=day)
            run.started_at, run.idle_since, run.idle_seconds = begun, begun + 14 * HOUR, 3 * 3600
            stored = BackupSet(
                id=f"20261101T020000Z-000{day}", template_id=row.template_id, run_id=run.id,
                type=BackupType.FULL, state=SetState.COMPLETE, started_at=begun, finished_at=begun,
                sources=["/data"],
            )  # fmt: skip
            session.add(stored)
        row.last_success_time = noon - timedelta(days=1)
        session.flush()
        [first, *_] = entries = calendar.entries(session, noon, noon + timedelta(days=3))
        assert first.opens == noon.replace(hour=20)
        assert (first.planned.seconds, first.nights) == (11 * 3600, 2)
        [text] = needs.short_nights(entries)
        assert "nightly on 2026-11-25: about 11.0 h" in str(text)
    with database.transaction() as session:
        given = {"when": {"type": "daily", "at": "13:00"}, "backup": {"sources": ["/data"]}}
        document = {"schedules": {"nightly": {**given, "window": "20:00-02:00"}}}
        changed = file.read(document, {"time_zone": "UTC", "drive": "tape0"})
        [change] = sync.differences(session, changed, prune=False)
        [text] = preview.of(session, changed, change, noon).short
        assert "20:00-02:00" in str(text)
