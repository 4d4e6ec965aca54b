"""What needs somebody is named, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from sqlalchemy.orm import Session

from dashboard.pages.today import shown
from db import alerts, failures
from db.admin import alive, processes
from db.admin.processes import Reading
from db.engine import Database
from db.models import BackupSet, ChainRun, Drive, Notification, Process, ScheduledTask, TapeCartridge
from db.report import well
from db.runs import starting, transitions
from db.schedules import calendar, planner, schedules
from db.schedules.needs import needed
from db.sets import catalog
from db.states import BackupType, RunState, Trigger
from db.tapes import cartridges, drives
from policy.message import M
from policy.tapes.facts import CartridgeState, SetState
from policy.times.period import ScheduleType

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
DAILY: dict[str, Any] = {
    "schedule_type": ScheduleType.DAILY, "schedule_config": {"at": "02:00"}, "time_zone": "UTC",
}  # fmt: skip


def concerns(session: Session, moment: datetime = NOW) -> list[alerts.Alert]:
    ahead = calendar.entries(session, moment, moment + timedelta(days=7))
    return alerts.alerts(session, moment, ahead, lambda seen: moment - seen > timedelta(minutes=5))


def said(database: Database, moment: datetime = NOW) -> list[str]:
    with database.transaction() as session:
        return [str(each.message) for each in concerns(session, moment)]


def end(session: Session, run: ChainRun, *states: RunState) -> None:
    for state in states:
        assert transitions.transition(session, run, state, M("the reason"))


def a_run(session: Session, day: int, *states: RunState) -> ChainRun:
    row = schedules.get(session, "nightly")
    due = datetime(2026, 11, day, 2, tzinfo=UTC)
    run = starting.start(session, row, due_at=due, trigger=Trigger.MANUAL)
    assert run is not None
    end(session, run, *states)
    return run


def a_set(
    row: ScheduledTask, tape: TapeCartridge, name: str, state: SetState, damaged: int | None = None
) -> BackupSet:
    return BackupSet(
        id=name, template_id=row.template_id, cartridge_id=tape.id, generation=1, type=BackupType.FULL,
        state=state, sources=[], started_at=datetime(2026, 11, 24, 2, tzinfo=UTC), damaged=damaged,
    )  # fmt: skip


@pytest.fixture
def nightly(database: Database) -> None:
    """A daily schedule that has done its duty; its drive is there, with a tape of this month."""
    medium = {
        "state": "formatted", "label": "TP20261101", "volume_uuid": "v", "serial": None,
        "medium_serial": None, "barcode": None, "empty": False,
        "write_protected": False, "capacity": 10**9, "free": 10**9,
    }  # fmt: skip
    with database.transaction() as session:
        row = schedules.put(session, "nightly", drive="tape0", sources=["/data"], **DAILY)
        row.created_at = datetime(2026, 11, 1, tzinfo=UTC)
        row.last_success_time = datetime(2026, 11, 24, 2, tzinfo=UTC)
        planner.plan(row, NOW)
        drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
        drives.looked(session, "tape0", medium)
        tape = TapeCartridge(
            tape_id="TP20261101", label="TP20261101", state=CartridgeState.ACTIVE, generation=1,
            volume_uuid="v", capacity=10**9,
        )  # fmt: skip
        session.add(tape)
        session.flush()
        catalog.add_set(session, a_set(row, tape, "20261124T020000Z-0001", SetState.COMPLETE))
        session.query(drives.Drive).update({"last_seen_at": NOW})
    enter(database, "beat@h")


def enter(database: Database, name: str, **facts: Any) -> None:
    """A process that runs, and what it knows of its settings."""
    reading = {"file": "/etc/t.toml", "channels": [], "behind": [], "problem": None, **facts}
    with database.transaction() as session:
        processes.enter(session, Reading(name=name, host="h", read_at=datetime.now(UTC), **reading))


def test_nothing_is_said_when_all_is_well(database: Database, nightly: None) -> None:
    assert said(database) == []


def test_a_failure_is_named_until_a_run_of_the_schedule_ends_well(database: Database, nightly: None) -> None:
    """Once, as the failure that it is; that the backup is owed follows from it."""
    with database.transaction() as session:
        schedules.get(session, "nightly").last_success_time = datetime(2026, 11, 22, 2, tzinfo=UTC)
        run = a_run(session, 23, RunState.RUNNING, RunState.FAILED)
        assert [each.may_retry for each in concerns(session)] == [True]
    assert said(database) == [f"Run {run.id} of schedule 'nightly' has failed: the reason"]
    with database.transaction() as session:
        a_run(session, 24, RunState.RUNNING, RunState.SUCCEEDED)
    assert said(database) == []


def test_a_failure_that_was_dismissed_needs_nobody(database: Database, nightly: None) -> None:
    """Neither as a failure nor as what it owes; the next night that is missed is owed again."""
    with database.transaction() as session:
        schedules.get(session, "nightly").last_success_time = datetime(2026, 11, 22, 2, tzinfo=UTC)
        run = a_run(session, 24, RunState.RUNNING, RunState.FAILED)
        failures.dismiss(session, run.id, requested_by="li", why="the source is away")
    assert said(database) == []
    assert said(database, NOW + timedelta(days=1))[1:2] == [
        "Schedule 'nightly' owes a backup that was due 2026-11-25 02:00 (UTC)."
    ]


def test_a_cancelled_run_leaves_its_backup_owed(database: Database, nightly: None) -> None:
    """So does one that was skipped or missed; while another is under way nothing is said."""
    with database.transaction() as session:
        schedules.get(session, "nightly").last_success_time = datetime(2026, 11, 22, 2, tzinfo=UTC)
        a_run(session, 23, RunState.CANCELLED)
    assert said(database) == ["Schedule 'nightly' owes a backup that was due 2026-11-23 02:00 (UTC)."]
    with database.transaction() as session:
        a_run(session, 24, RunState.RUNNING)
    assert said(database) == []


def test_a_cancelled_run_makes_up_for_no_failure(database: Database, nightly: None) -> None:
    """What 'runs retry --all-failed' would retry is what needs somebody."""
    with database.transaction() as session:
        failed = a_run(session, 23, RunState.RUNNING, RunState.FAILED)
        a_run(session, 24, RunState.CANCELLED)
        assert [each.run for each in concerns(session) if each.may_retry] == [failed.id]
        assert [each.run_id for each in failures.standing(session)] == [failed.id]


def test_a_failure_before_one_that_was_dismissed_needs_nobody(database: Database, nightly: None) -> None:
    """The newest failure stands for all before it."""
    with database.transaction() as session:
        a_run(session, 22, RunState.RUNNING, RunState.FAILED)
        newest = a_run(session, 23, RunState.RUNNING, RunState.FAILED)
        failures.dismiss(session, newest.id, requested_by="li", why="the source is away")
        assert not [each for each in concerns(session) if each.may_retry]


def test_a_run_that_waits_for_a_tape_is_named(database: Database, nightly: None) -> None:
    with database.transaction() as session:
        run = a_run(session, 24, RunState.RUNNING, RunState.WAITING_FOR_TAPE)
        [found] = concerns(session)
    assert (found.run, found.drive, found.is_urgent) == (run.id, "tape0", True)
    assert "waits for a tape: the reason" in str(found.message)


def test_silence_of_a_drive_and_of_beat_is_named(database: Database, nightly: None) -> None:
    later = NOW + timedelta(days=1)
    assert said(database, later) == [
        "nightly was due 2026-11-25 02:00 (UTC) and has not started: is beat running?",
        "Schedule 'nightly' owes a backup that was due 2026-11-25 02:00 (UTC).",
        "The worker of drive tape0 on h is silent: is it running?",
    ]


def test_tapes_in_doubt_and_damaged_sets_are_named(database: Database, nightly: None) -> None:
    with database.transaction() as session:
        for name, state in (("A", "unknown"), ("B", "error"), ("C", "retired"), ("D", "full")):
            tape = TapeCartridge(tape_id=name, label=name, state=CartridgeState(state), generation=1)
            session.add(tape)
            session.flush()
        row = schedules.get(session, "nightly")
        for number, state in enumerate((SetState.COMPLETE, SetState.DESTROYED)):
            damaged = a_set(row, tape, f"20261101T000000Z-000{number}", state, damaged=3)
            catalog.add_set(session, damaged)
    assert said(database) == [
        "A format of tape A was cut off: look at it, then: tapeline tape mark A active (or retired)",
        "Tape B had a write error: nothing writes on it. Take it out of use: tapeline tape mark B retired",
        "Set 20261101T000000Z-0000: its verification found 3 damaged. Back up again:"
        " tapeline schedule run NAME --type full; then: tapeline sets expire 20261101T000000Z-0000",
    ]


def test_a_channel_that_takes_nothing_and_a_broken_schedule_are_named(
    database: Database, nightly: None
) -> None:
    with database.transaction() as session:
        entry = {"error": "no route", "first_tried_at": NOW.isoformat(), "tried_at": NOW.isoformat()}
        session.add(Notification(about="x", event="ready", occurrence=1, facts={}, deliveries={"ops": entry}))
        schedules.get(session, "nightly").schedule_config = {"at": "25:00"}
    broken, channel = said(database)
    assert broken.startswith("nightly: schedule_config.at")
    assert channel == "Channel ops does not take messages: no route"


@pytest.mark.parametrize("ending", [{}, {"failed_at": NOW.isoformat()}])
def test_a_channel_that_works_again_needs_nobody(
    database: Database, nightly: None, ending: dict[str, str]
) -> None:
    """Also while a message that it did not take before still waits for its next attempt."""
    tried = {"error": "no route", "first_tried_at": NOW.isoformat(), "tried_at": NOW.isoformat(), **ending}
    with database.transaction() as session:
        for number, entry in enumerate((tried, {"sent_at": (NOW + timedelta(minutes=1)).isoformat()})):
            deliveries = {"ops": entry}
            session.add(
                Notification(about=f"x{number}", event="ready", occurrence=1, facts={}, deliveries=deliveries)
            )
    assert said(database) == []


def test_the_tape_of_the_next_run_is_asked_for_in_time(database: Database, nightly: None) -> None:
    """In the last days of a month; not long before, and as something to prepare."""
    with database.transaction() as session:
        schedules.get(session, "nightly").last_success_time = datetime(2026, 11, 30, 2, tzinfo=UTC)
        session.query(drives.Drive).update({"last_seen_at": NOW + timedelta(days=6)})
        planner.plan(schedules.get(session, "nightly"), NOW + timedelta(days=6))
        [found] = concerns(session, NOW + timedelta(days=6))
    assert not found.is_urgent
    assert str(found.message) == "Before 2026-12-01 02:00 (UTC): put a blank tape into tape0 for nightly."


@pytest.mark.parametrize(
    ("schedule_type", "config", "success", "owed"),
    [
        (ScheduleType.DAILY, {"at": "02:00"}, 24, None),
        (ScheduleType.DAILY, {"at": "02:00"}, 20, 21),
        # By hand before its day: that month needs nothing more.
        (ScheduleType.MONTHLY, {"day": 20, "at": "02:00"}, 3, None),
        (ScheduleType.MONTHLY, {"day": 20, "at": "02:00"}, None, 20),
        # A Friday's success; nothing was due on Saturday and Sunday.
        (ScheduleType.CRON, {"expression": "0 2 * * 1-5"}, 20, 23),
        (ScheduleType.MANUAL, {}, None, None),
    ],
)
def test_what_a_schedule_owes_follows_its_periods(
    schedule_type: ScheduleType, config: dict[str, Any], success: int | None, owed: int | None
) -> None:
    """Days of November, at two o'clock; whoever is disabled owes nothing."""

    def day(number: int | None) -> datetime | None:
        return datetime(2026, 11, number, 2, tzinfo=UTC) if number else None

    row = ScheduledTask(
        name="x", enabled=True, schedule_type=schedule_type, schedule_config=config, time_zone="UTC",
        tape_policy="rotate", created_at=day(2), last_success_time=day(success),
    )  # fmt: skip
    assert planner.owed_since(row, NOW) == day(owed)
    row.enabled = False
    assert planner.owed_since(row, NOW) is None


