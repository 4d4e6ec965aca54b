"""The tree of a set at its time, the versions of a file, and the search by name, with indexes and without."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from backup.entry import shown
from celery_app import wiring
from db.engine import Database
from db.models import BackupArchive, BackupSet
from db.schedules import schedules
from db.sets import browsing, catalog, lineage, names, versions
from db.sets.catalog import FileRow
from db.sets.versions import FileSearch
from db.states import BackupType
from policy.errors import UsageError
from policy.paths import order
from policy.tapes.facts import SetState
from tasks.periodic import names as periodic
from tests import many_sets, statements

BEGAN = datetime(2026, 11, 1, 20, tzinfo=UTC)


class Shelf:
    """Sets of one template, each following the one before."""

    def __init__(self, session: Session, sources: list[str] | None = None) -> None:
        self.session = session
        self.tape = many_sets.a_tape(session)
        self.template = schedules.put(
            session, "daily", drive="tape0", sources=sources or ["/data"]
        ).template_id
        self.sets: list[str] = []

    def add(self, files: Iterable[tuple[bytes, str]], sources: list[str] | None = None, **values: Any) -> str:
        """A set with rows of these paths and types; of a deleted file only the path is known."""
        number, at = len(self.sets), BEGAN + timedelta(days=len(self.sets))
        set_id = f"{at:%Y%m%dT%H%M%SZ}-{number:04x}"
        stored = BackupSet(
            id=set_id, template_id=self.template, cartridge_id=self.tape.id, generation=1,
            type=BackupType.INCREMENTAL if self.sets else BackupType.FULL,
            parent_id=self.sets[-1] if self.sets else None, state=SetState.COMPLETE,
            sources=sources or ["/data"], started_at=at, finished_at=at, **values,
        )  # fmt: skip
        catalog.add_set(self.session, stored)
        listed = sorted(files, key=lambda each: order(each[0]))
        rows = [
            FileRow(
                place, shown(os.fsdecode(path)), None if path.isascii() else path, kind, 10 + number,
                10**18 + number, 0, 0, None,
            )
            for place, (path, kind) in enumerate(listed)
        ]  # fmt: skip
        archive = BackupArchive(
            set_id=set_id, number=1, cartridge_id=self.tape.id, generation=1, name="x", bytes=1, sha256="",
            files=len(rows), content_bytes=1, record={},
        )  # fmt: skip
        catalog.add_archive(self.session, archive, iter(rows))
        self.sets.append(set_id)
        return set_id

    def index(self) -> None:
        for set_id in self.sets:
            assert names.index(self.session, set_id)

    def pages(self, path: str, set_id: str | None = None, size: int = 3) -> list[tuple[str, str]]:
        """Every page of a folder: the names, and the last part of the set that has each."""
        chain = lineage.chain(self.session, set_id or self.sets[-1])
        found: list[tuple[str, str]] = []
        after: bytes | None = b""
        while after is not None:
            page = browsing.folder(self.session, chain, path, after, size)
            assert len(page.children) <= size
            assert page.children or after == b""
            found += [(each.name, (each.set_id or "-")[-4:]) for each in page.children]
            after = page.after
        return found


@pytest.mark.parametrize("indexed", [False, True])
def test_a_folder_is_shown_as_it_was(database: Database, indexed: bool) -> None:
    """At each moment: what was changed is newer, what was deleted is gone, and below it too."""
    with database.transaction() as session:
        shelf = Shelf(session)
        shelf.add(
            [(b"/data", "folder"), (b"/data/a", "folder"), (b"/data/a/x", "file"), (b"/data/a-b", "file"),
             (b"/data/z", "file"), (b"/data/a/deep", "folder"), (b"/data/a/deep/y", "file")]
        )  # fmt: skip
        shelf.add([(b"/data/z", "deleted"), (b"/data/a/x", "file"), (b"/data/b", "file")])
        shelf.add(
            [(b"/data/z", "file"), (b"/data/a", "deleted"), (b"/data/a/x", "deleted"),
             (b"/data/a/deep", "deleted"), (b"/data/a/deep/y", "deleted")]
        )  # fmt: skip
        if indexed:
            shelf.index()
        first, second, third = shelf.sets
        assert shelf.pages("/data", first) == [("a", "0000"), ("a-b", "0000"), ("z", "0000")]
        assert shelf.pages("/data", second) == [("a", "0000"), ("a-b", "0000"), ("b", "0001")]
        assert shelf.pages("/data", third) == [("a-b", "0000"), ("b", "0001"), ("z", "0002")]
        assert shelf.pages("/data/a", second) == [("deep", "0000"), ("x", "0001")]
        assert shelf.pages("/data/a", third) == []


def test_the_folders_above_the_sources_are_there(database: Database) -> None:
    """Although no set has a row for them; and the tree begins where all sources are."""
    with database.transaction() as session:
        shelf = Shelf(session)
        sources = ["/srv/mail/in", "/srv/www", "/srv/mail/out/"]
        rows = [(path.rstrip("/").encode(), "folder") for path in sources]
        shelf.add([*rows, (b"/srv/www/index", "file")], sources)
        sets = lineage.chain(session, shelf.sets[0])
        assert browsing.top(sets) == "/srv"
        assert shelf.pages("/") == [("srv", "-")]
        assert shelf.pages("/srv") == [("mail", "-"), ("www", "0000")]
        assert shelf.pages("/srv/mail") == [("in", "0000"), ("out", "0000")]
        assert shelf.pages("/srv/www") == [("index", "0000")]


def test_of_a_folder_of_which_most_was_deleted_every_page_is_full(database: Database) -> None:
    with database.transaction() as session:
        shelf = Shelf(session)
        shelf.add([(f"/data/{number:03}".encode(), "file") for number in range(200)])
        shelf.add([(f"/data/{number:03}".encode(), "deleted") for number in range(199) if number % 67])
        assert shelf.pages("/data", size=2) == [(f"{name:03}", "0000") for name in (0, 67, 134, 199)]


def test_a_page_in_the_middle_reads_no_name_before_it(database: Database) -> None:
    """A folder of very many names: the place of the page before is a bound of the index; a place in another
    set, as after a new full backup, leaves nothing out."""
    with database.transaction() as session:
        shelf = Shelf(session)
        shelf.add([(b"/data/%05d" % number, "file") for number in range(20_000)])
        shelf.add([(b"/data/10000x", "file"), (b"/data/10001", "deleted")])
        shelf.index()
        chain = lineage.chain(session, shelf.sets[-1])
        place = browsing.FolderPlace(shelf.sets[0], 1, 10_000)
        sent: list[tuple[str, Any]] = []
        note = lambda *given: sent.append((given[2], given[3]))  # noqa: E731 - an event's listener
        event.listen(session.get_bind(), "before_cursor_execute", note)
        try:
            page = browsing.folder(session, chain, "/data", b"/data/10000", 3, place=place)
        finally:
            event.remove(session.get_bind(), "before_cursor_execute", note)
        assert [each.name for each in page.children] == ["10000x", "10002", "10003"]
        assert page.place == browsing.FolderPlace(shelf.sets[0], 1, 10_003)
        [read] = [each for each in sent if "ORDER BY" in each[0]]
        plan = session.connection().exec_driver_sql(f"EXPLAIN ANALYZE {read[0]}", read[1]).scalars().all()
        assert not [line for line in plan if "Rows Removed by Filter" in line], plan
        elsewhere = browsing.FolderPlace("x", 1, 19_000)
        other = browsing.folder(session, chain, "/data", b"/data/10000", 3, place=elsewhere)
        assert other.children == page.children


NAMES = st.binary(min_size=1, max_size=3).filter(
    lambda name: not set(name) & set(b"/\0") and name not in (b".", b"..")
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sets=st.lists(
        st.dictionaries(NAMES, st.sampled_from(["file", "deleted"]), max_size=12), min_size=1, max_size=4
    )
)
def test_the_pages_of_a_folder_are_the_tree_of_a_restore(
    database: Database, sets: list[dict[bytes, str]]
) -> None:
    """Whatever bytes the names are of, and whatever the sets changed of them."""
    with database.transaction() as session:
        shelf = Shelf(session)
        for rows in sets:
            shelf.add([(b"/data/" + name, kind) for name, kind in rows.items()])
        chain = lineage.chain(session, shelf.sets[-1])
        expected = [(row.path, row.set_id) for row in lineage.tree(session, chain)]
        found: list[tuple[bytes, str | None]]
        after: bytes | None
        for with_place in (False, True):
            found, after, place = [], b"", None
            while after is not None:
                page = browsing.folder(session, chain, "/data", after, 2, place=place if with_place else None)
                found += [(each.key, each.set_id) for each in page.children]
                after, place = page.after, page.place
            assert found == expected
        session.rollback()


@pytest.mark.parametrize("indexed", [False, True])
def test_a_file_is_found_by_a_part_of_its_name(database: Database, indexed: bool) -> None:
    """Or by a pattern, in any case, of any letters; with a slash by its path."""
    paths = ["/data/Report-2026.PDF", "/data/reports/old.txt", "/data/年度合同.docx", "/data/a!b%c_d\\e",
             "/data/ab", "/data/line\nbreak-xyz", "/data/ctrl\x01abcdef"]  # fmt: skip
    with database.transaction() as session:
        shelf = Shelf(session)
        shelf.add([(path.encode(), "file") for path in paths])
        if indexed:
            shelf.index()
            session.execute(text("SET LOCAL enable_seqscan = off"))
        for pattern, expected in {
            "report": paths[:1], "2026.pdf": paths[:1], "*.PDF": paths[:1], "rep*26?pdf": paths[:1],
            "reports/": [paths[1]], "/data/rep*": paths[:2], "合同": [paths[2]], "同.d": [paths[2]],
            "!b%c_d\\e": [paths[3]], "%": [paths[3]], "ab": [paths[4], paths[6]],
            "b": [paths[number] for number in (3, 4, 5, 6)],
            "xyz": [paths[5]], "abcd": [paths[6]], "\x01abc": [paths[6]], "no such": [], "同合": [],
        }.items():  # fmt: skip
            found = {row["path"] for row in versions.find(session, FileSearch(pattern), 99).versions}
            assert found == {shown(path) for path in expected}, pattern


def test_the_index_is_used(database: Database) -> None:
    """What a statement asks is what the index is made of, word for word."""
    with database.transaction() as session:
        shelf = Shelf(session)
        set_id = shelf.add([(f"/data/f{number}".encode(), "file") for number in range(3000)])
        assert names.unindexed(session) == [set_id]
        shelf.index()
        assert names.unindexed(session) == []
        with statements.counted(session) as sent:
            versions.find(session, FileSearch("f2999"), 9)
            browsing.folder(session, lineage.chain(session, set_id), "/data", size=9)
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plans = [
            session.execute(text(f"EXPLAIN {query}")).scalars().all()
            for query in (
                "SELECT 1 FROM backup_files WHERE file_name_grams(path) @> ARRAY['299', '999']",
                "SELECT 1 FROM backup_files WHERE file_folder(path) = file_folder('/data/.')",
            )
        ]
        assert [any("ix_names_of" in line for line in plan) for plan in plans] == [True, False]
        assert any("ix_folders_of" in line for line in plans[1])
        assert any("file_name_grams(backup_files.path)" in each for each in sent)
        assert any("file_folder(backup_files.path) = file_folder(" in each for each in sent)


def test_a_search_is_paged_newest_first_by_size_and_date_and_counts_the_rest(database: Database) -> None:
    with database.transaction() as session:
        shelf = Shelf(session)
        for _ in range(3):
            shelf.add([(f"/data/scan{number}".encode(), "file") for number in range(5)])
        found: list[tuple[str, str]] = []
        place, left = None, []
        while True:
            page = versions.find(session, FileSearch("scan"), 4, after=place)
            found += [(row["set"], row["path"]) for row in page.versions]
            left.append(page.more)
            place = page.end
            if place is None:
                break
        assert found == [
            (set_id, f"/data/scan{number}") for set_id in shelf.sets[::-1] for number in range(5)
        ]
        assert left == [11, 7, 3, 0]
        assert not versions.find(session, FileSearch("scan"), 4, counted=5).is_counted
        assert versions.find(session, FileSearch("scan", at_least=12), 99).versions[0]["set"] == shelf.sets[2]
        assert len(versions.find(session, FileSearch("scan", at_least=12), 99).versions) == 5
        assert len(versions.find(session, FileSearch("scan", at_most=11), 99).versions) == 10
        year = datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 1, 1, tzinfo=UTC)
        assert (
            len(
                versions.find(
                    session, FileSearch("scan", changed_since=year[0], changed_until=year[1]), 99
                ).versions
            )
            == 15
        )
        assert versions.find(session, FileSearch("scan", changed_since=year[1]), 99).versions == []
        assert versions.find(session, FileSearch("scan", changed_until=year[0]), 99).versions == []


def test_a_search_that_takes_too_long_names_the_remedy(database: Database) -> None:
    with database.transaction() as session:
        Shelf(session).add([(b"/data/abcd", "file")])
        session.execute(
            text(
                "CREATE OR REPLACE FUNCTION file_name_grams(path text) RETURNS text[] LANGUAGE plpgsql AS"
                " $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$"
            )
        )
        with pytest.raises(UsageError, match="longer than 1 s"):
            versions.find(session, FileSearch("abcd"), 9, seconds=1)
        session.rollback()


def test_every_version_of_a_file_is_listed(database: Database) -> None:
    """Its deletion too; of a path longer than the index has."""
    path = b"/data/" + b"n" * 300
    with database.transaction() as session:
        shelf = Shelf(session)
        for kind in ("file", "deleted", "file"):
            shelf.add([(path, kind), (path + b"x", "file")])
        rows, older = versions.of_file(session, path.decode(), shelf.template)
        assert older is None
        assert [(row["set"], row["type"]) for row in rows] == list(
            zip(shelf.sets[::-1], ["file", "deleted", "file"], strict=True)
        )
        assert [row["tapes"] for row in rows] == [[shelf.tape.tape_id]] * 3
        catalog.get(session, shelf.sets[0]).state = SetState.DESTROYED
        assert len(versions.of_file(session, path.decode(), shelf.template)[0]) == 2


@pytest.mark.parametrize("length", [3, 30])
def test_a_page_sends_as_many_statements_for_any_number_of_sets(database: Database, length: int) -> None:
    with database.transaction() as session:
        shelf = Shelf(session)
        for _ in range(length):
            shelf.add([(f"/data/f{number}".encode(), "file") for number in range(9)])
        counts = []
        for ask in (
            lambda: browsing.folder(session, lineage.chain(session, shelf.sets[-1]), "/data", size=5),
            lambda: versions.find(session, FileSearch("f*"), 7),
            lambda: versions.of_file(session, "/data/f1", shelf.template),
        ):
            with statements.counted(session) as sent:
                ask()
            counts.append(len(sent))
        assert counts == [3, 6, 4]


def test_complete_sets_get_their_indexes_the_newest_first_and_small_ones_none(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process at a time; what was made stays made."""
    monkeypatch.setattr(wiring, "database", lambda: database)
    with database.transaction() as session:
        shelf = Shelf(session)
        for count in (1000, 999, 1000, 1000):
            shelf.add([(f"/data/f{number}".encode(), "file") for number in range(count)])
        catalog.get(session, shelf.sets[3]).state = SetState.WRITING
    with database.transaction() as other:
        assert names.index(other, shelf.sets[0])
        assert periodic.index_names() == []
        other.rollback()
    assert periodic.index_names() == [shelf.sets[2], shelf.sets[0]]
    assert periodic.index_names() == []
