"""The calendar from real rows: drives, cartridges, earlier sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import BackupArchive, BackupSet, ScheduledTask, TapeCartridge
from db.schedules import calendar, schedules
from db.sets import catalog
from db.states import BackupType
from db.tapes import cartridges, drives
from policy.tapes.facts import CartridgeState, SetState
from policy.times.period import ScheduleType
from tests import earlier

GB = 10**9
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def earlier_set(
    session: Session, row: ScheduledTask, tape: TapeCartridge, size: int, finished: datetime
) -> None:
    number = f"{finished:%Y%m%dT%H%M%SZ}-ab"
    catalog.add_set(
        session,
        BackupSet(
            id=number,
            template_id=row.template_id,
            cartridge_id=tape.id,
            generation=tape.generation,
            type=BackupType.FULL,
            state=SetState.COMPLETE,
            sources=["/data"],
            started_at=finished,
            finished_at=finished,
            retention_until=finished + timedelta(days=20),
            run_id=earlier.known(session, finished)["run_id"],
        ),
    )
    archive = BackupArchive(
        set_id=number, number=1, cartridge_id=tape.id, generation=tape.generation, name="data-000001.tar",
        bytes=size, sha256="0", files=1, content_bytes=2 * size, record={},
    )  # fmt: skip
    catalog.add_archive(session, archive, [])


@pytest.fixture
def row(database: Database) -> ScheduledTask:
    """A monthly schedule in rotation, planned; with sets of 10, 20 and 90 GB on November's tape."""
    with database.transaction() as session:
        row = schedules.put(
            session, "monthly", drive="tape0", sources=["/data"], time_zone="Asia/Shanghai",
            tape_policy="rotate", schedule_type=ScheduleType.MONTHLY,
            schedule_config={"day": 1, "at": "02:00"}, template={"retention_days": 20},
        )  # fmt: skip
        tape = TapeCartridge(
            tape_id="TP20261001", label="TP20261001", state=CartridgeState.ACTIVE, generation=1,
            bytes_used=120 * GB, capacity=200 * GB, volume_uuid="u-1",
        )  # fmt: skip
        session.add(tape)
        session.flush()
        for day, size in ((1, 10), (2, 20), (3, 90)):
            earlier_set(session, row, tape, size * GB, datetime(2026, 10, day, tzinfo=UTC))
    return row


def test_the_calendar_knows_the_tapes_and_the_median_of_earlier_sets(
    database: Database, row: ScheduledTask
) -> None:
    """The only tape holds the newest full backup, so December needs a blank one and January takes it."""
    with database.transaction() as session:
        december, january = calendar.entries(session, NOW, NOW + timedelta(days=40))
    assert december.planned.at == datetime(2026, 11, 30, 18, tzinfo=UTC)
    assert (december.tape_id, december.label, december.planned.size) == (None, "TP20261201", 20 * GB)
    assert (december.used_before, december.used_after, december.capacity) == (0, 20 * GB, 200 * GB)
    assert (january.tape_id, january.label, january.format) == ("TP20261001", "TP20270101", True)
    assert len(january.erases) == 3


def test_what_is_in_the_drive_counts_as_loaded(database: Database, row: ScheduledTask) -> None:
    """A blank tape in the drive is used; it is as large as the drive says."""
    medium = {
        "state": "blank", "label": None, "volume_uuid": None, "serial": None, "medium_serial": "m-9",
        "barcode": "B9", "empty": True, "write_protected": False, "capacity": 300 * GB, "free": 300 * GB,
    }  # fmt: skip
    with database.transaction() as session:
        drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
        drives.looked(session, "tape0", medium)
    with database.transaction() as session:
        [december] = calendar.entries(session, NOW, NOW + timedelta(days=10))
        assert cartridges.recognise(session, medium) is None
    assert (december.tape_id, december.insert, december.format) == (None, False, True)
    assert december.capacity == 300 * GB


def test_broken_and_disabled_schedules_are_not_in_the_calendar(
    database: Database, row: ScheduledTask
) -> None:
    """What does not fire needs no tape, and does not keep the others from being shown."""
    with database.transaction() as session:
        schedules.put(session, "broken", drive="tape0", sources=["/data"], schedule_config={"day": 77})
        schedules.put(session, "off", drive="tape0", sources=["/data"], enabled=False)
    with database.transaction() as session:
        found = calendar.entries(session, NOW, NOW + timedelta(days=10))
    assert [entry.planned.schedule for entry in found] == ["monthly"]


def test_a_period_that_has_its_backup_needs_no_tape(database: Database, row: ScheduledTask) -> None:
    """December's run was made by hand on its first day, before it was due: the next one is January's."""
    with database.transaction() as session:
        schedules.get(session, "monthly").last_success_time = datetime(2026, 11, 30, 17, tzinfo=UTC)
    with database.transaction() as session:
        found = calendar.entries(session, NOW, NOW + timedelta(days=40))
    assert [entry.planned.at for entry in found] == [datetime(2026, 12, 31, 18, tzinfo=UTC)]