def test_the_next_run_and_its_tape_are_of_one_run_that_writes(database: Database, nightly: None) -> None:
    """Whose backup is there already is skipped; a label that nobody has written yet is in no drive."""
    friday = {"schedule_type": ScheduleType.WEEKLY, "schedule_config": {"day": "friday", "at": "03:00"}}
    with database.transaction() as session:
        row = schedules.put(session, "weekly", drive="tape0", sources=["/data"], time_zone="UTC", **friday)
        row.created_at, row.last_success_time = NOW - timedelta(days=9), NOW - timedelta(hours=20)
        planner.plan(row, NOW)
        assert row.next_run_time == datetime(2026, 11, 27, 3, tzinfo=UTC)
        session.flush()
        ahead = calendar.entries(session, NOW, NOW + timedelta(days=14))
        first = {
            name: shown(schedules.get(session, name), NOW, None, ahead) for name in ("weekly", "nightly")
        }
        december = next(each for each in ahead if each.planned.at.month == 12)
        times = list(islice(planner.to_write(row, NOW), 2))
    assert first["weekly"]["next"] == "2026-12-04T03:00:00+00:00"
    assert str(first["weekly"]["needs"]) == "TP20261201, which an earlier run will leave in the drive"
    assert first["nightly"]["next"] == "2026-11-25T02:00:00+00:00"
    assert str(first["nightly"]["needs"]) == "TP20261101, in the drive"
    assert str(needed(december)) == "insert a blank tape"
    assert [at.day for at in times] == [4, 11]


