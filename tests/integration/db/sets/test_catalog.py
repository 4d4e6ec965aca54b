"""The catalogue: what a set holds, found again; and permits that are used once."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from backup.entry import shown
from backup.entry import text as text_of
from backup.source.changes import Known, known
from db.bigint import exact
from db.engine import Database
from db.errors import NotAllowed
from db.models import BackupArchive, BackupFile, BackupSet, ChainRun, TapeCartridge, now
from db.runs.retrying import cancel
from db.runs.starting import start
from db.schedules import schedules
from db.sets import catalog, lineage, versions
from db.sets.catalog import FileRow
from db.sets.versions import FileSearch
from db.states import BackupType, Trigger
from db.tapes import cartridges, permits
from policy.message import M
from policy.tapes.facts import CartridgeState, SetState
from policy.tapes.permit import Decision

MOMENT = datetime(2026, 11, 1, tzinfo=UTC)
MEDIUM = {
    "state": "formatted", "label": "TP20261101", "volume_uuid": "u1", "serial": None, "medium_serial": "m1",
    "barcode": "A1", "empty": True, "write_protected": False, "capacity": 100, "free": 90,
}  # fmt: skip


def make_set(database: Database, set_id: str = "20261101T000000Z-0001") -> str:
    """A set on a cartridge."""
    with database.transaction() as session:
        cartridge = cartridges.formatted(
            session, None, {**MEDIUM, "state": "blank", "volume_uuid": None}, MEDIUM
        )
        catalog.add_set(
            session,
            BackupSet(
                id=set_id, type=BackupType.FULL, state=SetState.WRITING, sources=["/"], started_at=MOMENT,
                cartridge_id=cartridge.id, generation=cartridge.generation,
            ),
        )  # fmt: skip
        return set_id


def archives_with(session: Any, set_id: str, paths: list[str]) -> set[int]:
    """The archives that hold these paths or anything below them."""
    found = lineage.tree(session, lineage.chain(session, set_id), catalog.wanted(paths))
    return {file.archive for file in found}


def archive(session: object, set_id: str, number: int, paths: list[bytes]) -> None:
    """Enter an archive with files of these names."""
    cartridge = session.scalars(select(TapeCartridge)).one()  # type: ignore[attr-defined]
    rows = [
        FileRow(position, path.decode("utf-8", "backslashreplace"), path, "file", 1, 2, 3, 4, os.urandom(32))
        for position, path in enumerate(paths)
    ]
    catalog.add_archive(
        session,  # type: ignore[arg-type]
        BackupArchive(
            set_id=set_id, number=number, cartridge_id=cartridge.id, generation=cartridge.generation,
            name="x", bytes=1, sha256="", files=len(rows), content_bytes=len(rows), record={},
        ),
        iter(rows),
    )  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.binary(min_size=1, max_size=80).filter(lambda name: b"\0" not in name), min_size=1, max_size=8
    )
)
def test_names_of_any_bytes_come_back_as_they_were(database: Database, names: list[bytes]) -> None:
    """Tabs, newlines, backslashes, bytes that are not UTF-8: loaded in bulk and read back exactly."""
    set_id = f"20261101T000000Z-{os.urandom(4).hex()}"
    make_set(database, set_id)
    with database.transaction() as session:
        archive(session, set_id, 1, names)
        rows = session.scalars(
            select(BackupFile).where(BackupFile.set_id == set_id).order_by(BackupFile.position)
        ).all()
        assert [bytes(row.raw_path or b"") for row in rows] == names
        assert [row.path for row in rows] == [name.decode("utf-8", "backslashreplace") for name in names]


def test_a_path_longer_than_an_index_row_is_kept_and_found(database: Database) -> None:
    """Paths may have 4,096 bytes, which no index row holds."""
    set_id = make_set(database)
    long = "/" + "/".join(["文" * 80] * 16)
    with database.transaction() as session:
        archive(session, set_id, 1, [long.encode(), (long[:-1] + "x").encode()])
        assert archives_with(session, set_id, [long]) == {1}
        assert archives_with(session, set_id, [long + "x"]) == set()


def test_a_path_finds_itself_and_what_is_below_and_nothing_beside(database: Database) -> None:
    """/data/a is not /data/ab, and % and _ are letters like others."""
    set_id = make_set(database)
    with database.transaction() as session:
        archive(session, set_id, 1, [b"/data/a", b"/data/a/x"])
        archive(session, set_id, 2, [b"/data/ab", b"/data/100%_sure"])
        assert archives_with(session, set_id, ["/data/a"]) == {1}
        assert archives_with(session, set_id, ["/data/a/"]) == {1}
        assert archives_with(session, set_id, ["/data"]) == {1, 2}
        assert archives_with(session, set_id, []) == {1, 2}
        assert archives_with(session, set_id, ["/data/100%_sure"]) == {2}
        assert archives_with(session, set_id, ["/data/100__sure"]) == set()
        found = versions.find(session, FileSearch("100%"), 9).versions
        assert [row["path"] for row in found] == ["/data/100%_sure"]
        assert len(versions.find(session, FileSearch("/data/a*", set_id), 9).versions) == 3


def test_versions_of_a_file_are_found_with_their_tapes(database: Database) -> None:
    """The newest first, with the time of the backup and the tape; however the name is written; and how many
    there are besides what is shown. What is destroyed is on no tape."""
    first, second = make_set(database), make_set(database, "20261201T000000Z-0002")
    with database.transaction() as session:
        archive(session, first, 1, [b"/data/Report.PDF", b"/data/other"])
        archive(session, second, 1, [b"/data/Report.PDF", "/data/ÄRGER.pdf".encode()])
        found = versions.find(session, FileSearch("report.pdf"), 1)
        assert (found.more, found.is_counted) == (1, True)
        [newest] = found.versions
        tape = catalog.tapes(session, second)[0].tape_id
        assert (newest["set"], newest["tapes"], newest["path"]) == (second, [tape], "/data/Report.PDF")
        assert newest["backed_up_at"] == catalog.get(session, second).started_at.isoformat()
        everything = versions.find(session, FileSearch("*.pdf"), 200)
        assert [row["set"] for row in everything.versions] == [second, second, first]
        assert everything.more == 0
        assert versions.find(session, FileSearch("ärger"), 9).versions
        catalog.get(session, first).state = SetState.DESTROYED
        session.flush()
        assert [row["set"] for row in versions.find(session, FileSearch("report"), 9).versions] == [second]
        assert versions.find(session, FileSearch("report", first), 9).versions[0]["tapes"] == []


def test_each_set_has_a_partition_of_its_own(database: Database) -> None:
    """An expired set can leave at once, by dropping its partition."""
    first, second = make_set(database), make_set(database, "20261101T000000Z-0002")
    with database.transaction() as session:
        archive(session, first, 1, [b"/a"])
        archive(session, second, 1, [b"/b"])
        session.execute(text(f'DROP TABLE "backup_files_{first.lower()}"'))
        assert [row.path for row in session.scalars(select(BackupFile))] == ["/b"]


def test_a_format_grows_the_generation_and_destroys_earlier_sets(database: Database) -> None:
    """The same row for ever; recorded twice, it counts once."""
    set_id = make_set(database)
    after = {**MEDIUM, "volume_uuid": "u2", "label": "TP20261201"}
    with database.transaction() as session:
        for _ in range(2):
            cartridge = cartridges.formatted(session, None, MEDIUM, after)
        assert cartridge.generation == 2
        assert session.get_one(BackupSet, set_id).state is SetState.DESTROYED
        assert len(session.scalars(select(TapeCartridge)).all()) == 1
        row, before = cartridges.update_label(session, original="TP20261101", medium=after)
        assert (before, row.tape_id, row.label) == ("TP20261101", "TP20261201", "TP20261201")


def test_a_tape_id_that_another_row_has_changes_only_the_label(database: Database) -> None:
    """tape_id stays unique; the label follows the tape."""
    make_set(database)
    with database.transaction() as session:
        session.add(TapeCartridge(tape_id="TP20261201", label="TP20261201", state=CartridgeState.ACTIVE))
        row, _ = cartridges.update_label(
            session, original="TP20261101", medium={**MEDIUM, "label": "TP20261201"}
        )
        assert (row.tape_id, row.label) == ("TP20261101", "TP20261201")


@pytest.mark.parametrize("read_back", [True, False])
def test_a_run_that_ends_with_a_format_nobody_read_leaves_its_cartridge_unknown(
    database: Database, read_back: bool
) -> None:
    """Cancelled or failed in the format: what the tape holds is not known, unless its label was read back."""
    make_set(database)
    with database.transaction() as session:
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        run = start(session, row, due_at=MOMENT, trigger=Trigger.MANUAL)
        assert run
        allowed = Decision(True, (), (M("expired"),), ())
        permit = permits.store(session, run, MEDIUM, "TP20261101", allowed).id
        permits.consume(session, permit, now())
        if read_back:
            permits.close(session, permit, {"ok": False})
        cancel(session, run.id, "me")
    with database.transaction() as session:
        state = session.scalars(select(TapeCartridge.state)).one()
        assert state is (CartridgeState.ACTIVE if read_back else CartridgeState.UNKNOWN)


def test_a_part_of_a_run_consumes_one_permit(database: Database) -> None:
    """A second permit of the same part cannot be consumed, whatever is retried; the first stays as it was."""
    with database.transaction() as session:
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        run = start(session, row, due_at=MOMENT, trigger=Trigger.MANUAL)
        assert run
        allowed = Decision(True, (), (M("blank"),), ())
        first = permits.store(session, run, MEDIUM, "TP20261101", allowed).id
        second = permits.store(session, run, MEDIUM, "TP20261101", allowed).id
        denied = permits.store(session, run, MEDIUM, "TP20261101", Decision(False, (), (M("no"),), ())).id
        run_id = run.id
    moment = now()
    for _ in range(2):
        # The connection may break after the commit: the same step comes again with the same moment.
        with database.transaction() as session:
            permits.consume(session, first, moment)
    for permit in (first, second, denied):
        with pytest.raises(NotAllowed, match="formats once"), database.transaction() as session:
            permits.consume(session, permit, now())
    with database.transaction() as session:
        used = permits.used(session, run_id, 1)
        assert used
        assert used.id == first
        permits.close(session, first, {"ok": True})
        permits.close(session, first, {"ok": False})
    with database.transaction() as session:
        assert session.scalars(select(ChainRun)).one()
        used = permits.used(session, run_id, 1)
        assert used
        assert used.outcome == {"ok": True}


def test_an_increment_is_told_every_name_exactly(database: Database) -> None:
    """What COPY writes of the files of a set is read back as it was entered, whatever its names are."""
    set_id = make_set(database)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.binary(min_size=1, max_size=12).filter(lambda name: 0 not in name), max_size=8))
    def check(names: list[bytes]) -> None:
        rows = [
            FileRow(number, *_as_text(name), "file", 7, 8, 9, -1, None) for number, name in enumerate(names)
        ]
        sink = io.BytesIO()
        with database.transaction() as session:
            cartridge = session.scalars(select(TapeCartridge)).one()
            row = BackupArchive(
                set_id=set_id, number=1, cartridge_id=cartridge.id, generation=1, name="data-000001.tar",
                bytes=1, sha256="0" * 64, files=len(names), content_bytes=1, record={},
            )  # fmt: skip
            catalog.add_archive(session, row, rows)
            catalog.copy_known(session, [set_id], sink)
            session.rollback()
        read = [known(row) for row in sink.getvalue().splitlines(keepends=True)]
        assert read == [Known(name, "file", 7, 8, 9, -1, partial=False) for name in names]

    check()


wide = st.integers(-(1 << 127), 1 << 127) | st.sampled_from(
    [sign * (1 << 63) + by for sign in (1, -1) for by in (-1, 0, 1)]
)
sizes = wide.map(abs)


def test_numbers_of_any_size_are_kept_to_the_last_digit(database: Database) -> None:
    """What a column cannot hold is beside it: for an increment, a restore, and whoever searches. Sums too."""
    set_id = make_set(database)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(sizes, wide, wide, wide), min_size=1, max_size=8))
    def check(files: list[tuple[int, int, int, int]]) -> None:
        rows = [FileRow(at, f"/f{at}", None, "file", *numbers, None) for at, numbers in enumerate(files)]
        total = sum(numbers[0] for numbers in files)
        sink = io.BytesIO()
        with database.transaction() as session:
            cartridge = session.scalars(select(TapeCartridge)).one()
            for number, some in ((1, rows), (2, [])):
                archive = BackupArchive(
                    set_id=set_id, number=number, cartridge_id=cartridge.id, generation=1, name="x", bytes=1,
                    sha256="", files=len(some), content_bytes=total, record={"size": total},
                )  # fmt: skip
                catalog.add_archive(session, archive, some)
            catalog.copy_known(session, [set_id], sink)
            live = list(lineage.tree(session, [catalog.get(session, set_id)]))
            rows_found = session.scalars(select(BackupFile).order_by(BackupFile.position)).all()
            found = [(exact(row, "size"), exact(row, "mtime_ns")) for row in rows_found]
            session.expire_all()
            stored = catalog.get(session, set_id)
            sums = (stored.bytes, *(each.content_bytes for each in stored.archives))
            kept = stored.archives[0].record
            session.rollback()
        read = [known(row) for row in sink.getvalue().splitlines(keepends=True)]
        assert [(row.size, row.mtime_ns, row.ctime_ns, row.inode) for row in read] == files
        assert [(row.size, row.mtime_ns, row.ctime_ns, row.inode) for row in live] == files
        assert found == [row[:2] for row in files]
        assert (sums, kept) == ((2 * total, total, total), {"size": total})

    check()


A_PIECE = FileRow(0, "/a", None, "piece", 4, 7, 8, 9, b"\x01" * 32, whole=20)
HUGE = 1 << 70


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([A_PIECE, A_PIECE], 2),
        ([A_PIECE._replace(whole=None), A_PIECE], 2),
        ([A_PIECE._replace(whole=21), A_PIECE], 1),
        ([A_PIECE._replace(mtime_ns=HUGE), A_PIECE._replace(mtime_ns=HUGE)], 2),
        ([A_PIECE._replace(mtime_ns=HUGE), A_PIECE._replace(mtime_ns=HUGE + 1)], 1),
        ([A_PIECE._replace(inode=1), A_PIECE], 1),
        ([A_PIECE._replace(path="/0"), A_PIECE], 1),
        ([A_PIECE, A_PIECE._replace(type="file")], 0),
    ],
)
def test_the_pieces_of_one_state(database: Database, rows: list[FileRow], kept: int) -> None:
    """Those that an interrupted backup goes on after; those of an earlier version have no size."""
    set_id = make_set(database)
    with database.transaction() as session:
        catalog.copy_files(session, set_id, 1, [row._replace(position=at) for at, row in enumerate(rows)])
        found = catalog.last_pieces(session, set_id)
        assert [row.position for row in found] == [0, 1][2 - kept :]
        assert all(catalog.whole_of(row) == rows[row.position].whole for row in found)
        pieces = lineage.pieces(session, [catalog.get(session, set_id)])
        assert sum(map(len, pieces.values())) == sum(row.type == "piece" for row in rows)


def _as_text(name: bytes) -> tuple[str, bytes | None]:
    path = shown(text_of(name))
    return path, name if path != text_of(name) else None
