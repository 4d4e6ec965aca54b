"""Copies of archives on other tapes: they keep their tape, and their set if its own tape is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import views
from db.engine import Database
from db.models import ArchiveCopy, BackupArchive, BackupSet, TapeCartridge
from db.sets import amounts, catalog, imports
from db.sets.as_json import sets_json
from db.tapes import cartridges, copies, kin, listing, permits, volumes
from db.tapes.facts import LoadedTapes
from policy.tapes.facts import SetState
from policy.tapes.permit import Denial
from tests.integration.db.tapes.test_missing_means_kept import (
    FUTURE,
    NOW,
    PAST,
    add,
    denials,
    shelf,
    tape,
)

__all__ = ["shelf"]


def row(session: Session, number: int) -> TapeCartridge:
    return session.scalars(select(TapeCartridge).where(TapeCartridge.tape_id == str(number))).one()


def copied(session: Session, set_id: str, to: int) -> None:
    """All archives of a set have a copy on a tape."""
    for archive in catalog.get(session, set_id).archives:
        copies.enter(session, archive, row(session, to))
    session.flush()


def places(session: Session, set_id: str) -> list[tuple[str, int]]:
    """Where the archives of a set are."""
    session.expire_all()
    return [(each.cartridge.tape_id, each.generation) for each in catalog.get(session, set_id).archives]


def copies_of(session: Session, set_id: str) -> list[str]:
    query = select(TapeCartridge.tape_id).join(ArchiveCopy, copies.here(ArchiveCopy))
    return sorted(session.scalars(query.where(ArchiveCopy.set_id == set_id)))


def formatted(session: Session, number: int) -> None:
    """Somebody has formatted a tape."""
    after = tape(number, volume_uuid=f"new-{number}", empty=True)
    cartridges.formatted(session, row(session, number).id, tape(number), after)


def test_a_tape_with_a_copy_of_a_kept_set_is_kept(shelf: Database) -> None:
    """By the format permit, in both ways of gathering its facts; after its end, both tapes are free."""
    with shelf.transaction() as session:
        stored = add(session, "F", 1, "files", 1, retention_until=FUTURE)
        add(session, "F2", 4, "files", 9, retention_until=FUTURE)
        assert denials(session, 2) == {Denial.FOREIGN_DATA}
        copied(session, "F", 2)
        assert denials(session, 1) == denials(session, 2) == {Denial.RETAINED_SETS}
        stored.retention_until = PAST
        session.flush()
        assert denials(session, 1) == denials(session, 2) == set()


def test_a_copy_of_the_newest_full_set_keeps_both_tapes(shelf: Database) -> None:
    """A copy makes its original no easier to erase, and is none itself."""
    with shelf.transaction() as session:
        add(session, "F", 1, "files", 1)
        assert denials(session, 1) == {Denial.NEWEST_FULL}
        copied(session, "F", 2)
        assert denials(session, 1) == denials(session, 2) == {Denial.NEWEST_FULL}


def test_a_short_look_sees_copies(shelf: Database) -> None:
    """Calendar and reminders load only the sets that decide."""
    with shelf.transaction() as session:
        add(session, "F", 1, "files", 1, retention_until=FUTURE)
        add(session, "OWN", 2, "files", 2, retention_until=FUTURE + timedelta(days=9))
        add(session, "OLD", 3, "mail", 3)
        for to in (2, 3):
            copied(session, "F", to)
        loaded = LoadedTapes(session, look=False)
        loaded.look_briefly(session, [row(session, each).id for each in (2, 3)], NOW, None)
        seen = {each: {stored.id for stored in loaded.known(row(session, each).id).sets} for each in (2, 3)}
        assert seen == {2: {"F", "OWN"}, 3: {"F", "OLD"}}
        [bound] = loaded.bounds(session, TapeCartridge.tape_id == "3").values()
        assert bound.begun >= session.scalars(select(ArchiveCopy.copied_at)).first()


def test_lists_count_copies(shelf: Database) -> None:
    """The page of the tapes, a tape's own, the sets as JSON."""
    with shelf.transaction() as session:
        add(session, "F", 1, "files", 1, retention_until=FUTURE)
        copied(session, "F", 2)
        assert [each["sets"] for each in views.tapes_counted(session)] == [1, 1, 0, 0]
        assert [each["id"] for each in views.tape_json(session, row(session, 2))["sets"]] == ["F"]
        kept = listing.kept(session, [row(session, each).id for each in (1, 2, 3)])
        assert {tape: each.sets for tape, each in kept.items()} == {
            row(session, 1).id: 1,
            row(session, 2).id: 1,
        }
        [(stored, generation, size)] = amounts.ever_on(session, row(session, 2), 9)
        assert (stored.id, generation, size) == ("F", 1, 1)
        [as_json] = sets_json(session, [stored])
        [copy] = as_json["copies"]
        assert (as_json["tapes"], copy["tape"], copy["archives"]) == (["1"], "2", 1)
        assert permits.named_sets(session, tape(2)["label"]) == ("F",)