@pytest.mark.parametrize(
    ("label", "needs"),
    [
        (None, "the blank tape in the drive: it becomes TP20261201"),
        ("TP20251101", "TP20251101, in the drive: it becomes TP20261201"),
    ],
)
def test_a_tape_in_the_drive_that_gets_another_label_is_told_by_what_it_is(
    database: Database, nightly: None, label: str | None, needs: str
) -> None:
    said = {"state": "formatted" if label else "blank", "label": label, "medium_serial": "m", "empty": True}
    with database.transaction() as session:
        if label:
            cartridges.update_label(session, original=None, medium=said)
        drives.looked(session, "tape0", said)
        schedules.get(session, "nightly").tape_policy = "rotate"
        [entry, *_] = calendar.entries(session, NOW + timedelta(days=7), NOW + timedelta(days=8))
        assert str(needed(entry)) == needs


def test_what_is_not_backed_up_by_itself_is_named(database: Database, nightly: None) -> None:
    """One that is off, in small; all of them, as urgent, also beside one that never runs by itself. What was
    planned of one that is off is neither shown nor called late."""
    later = NOW + timedelta(days=1)
    with database.transaction() as session:
        schedules.put(session, "other", drive="tape0", sources=["/data"], enabled=False, **DAILY)
        session.query(drives.Drive).update({"last_seen_at": later})
        planner.plan(schedules.get(session, "nightly"), later)
        by_hand = {"schedule_type": ScheduleType.MANUAL, "schedule_config": {}}
        schedules.put(session, "demo", drive="tape0", sources=["/data"], **by_hand)
    assert said(database, later) == [
        "Switched off, and not backed up by itself: other",
        "Schedule 'nightly' owes a backup that was due 2026-11-25 02:00 (UTC).",
    ]
    with database.transaction() as session:
        row = schedules.get(session, "nightly")
        row.enabled, row.next_run_time = False, NOW
        assert schedules.as_json(row)["next_run_time"] is None
        [off] = concerns(session, later)
    assert off.is_urgent
    assert str(off.message) == (
        "Every schedule is switched off: nothing is backed up by itself. Enable those that shall run:"
        " nightly, other"
    )
    with database.transaction() as session:
        session.query(ScheduledTask).filter(ScheduledTask.name != "demo").delete()
        [none] = concerns(session, later)
    assert not none.is_urgent
    assert str(none.message) == "No schedule has times: nothing is backed up by itself."


