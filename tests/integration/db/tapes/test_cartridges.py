"""Which cartridge it is: by its chip, its volume, its barcode; by its label only where nothing else tells."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import BackupArchive, BackupSet, ScheduledTask, TapeCartridge, now
from db.schedules import schedules
from db.sets import catalog
from db.states import BackupType
from db.tapes import cartridges, permits
from policy.tapes.facts import CartridgeState, SetState
from policy.tapes.permit import Denial, decide

LABEL = f"TP{now():%Y%m}01"
OURS: dict[str, Any] = {
    "state": "formatted", "label": LABEL, "volume_uuid": "u1", "serial": None, "medium_serial": "m1",
    "barcode": "A00001L9", "empty": False, "write_protected": False, "capacity": 100, "free": 90,
}  # fmt: skip
ELSEWHERE = {**OURS, "volume_uuid": "u2", "empty": True}
"""The same cartridge, formatted by another program under its old label."""
SECOND = {**OURS, "volume_uuid": "u3", "medium_serial": "m3"}
"""Another site's tape, which has this label, and this barcode, too."""


def tape(
    session: Session, medium: dict[str, Any] = OURS, set_id: str = "20261101T000000Z-0001"
) -> TapeCartridge:
    """A cartridge with a complete set on it that is kept for ever."""
    cartridge, _ = cartridges.update_label(session, original=None, medium=medium)
    on_it = {"cartridge_id": cartridge.id, "generation": cartridge.generation}
    stored = BackupSet(
        id=set_id, type=BackupType.FULL, state=SetState.COMPLETE, sources=["/"], started_at=now(),
        finished_at=now(), **on_it,
    )  # fmt: skip
    catalog.add_set(session, stored)
    archive = BackupArchive(
        set_id=set_id, number=1, name="x", bytes=1, sha256="", files=0, content_bytes=0,
        record={"follows": None, "deleted": 0}, **on_it,
    )  # fmt: skip
    catalog.add_archive(session, archive, [])
    return cartridge


def schedule(session: Session, policy: str = "current_month") -> ScheduledTask:
    return schedules.put(session, "monthly", drive="tape0", sources=["/data"], tape_policy=policy)


def denials(session: Session, medium: dict[str, Any], policy: str = "current_month") -> tuple[Denial, ...]:
    tape = cartridges.tape_facts(session, medium)
    return decide(permits.facts_for(session, schedule(session, policy), tape, now())).denials


@pytest.mark.parametrize("state", [CartridgeState.RETIRED, CartridgeState.ERROR, CartridgeState.UNKNOWN])
@pytest.mark.parametrize("told", ["medium_serial", "barcode"])
def test_a_mark_is_the_cartridges_and_not_the_volumes(
    database: Database, state: CartridgeState, told: str
) -> None:
    """It comes back with another volume and this month's label: what was decided about it is true still."""
    before, after = (
        {**medium, "medium_serial": None, "barcode": None, told: "x"} for medium in (OURS, ELSEWHERE)
    )
    with database.transaction() as session:
        cartridge = tape(session, before)
        cartridges.mark(session, cartridge.id, state)
        assert denials(session, after) == (Denial.BAD_STATE,)
        cartridges.arrived(session, after)
        assert denials(session, after) == (Denial.BAD_STATE,)
        cartridges.update_label(session, original=LABEL, medium=after)
        assert (cartridge.generation, cartridge.state) == (2, state)


@pytest.mark.parametrize("policy", ["current_month", "rotate", "pool:p"])
def test_a_volume_made_elsewhere_is_a_new_generation(database: Database, policy: str) -> None:
    """What was on the one before is destroyed, and named; what a stranger has written is not erased."""
    with database.transaction() as session:
        cartridge = tape(session)
        cartridges.register(session, OURS, cartridge.tape_id, "p" if policy == "pool:p" else None)
        cartridge.state = CartridgeState.FULL
        found, gone = cartridges.arrived(session, ELSEWHERE)
        assert found is cartridge
        assert [(stored.id, stored.state) for stored in gone] == [
            ("20261101T000000Z-0001", SetState.DESTROYED)
        ]
        assert (cartridge.generation, cartridge.volume_uuid, cartridge.state) == (
            2,
            "u2",
            CartridgeState.ACTIVE,
        )
        assert cartridges.arrived(session, ELSEWHERE)[1] == ()
        assert denials(session, ELSEWHERE, policy) == ()
        assert denials(session, {**ELSEWHERE, "empty": False}, policy) == (Denial.FOREIGN_DATA,)


def test_a_second_tape_of_a_label_is_a_row_of_its_own(database: Database) -> None:
    """Ours stays what it was, and each is found again; also where the drive shows nothing of cartridges."""
    by_uuid = {**SECOND, "medium_serial": None, "barcode": None, "volume_uuid": "u4"}
    with database.transaction() as session:
        ours = tape(session)
        for medium in (SECOND, by_uuid, {**SECOND, "medium_serial": "m5", "volume_uuid": "u5"}):
            assert cartridges.tape_facts(session, medium).known is None
            cartridges.update_label(session, original=LABEL, medium=medium)
            found = cartridges.recognise(session, medium)
            assert found is not None
            assert found.id != ours.id
            assert (found.label, found.generation) == (LABEL, 1)
        assert len(set(session.scalars(select(TapeCartridge.tape_id)))) == 4
        assert cartridges.recognise(session, OURS) is ours
        assert (ours.tape_id, ours.volume_uuid, ours.medium_serial) == (LABEL, "u1", "m1")
        assert catalog.get(session, "20261101T000000Z-0001").state is SetState.COMPLETE


def test_a_chip_that_is_read_at_last_brings_two_rows_together(database: Database) -> None:
    """A cartridge of ours was formatted elsewhere and entered at a drive that reads no chips: where its chip
    is read, its sets are found on the one row, and those of the volume before are gone."""
    unread = {**ELSEWHERE, "medium_serial": None, "barcode": None}
    with database.transaction() as session:
        ours = tape(session)
        second = tape(session, unread, "20261101T000000Z-0002")
        assert second.id != ours.id
        found, gone = cartridges.arrived(session, ELSEWHERE)
        assert found is ours
        assert [stored.id for stored in gone] == ["20261101T000000Z-0001"]
        [tape_of] = catalog.tapes(session, "20261101T000000Z-0002")
        assert (tape_of.id, ours.generation, ours.volume_uuid) == (ours.id, 2, "u2")
        known = cartridges.tape_facts(session, ELSEWHERE).known
        assert known is not None
        assert [stored.id for stored in known.sets] == ["20261101T000000Z-0002"]
        assert cartridges.recognise(session, unread) is ours


def test_a_copy_of_a_volume_takes_nothing_from_the_first(database: Database) -> None:
    """Two chips show one volume's UUID: each has its row, and the sets stay on the first."""
    copied = {**OURS, "medium_serial": "m9", "barcode": "A00009L9"}
    with database.transaction() as session:
        ours = tape(session)
        copy, _ = cartridges.update_label(session, original=LABEL, medium=copied)
        assert copy.id != ours.id
        assert (ours.volume_uuid, copy.volume_uuid) == ("u1", None)
        assert cartridges.recognise(session, copied) is copy
        assert cartridges.recognise(session, OURS) is ours
        assert denials(session, copied) == (Denial.FOREIGN_DATA,)
