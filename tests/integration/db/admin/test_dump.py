"""The database as a file: written by Tapeline, made again by psql and by Tapeline, the same in every row."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from sqlalchemy import inspect, make_url, select, text, update
from sqlalchemy.orm import Session

from db import events, views
from db.admin import dump, load
from db.engine import Database
from db.errors import DatabaseNotMigrated, DumpFailed
from db.models import BackupArchive, BackupSet, Base, ChainRun, Notification, RunEvent, now
from db.runs.starting import start
from db.schedules import schedules
from db.sets.catalog import FileRow, add_archive
from db.states import Kind, RunState, Trigger
from db.tapes import permits
from embedded import binaries
from policy.errors import UsageError
from policy.message import M
from policy.tapes.permit import Decision
from tests.integration.db.sets.test_catalog import make_set

ODD = ["/a\tb\\N\n.txt", "/\\.", "/数据 – ü", "COPY x (y) FROM stdin;"]
MONTHLY = {"day": 1, "at": "02:00"}


@pytest.fixture
def full(database: Database) -> Database:
    """A database in which every kind of row refers to others, with names that try to break out."""
    set_id = make_set(database)
    with database.transaction() as session:
        archive = BackupArchive(
            set_id=set_id,
            number=1,
            cartridge_id=1,
            generation=1,
            record={"path": ODD},
            files=len(ODD),
            name="a",
            bytes=1,
            sha256="b",
            content_bytes=1,
        )
        rows = (FileRow(i, path, b"\xff\x00", "file", 1, 2, 3, 4, b"\x01" * 32) for i, path in enumerate(ODD))
        add_archive(session, archive, rows)
        monthly = schedules.put(session, "monthly", drive="tape0", sources=ODD, schedule_config=MONTHLY)
        schedules.put(session, "off", drive="tape0", sources=["/x"], schedule_config=MONTHLY, enabled=False)
        start(session, monthly, due_at=now(), trigger=Trigger.MANUAL)
    return database


@pytest.fixture
def empty(database_url: str) -> Iterator[Database]:
    """A database without any table."""
    url = make_url(database_url).set(database=f"{make_url(database_url).database}_empty")
    server = Database(url.set(database="postgres").render_as_string(hide_password=False))
    with server.outside_transactions() as connection:
        connection.execute(text(f'CREATE DATABASE "{url.database}"'))
        found = Database(url.render_as_string(hide_password=False))
        yield found
        found.close()
        connection.execute(text(f'DROP DATABASE "{url.database}" WITH (FORCE)'))
    server.close()


def dumped(database: Database, folder: Path) -> Path:
    path = folder / "database.sql.zst"
    dump.write(database, path)
    return path


def content(database: Database) -> dict[str, Any]:
    """Every row of every table, and what holds them together."""
    names = [*sorted(table.name for table in Base.metadata.sorted_tables), "alembic_version"]
    with database.transaction() as session:
        rows = {
            name: session.execute(text(f"SELECT t::text FROM {name} t ORDER BY 1")).all() for name in names
        }
        bonds = (
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
            " FROM pg_constraint ORDER BY 1, 2"
        )
        rows["constraints"] = session.execute(text(bonds)).all()
        rows["indexes"] = session.execute(text("SELECT indexdef FROM pg_indexes ORDER BY 1")).all()
    return rows


def test_psql_makes_the_same_database(full: Database, empty: Database, tmp_path: Path) -> None:
    """With zstd and psql alone, without Tapeline: rows, constraints, indexes, and numbers that go on."""
    sql = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(dumped(full, tmp_path).read_bytes())).read()
    url = make_url(empty.url)
    psql = [
        binaries.postgres().folder / "psql",
        "-q",
        "-h",
        url.query["host"],
        "-U",
        url.username,
        url.database,
    ]
    done = subprocess.run(psql, input=sql, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert content(empty) == content(full)
    assert len(content(full)["backup_files"]) == len(ODD)
    assert held(empty) == {"runs": [1], "schedules": ["monthly"]}
    with empty.transaction() as session:
        schedules.put(session, "new", drive="tape0", sources=["/y"], schedule_config=MONTHLY)


def held(database: Database) -> dict[str, list[Any]]:
    with database.transaction() as session:
        return views.held_json(session)


def test_tapeline_makes_it_and_holds_what_was_open(full: Database, empty: Database, tmp_path: Path) -> None:
    """Also in a database that has tables and nothing in them; nothing else differs."""
    with full.transaction() as session:
        session.execute(update(BackupSet).values(home="held"))
    before = content(full)
    empty.upgrade()
    with dumped(full, tmp_path).open("rb") as file:
        taken = load.restore(empty, file)
    assert (now() - taken).total_seconds() < 60
    assert (held(full), held(empty)) == (
        {"runs": [], "schedules": []},
        {"runs": [1], "schedules": ["monthly"]},
    )
    after = content(empty)
    for table in ("chain_runs", "scheduled_tasks", "run_events"):
        del before[table], after[table]
    assert after == before


def test_a_database_that_is_used_is_never_overwritten(full: Database, tmp_path: Path) -> None:
    """The table is named, and not a row is touched."""
    path, before = dumped(full, tmp_path), content(full)
    with pytest.raises(UsageError, match="is not empty"), path.open("rb") as file:
        load.restore(full, file)
    assert content(full) == before


@pytest.mark.parametrize("harm", ["cut", "end", "flip", "foreign", "newer"])
def test_a_dump_that_is_not_whole_makes_nothing(
    harm: str, full: Database, empty: Database, tmp_path: Path
) -> None:
    """Cut off, damaged, of something else, of a newer version: one line, and the database stays empty."""
    data = dumped(full, tmp_path).read_bytes()
    plain = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    harmed = {
        "cut": data[:-9],
        "end": zstandard.compress(plain.removesuffix(dump.END.encode())),
        "flip": data[:99] + bytes([data[99] ^ 1]) + data[100:],
        "foreign": zstandard.compress(b"DROP TABLE backup_sets;\n"),
        "newer": zstandard.compress(plain.replace(b", tables 0", b", tables 9", 1)),
    }[harm]
    with pytest.raises(DumpFailed):
        load.restore(empty, io.BytesIO(harmed))
    with empty.outside_transactions() as connection:
        assert inspect(connection).get_table_names() == []


def test_a_dump_that_would_be_too_large_ends(
    full: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit that the setting names, and before its disk is full."""
    monkeypatch.setattr(dump, "BLOCK", 1)
    with pytest.raises(DumpFailed, match=r"larger than 1\.0 kB"):
        dump.write(full, tmp_path / "a", limit=1000)
    monkeypatch.setattr(dump, "ROOM_LEFT", 1 << 60)
    with pytest.raises(DumpFailed, match="almost full"):
        dump.write(full, tmp_path / "b")
    with pytest.raises(DumpFailed, match="no/such"):
        dump.write(full, tmp_path / "no" / "such")


