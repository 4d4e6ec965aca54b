"""Missing means kept, over a real catalogue: rows are gone, columns are empty, tapes were not imported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from db.admin import holds
from db.engine import Database
from db.models import BackupArchive, BackupSet, ChainRun, ScheduledTask, TapeCartridge
from db.schedules import schedules
from db.sets import catalog
from db.states import BackupType
from db.tapes import cartridges, permits
from db.tapes.facts import LoadedTapes
from policy.tapes.facts import CartridgeState, SetState
from policy.tapes.permit import Denial, decide
from tests import earlier

NOW = datetime(2026, 11, 24, tzinfo=UTC)
PAST, FUTURE = NOW - timedelta(days=1), NOW + timedelta(days=30)
TAPES = 4


def tape(number: int, **more: Any) -> dict[str, Any]:
    """What a drive reports of a tape with files."""
    return {
        "state": "formatted", "label": f"TP20250{number}01", "volume_uuid": f"uuid-{number}",
        "medium_serial": f"chip-{number}", "serial": None, "barcode": None, "empty": False, **more,
    }  # fmt: skip


def add(
    session: Session, name: str, on: int, template: str, day: int, parent: str | None = None, **values: Any
) -> BackupSet:
    """A set that its own run has entered, with an archive on a tape."""
    row = session.scalars(select(ScheduledTask).where(ScheduledTask.name == template)).one()
    cartridge = session.scalars(select(TapeCartridge).where(TapeCartridge.tape_id == str(on))).one()
    facts = {
        "type": BackupType.INCREMENTAL if parent else BackupType.FULL,
        "state": SetState.COMPLETE, "retention_until": PAST, **values,
    }  # fmt: skip
    moment = NOW - timedelta(days=400 - day)
    stored = BackupSet(
        id=name, template_id=row.template_id, run_id=earlier.known(session, moment)["run_id"],
        parent_id=parent, cartridge_id=cartridge.id, generation=1, sources=["/"], started_at=moment,
        finished_at=moment, **facts,
    )  # fmt: skip
    session.add(stored)
    session.flush()
    archive = BackupArchive(
        set_id=name, number=1, cartridge_id=cartridge.id, generation=1, name="x", bytes=1, sha256="",
        files=0, content_bytes=0, record={},
    )  # fmt: skip
    session.add(archive)
    session.flush()
    return stored


@pytest.fixture
def shelf(database: Database) -> Database:
    """Two schedules in rotation, and tapes without a set."""
    with database.transaction() as session:
        for name in ("files", "mail"):
            schedules.put(session, name, drive="tape0", sources=["/data"], tape_policy="rotate")
        for number in range(1, TAPES + 1):
            medium = tape(number)
            session.add(
                TapeCartridge(
                    tape_id=str(number), label=medium["label"], volume_uuid=medium["volume_uuid"],
                    medium_serial=medium["medium_serial"], generation=1, state=CartridgeState.ACTIVE,
                )
            )  # fmt: skip
    return database


def denials(session: Session, number: int, schedule: str = "files", **more: Any) -> set[Denial]:
    """Why a run of a schedule may not format a tape; both ways of gathering its facts agree."""
    medium = tape(number, **more)
    facts = cartridges.tape_facts(session, medium)
    if facts.known is not None:
        assert sorted(facts.known.sets, key=str) == sorted(
            LoadedTapes(session).known(facts.known.id).sets, key=str
        )
    return set(decide(permits.facts_for(session, schedules.get(session, schedule), facts, NOW)).denials)


def test_a_full_set_is_kept_for_an_increment_that_is_not_whole(shelf: Database) -> None:
    """Full ← incomplete ← complete and kept: a tape of the one between was not imported."""
    with shelf.transaction() as session:
        add(session, "F", 1, "files", 1)
        add(session, "I1", 2, "files", 2, "F", state=SetState.INCOMPLETE)
        add(session, "I2", 3, "files", 3, "I1", retention_until=FUTURE)
        add(session, "F2", 4, "files", 9)
        assert denials(session, 1) == {Denial.RETAINED_SETS}
        catalog.get(session, "I2").retention_until = PAST
        session.flush()
        assert denials(session, 1) == set()


def test_a_damaged_newest_full_does_not_stand_in_for_the_good_one(shelf: Database) -> None:
    """Neither as the newest full one nor in the number that is kept."""
    with shelf.transaction() as session:
        add(session, "GOOD", 1, "files", 1)
        add(session, "BAD", 2, "files", 2, damaged=3, verified_at=PAST)
        assert denials(session, 1) == {Denial.NEWEST_FULL}
        assert denials(session, 2) == set()
        add(session, "M1", 3, "mail", 1, keep_sets=1, retention_until=None)
        add(session, "M2", 4, "mail", 2, keep_sets=1, retention_until=None, damaged=1, verified_at=PAST)
        assert Denial.RETAINED_SETS in denials(session, 3)


def test_the_newest_full_of_another_schedule_is_kept_too(shelf: Database) -> None:
    """Its backups may have failed for longer than they are kept. One that was removed has none to come."""
    with shelf.transaction() as session:
        add(session, "M", 1, "mail", 1)
        assert denials(session, 1, "files") == {Denial.NEWEST_FULL}
        schedules.get(session, "mail").archived_at = NOW
        session.flush()
        assert denials(session, 1, "files") == set()


@pytest.mark.parametrize("claim", [{"empty": True}, {"state": "blank", "label": None, "volume_uuid": None}])
def test_a_tape_that_contradicts_the_catalogue_is_not_formatted(
    shelf: Database, claim: dict[str, Any]
) -> None:
    """It reads as empty, and by the catalogue a kept set is on it: until the set is marked by name."""
    with shelf.transaction() as session:
        stored = add(session, "F", 1, "files", 1, retention_until=None)
        add(session, "F2", 2, "files", 2)
        assert denials(session, 1, **claim) == {Denial.CONTRADICTION}
        stored.expired_at = NOW
        session.flush()
        assert denials(session, 1, **claim) == set()


def test_an_imported_set_is_kept_until_a_person_answers_for_it(shelf: Database) -> None:
    """What follows it may be on a tape that was not imported."""
    with shelf.transaction() as session:
        add(session, "F", 1, "files", 1).run_id = None
        add(session, "F2", 2, "files", 2)
        assert denials(session, 1) == {Denial.RETAINED_SETS}


def test_a_set_from_before_a_restore_is_kept_until_a_person_answers_for_it(shelf: Database) -> None:
    """The copy has it with its run; what was written after the copy was made follows it unseen. Neither the
    release of what is held nor a new full set changes that; the mark does."""
    with shelf.transaction() as session:
        full = add(session, "F", 1, "files", 1)
        add(session, "F2", 2, "files", 2)
        assert denials(session, 1) == set()
        holds.hold_everything(session)
        for row in (*session.scalars(select(ChainRun)), *schedules.present(session)):
            holds.adopt(session, row)
        add(session, "F3", 3, "files", 3)
        assert denials(session, 1) == {Denial.RETAINED_SETS}
        full.expired_at = NOW
        session.flush()
        assert denials(session, 1) == set()


COLUMNS: list[dict[str, Any]] = [
    {"template_id": None},
    {"retention_until": None, "keep_sets": None},
    {"parent_id": None},
    {"run_id": None},
    {"run_id": None, "state": SetState.INCOMPLETE},
    {"home": "another"},
    {"cartridge_id": None},
    {"expired_at": None},
]
SETS = st.fixed_dictionaries(
    {
        "on": st.integers(1, TAPES),
        "template": st.sampled_from(["files", "mail"]),
        "follows": st.booleans(),
        "retention_until": st.sampled_from([PAST, PAST, PAST, FUTURE, None]),
        "keep_sets": st.sampled_from([None, None, 1, 2]),
        "state": st.sampled_from([SetState.COMPLETE] * 4 + [SetState.INCOMPLETE, SetState.DESTROYED]),
        "expired_at": st.sampled_from([None, None, PAST]),
    }
)
WORLD = st.lists(SETS, min_size=1, max_size=7)


def build(session: Session, world: list[dict[str, Any]]) -> list[str]:
    """The sets of a world, one a day; an increment follows the newest before it of its template."""
    newest: dict[str, str] = {}
    names = []
    for day, each in enumerate(world, start=1):
        facts = dict(each)
        on, template, follows = facts.pop("on"), facts.pop("template"), facts.pop("follows")
        name = f"2025010{day}T000000Z-0000"
        add(session, name, on, template, day, newest.get(template) if follows else None, **facts)
        newest[template] = name
        names.append(name)
    return names


def may_be_away(stored: BackupSet, away: dict[str, Any]) -> bool:
    """A set that a person has marked while its template was not known may go: that is what he was asked."""
    if "template_id" in away and stored.expired_at is not None:
        return False
    return "state" not in away or stored.state is SetState.COMPLETE


def allowed(session: Session, **more: Any) -> set[tuple[int, str]]:
    session.expire_all()
    return {
        (number, schedule)
        for number in range(1, TAPES + 1)
        for schedule in ("files", "mail")
        if not denials(session, number, schedule, **more)
    }


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=WORLD, data=st.data())
def test_no_column_that_is_empty_allows_a_format(
    shelf: Database, world: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Any columns of any sets, and what a drive may not report of its tape."""
    with shelf.transaction() as session:
        names = build(session, world)
        before = allowed(session)
        for name in names:
            for away in data.draw(st.lists(st.sampled_from(COLUMNS), max_size=2)):
                if may_be_away(catalog.get(session, name), away):
                    session.execute(update(BackupSet).where(BackupSet.id == name).values(**away))
        if data.draw(st.booleans()):
            session.execute(update(TapeCartridge).values(volume_uuid=None))
        unread = data.draw(st.sampled_from(["volume_uuid", "medium_serial", "label", "empty"]))
        assert allowed(session, **{unread: None}) <= before
        session.rollback()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=WORLD, imported=st.sets(st.integers(1, TAPES)))
