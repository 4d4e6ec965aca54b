"""Schedules that owe a backup or a word are named, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from dashboard.pages.today import shown
from db import alerts
from db.admin import alive
from db.engine import Database
from db.models import Drive, Process, ScheduledTask, TapeCartridge
from db.report import well
from db.schedules import calendar, planner, schedules
from db.schedules.needs import needed
from db.states import RunState
from db.tapes import cartridges, drives
from policy.message import M
from policy.tapes.facts import CartridgeState
from policy.times.period import ScheduleType
from tests.integration.db.alerting import DAILY, NOW, a_run, concerns, enter, said


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