def test_an_empty_tape_that_only_its_label_names_is_not_the_one_with_the_copy(shelf: Database) -> None:
    with shelf.transaction() as session:
        add(session, "F", 1, "files", 1)
        nameless = tape(2, volume_uuid=None, medium_serial=None, empty=True)
        assert cartridges.recognise(session, nameless) is not None
        copied(session, "F", 2)
        assert cartridges.recognise(session, nameless) is None


def test_a_full_tape_counts_its_copies(shelf: Database) -> None:
    with shelf.transaction() as session:
        add(session, "F", 1, "files", 1)
        add(session, "G", 2, "files", 2)
        copied(session, "F", 2)
        cartridges.filled(session, row(session, 2).id)
        session.expire_all()
        assert row(session, 2).bytes_used == 2


def test_a_set_lasts_as_long_as_one_of_its_tapes(shelf: Database) -> None:
    """Its own tape is formatted: the copy is the set from now on. Then that is formatted, too."""
    with shelf.transaction() as session:
        add(session, "F", 1, "files", 1)
        copied(session, "F", 2)
        copied(session, "F", 3)
        formatted(session, 3)
        assert (places(session, "F"), copies_of(session, "F")) == ([("1", 1)], ["2"])
        formatted(session, 1)
        assert (places(session, "F"), copies_of(session, "F")) == ([("2", 1)], [])
        stored = catalog.get(session, "F")
        assert (stored.state, stored.cartridge_id) == (SetState.COMPLETE, row(session, 2).id)
        assert "F" not in session.scalars(kin.on(row(session, 1))).all()
        formatted(session, 2)
        session.expire_all()
        assert catalog.get(session, "F").state is SetState.DESTROYED


def test_a_set_of_which_only_a_part_has_a_copy_is_destroyed(shelf: Database) -> None:
    with shelf.transaction() as session:
        stored = add(session, "F", 1, "files", 1)
        copied(session, "F", 2)
        rest = {"cartridge_id": row(session, 1).id, "generation": 1, "bytes": 1, "files": 0}
        more = BackupArchive(set_id="F", number=2, name="y", sha256="", content_bytes=0, record={}, **rest)
        session.add(more)
        session.flush()
        formatted(session, 1)
        session.refresh(stored)
        assert stored.state is SetState.DESTROYED


@pytest.mark.parametrize("missing", ["copy", "original"])
def test_what_is_missing_on_one_tape_is_still_on_the_other(shelf: Database, missing: str) -> None:
    """An import that does not find a copy destroys nothing; nor one that does not find the original."""
    with shelf.transaction() as session:
        add(session, "F", 1, "files", 1)
        copied(session, "F", 2)
        lacks, has = (2, 1) if missing == "copy" else (1, 2)
        assert imports.destroy_missing(session, row(session, lacks), []) == []
        assert (places(session, "F"), copies_of(session, "F")) == ([(str(has), 1)], [])
        assert [each.id for each in imports.destroy_missing(session, row(session, has), [])] == ["F"]