def test_a_schedule_that_has_made_no_backup_is_named(database: Database, nightly: None) -> None:
    """With when the first is due; not while a run of it is named as what it is."""
    with database.transaction() as session:
        row = schedules.get(session, "nightly")
        row.last_success_time, row.created_at = None, NOW
        [found] = concerns(session)
    assert not found.is_urgent
    assert str(found.message) == "nightly has made no backup yet; the first is due 2026-11-25 02:00 (UTC)."
    with database.transaction() as session:
        a_run(session, 24, RunState.RUNNING)
        assert concerns(session) == []


def test_that_no_beat_runs_is_named(database: Database, nightly: None) -> None:
    """Nothing would start what is due; where nothing is due by itself, none is needed."""
    with database.transaction() as session:
        session.query(Process).delete()
        [found] = concerns(session)
        assert found.is_urgent
        assert str(found.message) == "No beat runs: nothing starts a run when it is due."
        schedules.get(session, "nightly").schedule_type = ScheduleType.MANUAL
        assert "No beat runs" not in {str(each.message) for each in concerns(session)}


def test_what_drive_and_tape_warn_of(database: Database) -> None:
    """After their last run; a tape that nothing is written on any more warns of nothing."""
    alert, wear = M("{count} alerts", count=1).to_json(), M("{count} loads", count=9).to_json()
    with database.transaction() as session:
        drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
        session.get_one(Drive, "tape0").alerts = [alert]
        for name, state in (("A", CartridgeState.FULL), ("B", CartridgeState.RETIRED)):
            session.add(TapeCartridge(tape_id=name, state=state, wear=[wear], bytes_used=0))
    assert said(database, datetime.now(UTC)) == ["1 alerts", "9 loads"]


