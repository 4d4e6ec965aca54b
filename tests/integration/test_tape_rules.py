"""The rules by which a run takes or refuses a tape, from the rows that they are asked about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from db import cartridges, runs, schedules
from db.engine import Database
from db.models import BackupSet, ChainRun, now
from db.states import BackupType, Trigger
from policy.tapes import CartridgeState, SetState
from tasks import tape_rules

LAST_YEAR = datetime(2025, 11, 1, 2, tzinfo=UTC)
WITHOUT_LABEL = {"state": "formatted", "label": None, "medium_serial": "m1", "empty": False}


def run_at_tape0(session: Session, **options: Any) -> ChainRun:
    """A run by hand that has the drive."""
    row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
    assert runs.start(session, row, due_at=now(), trigger=Trigger.MANUAL, options=options)
    run = runs.admit(session, "tape0")
    assert run
    return run


def full_and_kept(session: Session, medium: cartridges.Medium) -> None:
    """The cartridge of a medium is full, and a set on it is kept for ever."""
    row, _ = cartridges.update_label(session, original=None, medium={**medium, "label": "TP20251101"})
    row.state = CartridgeState.FULL
    session.add(
        BackupSet(
            id="20251101T020000Z-0001",
            type=BackupType.FULL,
            state=SetState.COMPLETE,
            sources=["/"],
            started_at=LAST_YEAR,
            finished_at=LAST_YEAR,
            cartridge_id=row.id,
            generation=row.generation,
        )
    )
    session.flush()


@pytest.mark.parametrize("named", [{}, {"erase_label": "TP20251101"}])
def test_a_full_tape_without_a_label_is_refused_as_full(database: Database, named: dict[str, str]) -> None:
    """Where nobody has named a label, a tape that has none is not the one that was named."""
    with database.transaction() as session:
        full_and_kept(session, WITHOUT_LABEL)
        run = run_at_tape0(session, **named)
        wrong = tape_rules.refusal(session, run, cartridges.tape_facts(session, WITHOUT_LABEL))
        assert "is full" in str(wrong)


def test_a_full_tape_that_was_named_is_no_longer_too_full(database: Database) -> None:
    """The operator has said that what is on it may go."""
    said = {**WITHOUT_LABEL, "label": "TP20251101"}
    with database.transaction() as session:
        full_and_kept(session, said)
        run = run_at_tape0(session, erase_label="TP20251101")
        assert tape_rules.refusal(session, run, cartridges.tape_facts(session, said)) is None
