"""What the database decides when something is due: once, late, missed, edited, broken."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from db.engine import Database
from db.models import ChainRun, Notification, RunEvent, ScheduledTask
from db.runs import admission, starting, transitions
from db.schedules import planner, plans, schedules
from db.states import RunState, Trigger
from policy.message import Message
from policy.times.period import ScheduleType
from tests import statements

BEFORE = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
DUE = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def make(database: Database, *, at: datetime = BEFORE, **settings: Any) -> int:
    """A daily schedule at 02:00 UTC, planned at a moment."""
    how = {"schedule_type": ScheduleType.DAILY, "schedule_config": {"at": "02:00"}, "time_zone": "UTC"}
    with database.transaction() as session:
        row = schedules.put(session, "nightly", drive="tape0", sources=["/data"], **{**how, **settings})
        row.created_at = at
    assert attend(database, at) == []
    return row.id


def attend(database: Database, moment: datetime) -> list[ChainRun]:
    """What one look of beat does."""
    with database.transaction() as session:
        numbers = planner.needing_attention(session, moment)
        return [run for number in numbers for run in planner.attend(session, number, moment)]


def row_of(database: Database) -> ScheduledTask:
    with database.transaction() as session:
        return session.scalars(select(ScheduledTask)).one()


def end(database: Database, run: ChainRun, state: RunState = RunState.SUCCEEDED) -> None:
    """Let a queued run run and end."""
    with database.transaction() as session:
        admitted = admission.admit(session, "tape0")
        assert admitted
        assert admitted.id == run.id
        transitions.transition(session, admitted, state)


def events(database: Database) -> list[str]:
    with database.transaction() as session:
        said = select(Notification.event).where(Notification.event != "started").order_by(Notification.id)
        return list(session.scalars(said))


def test_a_schedule_fires_when_it_is_due_and_is_planned_for_the_next_time(database: Database) -> None:
    """Not before, once, and with the moment it was due."""
    make(database)
    assert row_of(database).next_run_time == DUE
    assert attend(database, DUE - timedelta(seconds=1)) == []
    [run] = attend(database, DUE + timedelta(seconds=1))
    assert (run.state, run.due_at, run.trigger) == (RunState.QUEUED, DUE, Trigger.SCHEDULE)
    assert attend(database, DUE + timedelta(seconds=3)) == []
    assert row_of(database).next_run_time == DUE + DAY


def test_two_beats_at_once_fire_once(database: Database) -> None:
    """Each occurrence of many schedules is decided by one of two beats that look at the same moment."""
    with database.transaction() as session:
        for number in range(10):
            schedules.put(
                session,
                f"s{number}",
                drive="tape0",
                sources=["/data"],
                schedule_type=ScheduleType.DAILY,
                schedule_config={"at": "02:00"},
                created_at=BEFORE,
            )
    attend(database, BEFORE)
    barrier = threading.Barrier(2)
    made: list[ChainRun] = []

    def beat() -> None:
        with database.transaction() as session:
            numbers = planner.needing_attention(session, DUE)
        barrier.wait(10)
        for number in numbers:
            with database.transaction() as session:
                made.extend(planner.attend(session, number, DUE))

    beats = [threading.Thread(target=beat) for _ in range(2)]
    for thread in beats:
        thread.start()
    for thread in beats:
        thread.join()
    assert len(made) == 10
    with database.transaction() as session:
        assert len(session.scalars(select(ChainRun)).all()) == 10


def test_after_an_outage_the_latest_is_caught_up_once_and_the_others_are_one_line(
    database: Database,
) -> None:
    """Four nights without beat: one run, one record of the three before it, one message about them."""
    make(database)
    missed, run = attend(database, DUE + 3 * DAY + timedelta(hours=5))
    assert (run.state, run.due_at) == (RunState.QUEUED, DUE + 3 * DAY)
    assert (missed.state, missed.due_at) == (RunState.SKIPPED, DUE + 2 * DAY)
    assert missed.reason
    assert missed.reason["params"] == {"count": "3", "due": "2026-11-24 02:00 (UTC)"}
    assert events(database) == ["missed"]
    with database.transaction() as session:
        told = session.scalars(select(RunEvent.message).where(RunEvent.run_id == run.id)).all()
    assert any(message["id"].startswith("Caught up") for message in told)
    assert row_of(database).next_run_time == DUE + 4 * DAY


def test_a_new_schedule_counts_from_when_it_was_made(database: Database) -> None:
    """What was due before any beat saw the row is caught up like everything else."""
    with database.transaction() as session:
        how = {"schedule_type": ScheduleType.ONCE, "schedule_config": {"at": "2026-11-24T02:00"}}
        row = schedules.put(session, "soon", drive="tape0", sources=["/data"], **how)
        row.created_at = BEFORE
    [run] = attend(database, DUE + timedelta(hours=1))
    assert (run.state, run.due_at) == (RunState.QUEUED, DUE)
    assert row_of(database).next_run_time is None


def test_what_is_later_than_the_grace_time_is_missed(database: Database) -> None:
    """It is recorded with its reason, announced with the command that runs it, and not started."""
    make(database, grace_seconds=3600)
    [missed] = attend(database, DUE + timedelta(hours=1, seconds=1))
    assert (missed.state, missed.due_at) == (RunState.SKIPPED, DUE)
    with database.transaction() as session:
        notification = session.scalars(select(Notification)).one()
    assert notification.event == "missed"
    assert notification.facts["reason"]["params"] == {"due": "2026-11-24 02:00 (UTC)"}
    assert notification.facts["remedy"]["params"] == {"name": "nightly"}
    assert row_of(database).last_success_time is None
    assert row_of(database).next_run_time == DUE + DAY


def test_what_has_its_backup_already_was_not_missed(database: Database) -> None:
    """A run by hand did the period's work while beat was away."""
    make(database, grace_seconds=3600)
    with database.transaction() as session:
        by_hand = starting.start(
            session, schedules.get(session, "nightly"), due_at=DUE + DAY / 24, trigger=Trigger.MANUAL
        )
    assert by_hand
    end(database, by_hand)
    [run] = attend(database, DUE + timedelta(hours=9))
    assert run.state is RunState.SKIPPED
    assert events(database) == ["success", "skipped"]


