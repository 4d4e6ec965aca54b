"""How long the word holds that a tape which LTFS cannot read may be erased."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from db.engine import Database
from db.models import ErasableTape, now
from db.tapes import (
    cartridges,
    drives,
    erasable,
    permits,
)
from policy.message import M
from policy.tapes.permit import Decision
from tests.integration.db.tapes.test_permits import run_at

NAMED = {"state": "foreign", "medium_serial": "M1", "drive": "tape0"}
UNNAMED = {"state": "foreign", "drive": "tape0"}
ALLOWED = Decision(True, (), (M("said so"),), ())


@pytest.mark.parametrize("tape", [NAMED, UNNAMED])
def test_it_holds_for_this_tape_alone(database: Database, tape: dict[str, Any]) -> None:
    """Neither another cartridge, nor one of which nothing tells in another drive, nor one with a volume."""
    with database.transaction() as session:
        assert not cartridges.tape_facts(session, tape).is_blank
        erasable.confirm(session, "tape0", tape, "eve")
        assert cartridges.tape_facts(session, tape).is_blank
        for other in (
            {**NAMED, "medium_serial": "M2"},
            {**UNNAMED, "drive": "tape1"},
            {**tape, "state": "unreadable"},
            {**tape, "state": "formatted"},
        ):
            assert not cartridges.tape_facts(session, other).is_blank


def test_a_named_one_is_known_in_any_drive(database: Database) -> None:
    """Its serial tells it; what nothing tells is another tape."""
    with database.transaction() as session:
        erasable.confirm(session, "tape0", NAMED, "eve")
        assert erasable.is_confirmed(session, {**NAMED, "drive": "tape1"})
        assert not erasable.is_confirmed(session, UNNAMED)


@pytest.mark.parametrize("tape", [NAMED, UNNAMED])
def test_it_is_used_once(database: Database, tape: dict[str, Any]) -> None:
    """With the permit, before the format program starts; whose it was is kept."""
    with database.transaction() as session:
        erasable.confirm(session, "tape0", tape, "eve")
        permit = permits.store(session, run_at(session, "tape0"), tape, "TP20261101", ALLOWED)
        permits.consume(session, permit.id, now())
        assert not erasable.is_confirmed(session, tape)
        used = session.scalars(select(ErasableTape)).one()
        assert (used.permit_id, used.confirmed_by) == (permit.id, "eve")


@pytest.mark.parametrize("seen", [{"state": "no_medium"}, {"state": "formatted", "label": "X"}, NAMED])
def test_what_nothing_tells_ends_with_its_stay_in_the_drive(database: Database, seen: dict[str, Any]) -> None:
    """Something else was seen there: what comes next may be another tape. A named one stays what it is."""
    with database.transaction() as session:
        drives.register(session, name="tape0", driver="ltfs", host="h", worker="w", queue="tape")
        erasable.confirm(session, "tape0", UNNAMED, "eve")
        erasable.confirm(session, "tape0", {**NAMED, "medium_serial": "M9"}, "eve")
        drives.looked(session, "tape0", UNNAMED)
        assert erasable.is_confirmed(session, UNNAMED)
        drives.looked(session, "tape0", seen)
        assert not erasable.is_confirmed(session, UNNAMED)
        assert erasable.is_confirmed(session, {**NAMED, "medium_serial": "M9"})


def test_what_nothing_tells_holds_for_a_day(database: Database) -> None:
    """Nobody remembers longer which tape was meant."""
    with database.transaction() as session:
        erasable.confirm(session, "tape0", UNNAMED, "eve")
        session.execute(update(ErasableTape).values(confirmed_at=now() - timedelta(hours=25)))
        assert not erasable.is_confirmed(session, UNNAMED)