def test_who_learns_how_a_run_went(database: Database) -> None:
    """Nobody, where no process that delivers knows a channel; one that works with older settings is named."""

    def entered(name: str, **facts: Any) -> list[str]:
        enter(database, name, **facts)
        return said(database, datetime.now(UTC))

    assert entered("tape@h") == []
    assert entered("control@h") == ["No channel is set up: nobody learns how a run went."]
    assert entered("control@g", channels=["ops"]) == []
    assert entered("tape@h", behind=["drives"]) == [
        "tape@h has older settings than /etc/t.toml: drives. Start it anew."
    ]
    problem = M("Correct it.").to_json()
    assert entered("tape@h", problem=problem) == [
        "tape@h cannot read /etc/t.toml as it is now and works with what it read before: Correct it."
    ]


def test_a_sign_of_life_that_does_not_go_out_is_named_and_keeps_none_back(database: Database) -> None:
    """Or the first failure would be the last attempt; anything else that is urgent keeps it back."""
    with database.transaction() as session:
        assert well.against_a_sign_of_life(session, lambda _seen: False) is None
        assert alive.is_due(session, "ping_alive_url", timedelta(minutes=5))
        assert not alive.is_due(session, "ping_alive_url", timedelta(minutes=5))
        alive.sent(session, M("The channel is closed."))
        session.flush()
        [alert] = [each for each in concerns(session) if each.topic is alerts.Topic.ALIVE]
        assert "does not go out: The channel is closed." in str(alert.message)
        assert alert.is_urgent
        assert well.against_a_sign_of_life(session, lambda _seen: False) is None
        drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
        against = well.against_a_sign_of_life(session, lambda _seen: True)
        assert "is silent" in str(against)
        alive.sent(session, None)
        session.flush()
        assert not [each for each in concerns(session) if each.topic is alerts.Topic.ALIVE]


def test_several_beats_ask_and_one_sign_of_life_goes_out(database: Database) -> None:
    """Again after half of the time, because no two clocks are in step; the row of another setting is gone."""
    with database.transaction() as session:
        every = timedelta(seconds=60)
        assert alive.is_due(session, "ping_alive_url", every)
        row = alive.last(session)
        assert row is not None
        row.considered_at -= timedelta(seconds=29)
        session.flush()
        assert not alive.is_due(session, "ping_alive_url", every)
        row.considered_at -= timedelta(seconds=2)
        session.flush()
        assert alive.is_due(session, "ping_alive_url", every)
        alive.forget(session)
        assert alive.last(session) is None