def test_an_edit_by_hand_in_the_table_is_planned_anew(database: Database) -> None:
    """Plain SQL is enough; what the schedule was is not fired any more."""
    make(database)
    with database.transaction() as session:
        session.execute(text("""UPDATE scheduled_tasks SET schedule_config = '{"at": "03:30"}'"""))
    assert attend(database, BEFORE + timedelta(minutes=1)) == []
    assert row_of(database).next_run_time == DUE + timedelta(minutes=90)
    assert attend(database, DUE + timedelta(minutes=1)) == []


@pytest.mark.parametrize("how", ["enabled = false", "archived_at = now()"])
def test_a_disabled_or_removed_schedule_does_not_fire_and_misses_nothing(
    database: Database, how: str
) -> None:
    """Enabled again months later it starts with its next time."""
    make(database)
    with database.transaction() as session:
        session.execute(text(f"UPDATE scheduled_tasks SET {how}"))
    assert attend(database, BEFORE) == []
    assert row_of(database).next_run_time is None
    assert attend(database, DUE + 60 * DAY) == []
    with database.transaction() as session:
        session.execute(text("UPDATE scheduled_tasks SET enabled = true, archived_at = null"))
    assert attend(database, DUE + 60 * DAY) == []
    assert row_of(database).next_run_time == DUE + 61 * DAY


