"""A schedule as it is when all is well."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from db.engine import Database
from db.models import TapeCartridge
from db.schedules import planner, schedules
from db.sets import catalog
from db.tapes import drives
from policy.tapes.facts import CartridgeState, SetState
from tests.integration.db.alerting import DAILY, NOW, a_set, enter


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