def test_a_database_without_tables_has_no_dump(empty: Database, tmp_path: Path) -> None:
    """It would be one of nothing."""
    with pytest.raises(DatabaseNotMigrated):
        dump.write(empty, tmp_path / "a")


def test_a_copy_without_its_history_has_all_that_keeps_tapes(
    full: Database, empty: Database, tmp_path: Path
) -> None:
    """Years of runs: stories, steps and messages of these days alone, and the runs of sets and permits."""
    long_ago = now() - timedelta(days=100)
    with full.transaction() as session:
        runs = [a_run(session, long_ago) for _ in range(4)]
        of_a_set, with_a_permit, of_nothing, lately = (run.id for run in runs)
        runs[3].finished_at = now() - timedelta(days=3)
        session.execute(update(BackupSet).values(run_id=of_a_set))
        medium = {"state": "formatted", "label": "TP20261101", "volume_uuid": "u1"}
        permits.store(session, runs[1], medium, "TP20261102", Decision(False, (), (M("past"),), ()))
        for run in runs:
            events.record(session, run, M("past"))
            events.announce(session, run, "succeeded", {})
    path = tmp_path / "short.sql.zst"
    dump.write(full, path, with_history=False)
    with path.open("rb") as file:
        load.restore(empty, file)
    before, after = content(full), content(empty)
    for table, rows in before.items():
        if table not in {"chain_runs", "chain_steps", "run_events", "notifications", "scheduled_tasks"}:
            assert after[table] == rows or table == "backup_sets", table
    assert len(after["backup_sets"]) == len(before["backup_sets"])
    with empty.transaction() as session:
        assert set(session.scalars(select(ChainRun.id))) == {1, of_a_set, with_a_permit, lately}
        told_of = select(RunEvent.run_id).where(RunEvent.run_id != 1)
        assert set(session.scalars(told_of)) == {lately}
        assert set(session.scalars(select(Notification.run_id).where(Notification.run_id != 1))) <= {
            of_a_set, with_a_permit, lately,
        }  # fmt: skip
        assert of_nothing not in set(session.scalars(select(Notification.run_id)))


def a_run(session: Session, moment: datetime) -> ChainRun:
    run = ChainRun(
        kind=Kind.BACKUP, trigger=Trigger.MANUAL, state=RunState.SUCCEEDED, drive="tape0", due_at=moment,
        queued_at=moment, started_at=moment, finished_at=moment, created_at=moment, part=1,
    )  # fmt: skip
    session.add(run)
    session.flush()
    return run