def test_a_schedule_that_was_changed_after_it_was_due_says_what_was_missed(database: Database) -> None:
    """The old time is not caught up under the new rule, and not passed over in silence either."""
    make(database)
    with database.transaction() as session:
        session.execute(text("""UPDATE scheduled_tasks SET schedule_config = '{"at": "23:00"}'"""))
    [missed] = attend(database, DUE + timedelta(hours=2))
    assert (missed.state, missed.due_at) == (RunState.SKIPPED, DUE)
    assert row_of(database).next_run_time == DUE + timedelta(hours=21)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ('schedule_config = \'{"at": "26:00"}\'', "schedule_config.at: '26:00' is not right here."),
        ("schedule_config = '[]'", "schedule_config: this must be a table of fields."),
        ("schedule_type = 'cron'", "schedule_config.at: there is no such field."),
        ("tape_policy = 'any'", "tape_policy: 'any' is not a tape policy."),
        ("time_zone = 'Mars/Olympus'", "time_zone: 'Mars/Olympus' is not a time zone."),
    ],
)
def test_a_broken_schedule_is_said_once_and_the_others_fire(
    database: Database, broken: str, said: str
) -> None:
    """What was edited into the table wrongly is a message and stands in the list, until it is right again."""
    make(database)
    with database.transaction() as session:
        schedules.put(
            session,
            "other",
            drive="tape0",
            sources=["/data"],
            schedule_type=ScheduleType.DAILY,
            schedule_config={"at": "02:00"},
            created_at=BEFORE,
        )
        session.execute(text(f"UPDATE scheduled_tasks SET {broken} WHERE name = 'nightly'"))
    [reported] = attend(database, BEFORE + timedelta(minutes=1))
    assert reported.state is RunState.SKIPPED
    assert reported.reason
    assert said in str(Message.from_json(reported.reason))
    assert events(database) == ["missed"]
    [run] = attend(database, DUE)
    assert run.state is RunState.QUEUED
    with database.transaction() as session:
        listed = schedules.as_json(schedules.get(session, "nightly"))
        assert listed["problem"]
        session.execute(
            text(
                """UPDATE scheduled_tasks SET schedule_config = '{"at": "05:00"}', schedule_type = 'daily',"""
                " time_zone = 'UTC', tape_policy = 'rotate' WHERE name = 'nightly'"
            )
        )
    assert attend(database, DUE) == []
    with database.transaction() as session:
        assert schedules.get(session, "nightly").next_run_time == DUE + timedelta(hours=3)


def test_a_clock_that_was_ahead_does_not_silence_a_schedule(database: Database) -> None:
    """Planned in 2036 by mistake, it fires again as soon as the clock is right; nothing fires twice."""
    make(database)
    [run] = attend(database, DUE)
    end(database, run)
    _missed, run = attend(database, DUE + 3650 * DAY)
    end(database, run, RunState.FAILED)
    assert attend(database, DUE + timedelta(hours=1)) == []
    assert row_of(database).next_run_time == DUE + DAY
    assert attend(database, DUE - timedelta(hours=1)) == []
    assert attend(database, DUE) == []
    [again] = attend(database, DUE + DAY)
    assert again.due_at == DUE + DAY


def test_an_occurrence_that_meets_an_unfinished_run_is_skipped_with_that_reason(database: Database) -> None:
    """Beat does not pile up runs."""
    make(database)
    [first] = attend(database, DUE)
    [second] = attend(database, DUE + DAY)
    assert (first.state, second.state) == (RunState.QUEUED, RunState.SKIPPED)
    assert events(database) == ["skipped"]


def test_when_the_next_run_that_writes_starts(database: Database) -> None:
    """When it is due; at once, where what was due is still caught up; not for a period that is done."""
    make(database, grace_seconds=3600)

    def start(moment: datetime, success: datetime | None = None) -> datetime | None:
        with database.transaction() as session:
            row = session.scalars(select(ScheduledTask)).one()
            row.last_success_time = success
            return planner.next_start(row, moment)

    assert start(BEFORE) == DUE
    assert start(BEFORE, success=BEFORE) == DUE + DAY
    late = DUE + timedelta(minutes=30)
    assert start(late) == late
    assert start(late, success=DUE) == DUE + DAY
    assert start(DUE + timedelta(hours=2)) == DUE + DAY
    with database.transaction() as session:
        session.scalars(select(ScheduledTask)).one().enabled = False
    assert start(late) is None


