"""A set that was imported belongs to the schedule of its name, whichever comes first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import BackupSet
from db.runs import starting
from db.schedules import schedules, sync
from db.schedules.sync import Action
from db.sets import catalog, imports
from db.sets.imports import ImportedSet
from db.states import BackupType, Trigger
from db.tapes import cartridges, kin

MOMENT = datetime(2026, 11, 1, tzinfo=UTC)
ABOUT = {"template": "files", "period": "2026-11", "retention_days": 30, "keep_sets": 2}


def imported(session: Session, about: dict[str, Any]) -> BackupSet:
    medium = {"state": "formatted", "label": "TP20261101", "medium_serial": "m1", "volume_uuid": "u1"}
    cartridge = cartridges.update_label(session, original=None, medium=medium)[0]
    found = ImportedSet(
        id="20261101T000000Z-0001", type=BackupType.FULL, parent=None, sources=["/data"], started_at=MOMENT,
        finished_at=MOMENT, warnings=0, encrypted=False, about=about,
    )  # fmt: skip
    return imports.add_set(session, found, cartridge)


def make(session: Session, name: str) -> int:
    return schedules.put(session, name, drive="tape0", sources=["/data"]).template_id


@pytest.mark.parametrize("is_first", [True, False], ids=["schedules first", "tapes first"])
def test_an_imported_set_belongs_to_the_schedule_of_its_name(database: Database, is_first: bool) -> None:
    """And to no other one; it is kept as long as its tape has it."""
    with database.transaction() as session:
        if is_first:
            template = make(session, "files")
        stored = imported(session, ABOUT)
        make(session, "mail")
        if not is_first:
            assert stored.template_id is None
            template = make(session, "files")
        session.refresh(stored)
        assert stored.template_id == template
        assert (stored.retention_until, stored.keep_sets) == (MOMENT + timedelta(days=30), 2)


@pytest.mark.parametrize("missing", ["retention_days", "keep_sets", "template"])
def test_a_tape_that_does_not_tell_how_long_a_set_is_kept_keeps_it(database: Database, missing: str) -> None:
    """One of the two numbers alone is half of the answer."""
    with database.transaction() as session:
        make(session, "files")
        stored = imported(session, {name: value for name, value in ABOUT.items() if name != missing})
        stored.expired_at = None
        facts = kin.Family(session, select(BackupSet.id)).facts[stored.id]
        assert not facts.may_be_lost(MOMENT + timedelta(days=5000))
        if missing != "template":
            assert (stored.retention_until, stored.keep_sets) == (None, None)


def test_without_its_key_an_encrypted_set_keeps_what_is_known_of_it(database: Database) -> None:
    """Imported once more, without the key: nothing of it is forgotten."""
    with database.transaction() as session:
        template = make(session, "files")
        imported(session, ABOUT)
        stored = imported(session, {})
        assert (stored.template_id, stored.keep_sets, stored.period) == (template, 2, "2026-11")


def is_key(text: str) -> bool:
    return text.startswith("age1")


def test_the_keys_of_a_removed_schedule_count_and_what_is_no_key_does_not(database: Database) -> None:
    """Its sets are in the catalogue; a template whose key is broken stops no other schedule's backup."""
    with database.transaction() as session:
        for name, keys in {"mail": ["age1mail"], "broken": ["nonsense"], "open": []}.items():
            schedules.put(session, name, drive="tape0", sources=["/data"], template={"encrypt_to": keys})
        assert catalog.keys_in_use(session, is_key) == ("age1mail",)
        assert starting.start(session, schedules.get(session, "mail"), due_at=MOMENT, trigger=Trigger.MANUAL)
        changes = sync.differences(session, [], prune=True)
        assert ("mail", Action.ARCHIVE) in {(change.schedule, change.action) for change in changes}
        sync.apply(session, [], changes, MOMENT)
        assert catalog.keys_in_use(session, is_key) == ("age1mail",)