def test_no_tape_that_is_not_imported_allows_a_format(
    shelf: Database, world: list[dict[str, Any]], imported: set[int]
) -> None:
    """A catalogue that is made again of some of the tapes: what they do not have is not known."""
    with shelf.transaction() as session:
        build(session, world)
        before = allowed(session)
        rows = session.execute(select(TapeCartridge.id, TapeCartridge.tape_id))
        unknown = [number for number, name in rows if int(name) not in imported]
        session.execute(update(BackupSet).values(run_id=None, expired_at=None))
        there = select(BackupSet.id).where(BackupSet.cartridge_id.in_(unknown))
        for name in session.scalars(there).all():
            # Where another one follows it, a place is kept for it.
            place = {
                "template_id": None, "cartridge_id": None, "state": SetState.INCOMPLETE, "parent_id": None,
                "retention_until": None, "keep_sets": None, "started_at": datetime.fromtimestamp(0, UTC),
                "type": BackupType.FULL,
            }  # fmt: skip
            session.execute(update(BackupSet).where(BackupSet.id == name).values(**place))
        session.execute(delete(BackupArchive).where(BackupArchive.cartridge_id.in_(unknown)))
        session.execute(delete(TapeCartridge).where(TapeCartridge.id.in_(unknown)))
        assert allowed(session) <= before
        session.rollback()