ROWS = st.fixed_dictionaries(
    {
        "how": st.sampled_from(
            [
                (ScheduleType.DAILY, {"at": "02:00"}),
                (ScheduleType.WEEKLY, {"at": "02:00", "day": "tuesday"}),
                (ScheduleType.MONTHLY, {"at": "02:00", "day": 24}),
                (ScheduleType.INTERVAL, {"every": "6h"}),
                (ScheduleType.ONCE, {"at": "2026-11-23T02:00"}),
                (ScheduleType.MANUAL, {}),
                (ScheduleType.DAILY, {"at": "never"}),
            ]
        ),
        "created": st.integers(0, 40),
        "success": st.sampled_from([None, 0, 6, 24, 30, 24 * 8, -3]),
        "planned": st.sampled_from([None, 0, 1, 20, 30, 24 * 8, -2, -30]),
        "edit": st.sampled_from([None, None, None, {"enabled": False}, {"tape_policy": "rotate"}]),
        "enabled": st.sampled_from([True, True, True, False]),
    }
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=st.lists(ROWS, min_size=1, max_size=5))
def test_indexes_find_every_schedule_that_needs_something(
    database: Database, world: list[dict[str, Any]]
) -> None:
    """Those that are due, edited or planned too late; and none that may owe a backup is left out."""
    with database.transaction() as session:
        session.execute(text("DELETE FROM scheduled_tasks; DELETE FROM backup_tasks"))
        for number, given_ in enumerate(world):
            kind, config = given_["how"]
            row = schedules.put(
                session, f"s{number}", drive="tape0", sources=["/data"], schedule_type=kind,
                schedule_config=config, enabled=given_["enabled"],
            )  # fmt: skip
            row.created_at = DUE - timedelta(days=given_["created"])
            if given_["success"] is not None:
                row.last_success_time = DUE - timedelta(hours=given_["success"])
            if given_["planned"] is not None:
                planner.plan(row, DUE - timedelta(hours=given_["planned"]))
            for name, value in (given_["edit"] or {}).items():
                setattr(row, name, value)
        session.flush()
        session.expire_all()
        rows = session.scalars(select(ScheduledTask)).all()
        moment = DUE + timedelta(minutes=5)
        wanted = {
            row.id
            for row in rows
            if planner._is_edited(row)
            or planner._is_due(row, moment)
            or planner._is_planned_late(row, moment)
        }
        assert set(planner.needing_attention(session, moment)) == wanted
        in_doubt = {row.id for row in plans.in_doubt(session, moment)}
        for row in rows:
            due = planner.planned_time(row)
            is_late = due is not None and moment - due > planner.PUNCTUAL
            if planner.problem_of(row) or planner.owed_since(row, moment) or is_late:
                assert row.id in in_doubt, row.schedule_config
        firing = {row.id for row in plans.firing(session, moment, 100)}
        assert {row.id for _, row in planner.upcoming(list(rows), moment, 100)} <= firing
        session.rollback()


def test_many_new_schedules_are_planned_together(database: Database) -> None:
    """As many statements for twenty as for two; what has been due of one already is left to be decided."""
    asked = {}
    for size in (2, 20):
        with database.transaction() as session:
            for number in range(size):
                row = schedules.put(
                    session, f"s{number}", drive="tape0", sources=["/data"], schedule_type=ScheduleType.DAILY,
                    schedule_config={"at": "02:00"},
                )  # fmt: skip
                row.created_at = DUE - timedelta(hours=1 if number else 25)
            session.flush()
            numbers = plans.edited(session)
            with statements.counted(session) as sent:
                left = planner.plan_edited(session, numbers, DUE - timedelta(minutes=1))
                session.flush()
            asked[size] = len(sent)
            assert [session.get_one(ScheduledTask, number).name for number in left] == ["s0"]
            assert plans.edited(session) == left
            session.rollback()
    assert asked[2] == asked[20]
