"""The shelf loads at once what is asked for one by one elsewhere; the answers are the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import BackupArchive, BackupSet, ScheduledTask, TapeCartridge
from db.schedules import schedules
from db.sets import catalog
from db.states import BackupType
from db.tapes import cartridges, mounts
from db.tapes.facts import LoadedTapes
from policy.message import M
from policy.tapes.facts import CartridgeState, SetState
from tests import statements

BEGAN = datetime(2026, 10, 1, tzinfo=UTC)


def a_tape(session: Session, name: str, generation: int = 2) -> TapeCartridge:
    tape = TapeCartridge(
        tape_id=name, label=name, state=CartridgeState.ACTIVE, generation=generation, volume_uuid=name
    )
    session.add(tape)
    session.flush()
    return tape


def a_set(session: Session, row: ScheduledTask, day: int, tape: TapeCartridge, **more: object) -> BackupSet:
    stored = BackupSet(
        id=f"202610{day:02d}T000000Z-0001", template_id=row.template_id, cartridge_id=tape.id,
        **{
            "generation": tape.generation, "type": BackupType.FULL, "state": SetState.COMPLETE,
            "sources": ["/data"], "started_at": BEGAN + timedelta(days=day), "keep_sets": 2, **more,
        },
    )  # fmt: skip
    catalog.add_set(session, stored)
    return stored


def an_archive(session: Session, stored: BackupSet, number: int, tape: TapeCartridge) -> None:
    archive = BackupArchive(
        set_id=stored.id, number=number, cartridge_id=tape.id, generation=tape.generation, name="data",
        bytes=1, sha256="0", files=1, content_bytes=1, record={},
    )  # fmt: skip
    catalog.add_archive(session, archive, [])


@pytest.fixture
def tapes(database: Database) -> list[int]:
    """Sets that follow each other, span tapes, compete for being kept, or lie on an earlier generation."""
    with database.transaction() as session:
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        first, second, third = (a_tape(session, name) for name in ("TP20261001", "TP20261002", "empty"))
        a_set(session, row, 1, first, generation=1, state=SetState.DESTROYED)
        full = a_set(session, row, 2, first)
        spanning = a_set(session, row, 3, first)
        for stored, number, tape in ((full, 1, first), (spanning, 1, first), (spanning, 2, second)):
            an_archive(session, stored, number, tape)
        increment = a_set(session, row, 4, second, type=BackupType.INCREMENTAL, parent_id=full.id)
        a_set(session, row, 5, second, type=BackupType.INCREMENTAL, parent_id=increment.id)
        a_set(session, row, 6, second)
        return [first.id, second.id, third.id]


def test_the_shelf_says_of_each_tape_what_the_drive_would(database: Database, tapes: list[int]) -> None:
    """The facts are those that a run finds when the tape is in a drive."""
    with database.transaction() as session:
        shelf = LoadedTapes(session)
        for tape in tapes:
            row = shelf.cartridges[tape]
            medium = {"state": "formatted", "label": row.label, "volume_uuid": row.volume_uuid}
            found, expected = shelf.known(tape), cartridges.tape_facts(session, medium).known
            assert expected is not None
            assert sorted(found.sets, key=lambda each: each.id) == sorted(
                expected.sets, key=lambda each: each.id
            )
            assert (found.tape_id, found.state, found.pool) == (expected.tape_id, expected.state, None)
        assert [each.newer for each in shelf.known(tapes[0]).sets] == [2, 1]
        assert [len(shelf.known(tape).sets) for tape in tapes] == [2, 4, 0]


def test_the_shelf_asks_as_much_for_many_tapes_as_for_one(database: Database, tapes: list[int]) -> None:
    with database.transaction() as session, statements.counted(session) as asked:
        shelf = LoadedTapes(session)
        for tape in tapes:
            shelf.facts(tape)
    assert len(asked) == 5, asked


def test_the_shelf_knows_what_could_not_be_mounted(database: Database, tapes: list[int]) -> None:
    """As a drive in which the tape is does, until it mounts again."""
    with database.transaction() as session:
        row = session.get_one(TapeCartridge, tapes[0])
        medium = {"state": "formatted", "label": row.label, "volume_uuid": row.volume_uuid}
        mounts.failed(session, medium, M("LTFS14013E Cannot mount the volume."))
        found = [LoadedTapes(session).facts(tape).mount_failed for tape in tapes]
        assert found == [M("LTFS14013E Cannot mount the volume."), None, None]
        mounts.worked(session, medium)
        assert LoadedTapes(session).facts(tapes[0]).mount_failed is None