def as_found(session: Session, number: int, **facts: Any) -> BackupArchive:
    """The archive of set F as a tape describes it."""
    cartridge = row(session, number)
    known = {"name": "x", "bytes": 1, "sha256": "", "files": 0, "content_bytes": 0, "record": {}, **facts}
    return BackupArchive(
        set_id="F", number=1, cartridge_id=cartridge.id, generation=cartridge.generation, **known
    )


def test_a_set_that_has_lost_one_of_its_tapes_is_not_complete_when_the_other_is_imported(
    shelf: Database,
) -> None:
    """Its archives follow one another in the catalogue, but the tape of the first was formatted."""
    with shelf.transaction() as session:
        stored = add(session, "F", 1, "files", 1)
        stored.run_id = None
        second = BackupArchive(
            set_id="F", number=2, cartridge_id=row(session, 2).id, generation=1, name="x", bytes=1, sha256="",
            files=0, content_bytes=0, record={"follows": 1},
        )  # fmt: skip
        session.add(second)
        stored.archives[0].record = {"follows": None}
        session.flush()
        assert imports.settle(session, "F").state is SetState.COMPLETE
        formatted(session, 1)
        session.expire_all()
        assert catalog.get(session, "F").state is SetState.DESTROYED
        imports._found_again(catalog.get(session, "F"), row(session, 2))
        assert imports.settle(session, "F").state is SetState.INCOMPLETE


def test_an_archive_that_is_known_elsewhere_is_entered_as_a_copy(shelf: Database) -> None:
    """Once, and only if it is the same; where the known place was formatted over, it is the archive."""
    with shelf.transaction() as session:
        add(session, "F", 1, "files", 1)
        assert not imports.add_archive(session, as_found(session, 3, sha256="another"), [])
        for number in (1, 2, 2):
            assert not imports.add_archive(session, as_found(session, number), [])
        assert (places(session, "F"), copies_of(session, "F")) == ([("1", 1)], ["2"])
        copies.drop(session, row(session, 2), ["F"])
        formatted(session, 1)
        stored = catalog.get(session, "F")
        assert stored.state is SetState.DESTROYED
        imports._found_again(stored, row(session, 2))
        assert not imports.add_archive(session, as_found(session, 2), [])
        assert (places(session, "F"), copies_of(session, "F")) == ([("2", 1)], [])


def test_a_set_that_was_missing_is_where_it_is_found(shelf: Database) -> None:
    """Its tape lost it without a format that the catalogue knows: it is read where it was found."""
    with shelf.transaction() as session:
        add(session, "F", 1, "files", 1)
        assert imports.destroy_missing(session, row(session, 1), [])
        imports._found_again(catalog.get(session, "F"), row(session, 2))
        imports.add_archive(session, as_found(session, 2), [])
        assert places(session, "F") == [("2", 1)]


def test_two_rows_of_one_cartridge_become_one_with_its_copies(shelf: Database) -> None:
    """A drive that reads no chips had entered the cartridge a second time."""
    with shelf.transaction() as session:
        add(session, "F", 1, "files", 1)
        add(session, "G", 1, "files", 2)
        for each in ("F", "G"):
            copied(session, each, 3)
        row(session, 3).medium_serial = None
        row(session, 2).volume_uuid = None
        copied(session, "F", 2)
        session.flush()
        volumes.take_over(session, row(session, 2), tape(2, volume_uuid="uuid-3"))
        assert (copies_of(session, "F"), copies_of(session, "G")) == (["2"], ["2"])
        query = select(BackupSet.id).where(BackupSet.id.in_(kin.on(row(session, 2))))
        assert set(session.scalars(query)) == {"F", "G"}
