"""What a consumed permit is about to destroy is gone from that moment on, for whoever would build on it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import BackupSet, ChainRun, now
from db.runs import admission, starting, transitions
from db.schedules import schedules
from db.sets import catalog, lineage
from db.states import BackupType, RunState, Trigger
from db.tapes import cartridges, kin, permits
from policy.message import M
from policy.tapes.facts import CartridgeState, SetState
from policy.tapes.permit import Decision

ALLOWED = Decision(True, (), (M("past"),), ())
NEWEST = "20261102T000000Z-0002"


def tape(serial: str) -> dict[str, Any]:
    marks = {"medium_serial": serial, "volume_uuid": f"u{serial}"}
    return {"state": "formatted", "label": f"TP2026110{serial}", **marks}


def full(session: Session, serial: str, template_id: int) -> BackupSet:
    cartridge, _ = cartridges.update_label(session, original=None, medium=tape(serial))
    moment = now() - timedelta(days=10 - int(serial))
    stored = BackupSet(
        id=f"2026110{serial}T000000Z-000{serial}", type=BackupType.FULL, state=SetState.COMPLETE,
        sources=["/"], started_at=moment, finished_at=moment, keep_sets=1, template_id=template_id,
        cartridge_id=cartridge.id, generation=cartridge.generation,
    )  # fmt: skip
    catalog.add_set(session, stored)
    return stored


def holder(session: Session, name: str, drive: str) -> ChainRun:
    row = schedules.put(session, name, drive=drive, sources=["/data"])
    assert starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL)
    run = admission.admit(session, drive)
    assert run
    return run


def built_on(session: Session, template_id: int) -> tuple[str | None, bool, int]:
    """What an increment would follow, whether the older full set is the newest, and how many are newer."""
    parent = lineage.parent_for(session, template_id, BackupType.INCREMENTAL)
    oldest = kin.Family(session, select(BackupSet.id)).facts["20261101T000000Z-0001"]
    return parent.id if parent else None, oldest.is_newest_full, oldest.newer


@pytest.mark.parametrize("ends", ["fails to begin", "is never read", "succeeds"])
def test_nothing_is_built_on_what_is_being_formatted(database: Database, ends: str) -> None:
    """Not while the program is at work, nor while nobody has read what it left; a format that was not begun
    changes nothing."""
    before = (NEWEST, False, 1)
    without = ("20261101T000000Z-0001", True, 0)
    with database.transaction() as session:
        run = holder(session, "other", "tape1")
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        for serial in ("1", "2"):
            full(session, serial, row.template_id)
        permit = permits.store(session, run, tape("2"), "TP20261103", ALLOWED)
        assert built_on(session, row.template_id) == before
        permits.consume(session, permit.id, now())
        assert built_on(session, row.template_id) == without
        match ends:
            case "fails to begin":
                permits.close(session, permit.id, {"ok": False, "started": False})
                assert built_on(session, row.template_id) == before
            case "is never read":
                transitions.transition(session, run, RunState.FAILED)
                assert built_on(session, row.template_id) == without
                found = cartridges.recognise(session, tape("2"))
                assert found is not None
                assert found.state is CartridgeState.UNKNOWN
                cartridges.mark(session, found.id, CartridgeState.ACTIVE)
                assert built_on(session, row.template_id) == before
            case _:
                permits.close(session, permit.id, {"ok": True, "started": True})
                after = {**tape("2"), "volume_uuid": "new", "label": "TP20261103"}
                cartridges.formatted(session, None, tape("2"), after, permit_id=permit.id)
                assert built_on(session, row.template_id) == without
                session.refresh(catalog.get(session, NEWEST))
                assert catalog.get(session, NEWEST).state is SetState.DESTROYED


def test_nothing_is_built_on_what_was_found_damaged(database: Database) -> None:
    """An increment follows the newest set that is sound."""
    with database.transaction() as session:
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        for serial in ("1", "2"):
            full(session, serial, row.template_id)
        catalog.get(session, NEWEST).damaged = 1
        session.flush()
        parent = lineage.parent_for(session, row.template_id, BackupType.INCREMENTAL)
        assert parent is not None
        assert parent.id == "20261101T000000Z-0001"
