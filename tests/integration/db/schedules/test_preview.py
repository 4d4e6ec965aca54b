"""What a change of a schedule would do, before it is made: and nothing stays of the look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import BackupSet, TapeCartridge
from db.schedules import preview, schedules, sync
from db.schedules.sync import Action, ScheduleChange
from db.sets import catalog
from db.states import BackupType
from policy.schedule import file
from policy.schedule.file import WantedSchedule
from policy.tapes.facts import CartridgeState, SetState
from policy.times.period import ScheduleType

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DEFAULTS = {"time_zone": "UTC", "drive": "tape0"}


@pytest.fixture
def seeded(database: Database) -> Database:
    """Two schedules on one drive; the older one has one full set, which is past its retention."""
    with database.transaction() as session:
        row = schedules.put(
            session, "monthly", drive="tape0", sources=["/srv"], tape_policy="rotate",
            schedule_config={"day": 1, "at": "02:00"}, template={"retention_days": 30},
        )  # fmt: skip
        schedules.put(
            session, "weekly", drive="tape0", sources=["/srv"], schedule_type=ScheduleType.WEEKLY,
            schedule_config={"day": "friday", "at": "20:00"},
        )  # fmt: skip
        tape = TapeCartridge(
            tape_id="TP20260901",
            label="TP20260901",
            generation=1,
            formatted_at=NOW,
            state=CartridgeState.ACTIVE,
        )
        session.add(tape)
        session.flush()
        at = NOW - timedelta(days=90)
        stored = BackupSet(
            id="20260901T020000Z-0001", template_id=row.template_id, cartridge_id=tape.id, generation=1,
            type=BackupType.FULL, state=SetState.COMPLETE, sources=["/srv"], started_at=at, finished_at=at,
            retention_until=at + timedelta(days=30), run_id=None,
        )  # fmt: skip
        catalog.add_set(session, stored)
        session.execute(text("UPDATE backup_sets SET expired_at = :at"), {"at": at})
    return database


def look(session: Session, change: ScheduleChange, **fields: Any) -> preview.SchedulePreview:
    return preview.of(session, wanted(change.schedule, **fields), change, NOW)


def wanted(name: str, **fields: Any) -> list[WantedSchedule]:
    given = {"when": {"type": "monthly", "day": 1, "at": "02:00"}, "backup": {"sources": ["/srv"]}, **fields}
    return file.read({"schedules": {name: given}}, DEFAULTS)


def everything(session: Session) -> list[tuple[str, dict[str, Any]]]:
    return [(row.name, dict(sync.shown(row))) for row in schedules.present(session)]


def test_a_new_schedule_has_times_and_takes_the_tape_of_others(seeded: Database) -> None:
    """Its runs are in the calendar, and what changes for others is named."""
    with seeded.transaction() as session:
        before = everything(session)
        found = look(
            session, ScheduleChange("nightly", Action.CREATE), when={"type": "daily", "at": "02:30"},
            time_zone="Asia/Shanghai",
        )  # fmt: skip
        assert [at.isoformat() for at in found.times[:2]] == [
            "2026-11-30T18:30:00+00:00",
            "2026-12-01T18:30:00+00:00",
        ]
        assert {each.planned.schedule for each in found.tapes} == {"nightly"}
        assert found.moved[0].schedule == "nightly"
        assert found.moved[0].before is None
        others = [each for each in found.moved if each.schedule != "nightly"]
        assert (others[0].schedule, others[0].at.day) == ("weekly", 4)
        labels = [entry.label for entry in (others[0].before, others[0].after) if entry is not None]
        assert labels == ["TP20261201", "TP20261202"]
        assert (found.sets, found.lost) == (0, [])
    with seeded.transaction() as session:
        assert everything(session) == before


def test_a_changed_time_moves_its_own_runs(seeded: Database) -> None:
    """What is compared with is the schedule as it is, not as it would be."""
    with seeded.transaction() as session:
        same = {"tape_policy": "rotate", "backup": {"sources": ["/srv"], "retention_days": 30}}
        found = look(
            session,
            ScheduleChange("monthly", Action.CHANGE),
            when={"type": "monthly", "day": 3, "at": "02:00"},
            **same,
        )
        own = [each for each in found.moved if each.schedule == "monthly"]
        assert {each.at.day for each in own if each.before is None} == {3}
        assert {each.at.day for each in own if each.after is None} == {1}
        assert schedules.get(session, "monthly").schedule_config["day"] == 1


def test_what_is_the_same_changes_nothing(seeded: Database) -> None:
    with seeded.transaction() as session:
        fields = {"tape_policy": "rotate", "backup": {"sources": ["/srv"], "retention_days": 30}}
        found = look(session, ScheduleChange("monthly", Action.CHANGE), **fields)
        assert (found.moved, found.lost, found.sets) == ([], [], 1)
        assert found.times[0].isoformat() == "2026-12-01T02:00:00+00:00"


def test_a_shorter_retention_frees_no_set_and_a_removal_the_newest_full_one(seeded: Database) -> None:
    """Each set keeps the retention with which it was written; the newest full one is kept for a schedule."""
    with seeded.transaction() as session:
        shorter = {"tape_policy": "rotate", "backup": {"sources": ["/srv"], "retention_days": 1}}
        assert look(session, ScheduleChange("monthly", Action.CHANGE), **shorter).lost == []
        change = sync.removal(session, schedules.get(session, "monthly"))
        assert change.action is Action.ARCHIVE
        found = preview.of(session, [], change, NOW)
        assert found.lost == ["20260901T020000Z-0001"]
        assert found.times == []
        assert {each.after for each in found.moved if each.schedule == "monthly"} == {None}
    with seeded.transaction() as session:
        assert schedules.get(session, "monthly").archived_at is None


def test_a_disabled_schedule_has_no_times(seeded: Database) -> None:
    with seeded.transaction() as session:
        found = look(session, ScheduleChange("monthly", Action.CHANGE), enabled=False)
        assert (found.times, found.tapes) == ([], [])
        assert all(each.after is None for each in found.moved if each.schedule == "monthly")


def test_nothing_is_committed_by_a_look(seeded: Database) -> None:
    """Not even the savepoint: it is rolled back, whatever happens within it."""
    ends: list[str] = []
    with seeded.transaction() as session:
        event.listen(session, "after_soft_rollback", lambda *_: ends.append("rollback"))
        look(session, ScheduleChange("new", Action.CREATE))
        assert ends
        assert not session.new
        assert [row.name for row in schedules.present(session)] == ["monthly", "weekly"]


def test_the_end_of_a_long_calendar_is_no_change(seeded: Database) -> None:
    """The calendar is cut after so many runs: what is behind the cut has not changed."""
    with seeded.transaction() as session:
        for number in range(40):
            schedules.put(
                session, f"hourly-{number}", drive="tape1", sources=["/srv"],
                schedule_type=ScheduleType.INTERVAL, schedule_config={"every": "1h"},
            )  # fmt: skip
        found = look(
            session, ScheduleChange("new", Action.CREATE), when={"type": "cron", "expression": "30 * * * *"}
        )
        assert found.until < NOW + timedelta(days=2)
        assert {each.schedule for each in found.moved if each.after is None} == set()
        assert len([each for each in found.moved if each.schedule == "new"]) > 20


def test_a_yearly_schedule_shows_its_first_tape(seeded: Database) -> None:
    with seeded.transaction() as session:
        when = {"type": "yearly", "month": 10, "day": 1, "at": "02:00"}
        found = look(session, ScheduleChange("yearly", Action.CREATE), when=when)
        assert [each.planned.at for each in found.tapes] == [found.times[0]]
        assert found.until == found.times[0]
