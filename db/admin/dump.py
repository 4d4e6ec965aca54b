"""The whole database as a file of SQL, a consistent snapshot: ``psql`` restores it in an empty database.

It is written here and not by pg_dump, which many drive hosts do not have in the server's version.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import psycopg2
import zstandard
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db import sqlstate
from db.engine import Database, newest_version, schema, take_your_time
from db.errors import DatabaseUnavailable, DumpFailed
from db.models import Base
from db.states import ACTIVE
from policy import units
from policy.message import M

LEVEL = 3
ROOM_LEFT = 1 << 30
"""Bytes; a dump fails rather than leave less than this on its disk, which others use too."""
BLOCK = 1 << 20
TAKEN = "-- Tapeline's database as of "
END = "-- The dump is whole.\n"


HISTORY_DAYS = 31
"""Without its history, a dump has the stories of runs that ended in so many days before it."""

_ACTIVE = ", ".join(f"'{state.value}'" for state in sorted(ACTIVE))
_PRESENT = (
    f"SELECT id FROM chain_runs WHERE state IN ({_ACTIVE})"  # noqa: S608 - states of our own
    f" OR coalesce(finished_at, created_at) > clock_timestamp() - interval '{HISTORY_DAYS} days'"
)
# The tables that record what is on which tape, and decisions about tapes, refer to runs of any age.
_NAMED = "SELECT run_id FROM backup_sets WHERE run_id IS NOT NULL UNION SELECT run_id FROM format_permits"
_WITHOUT_HISTORY = {
    "chain_runs": f"id IN ({_PRESENT} UNION {_NAMED})",
    "backup_tasks": f"is_template OR run_id IN ({_PRESENT} UNION {_NAMED})",
    "command_brackets": f"run_id IN ({_PRESENT})",
    "chain_steps": f"run_id IN ({_PRESENT})",
    "run_events": f"run_id IN ({_PRESENT})",
    "notifications": (
        f"run_id IN ({_PRESENT}) OR next_attempt_at IS NOT NULL AND run_id IN ({_PRESENT} UNION {_NAMED})"
        f" OR run_id IS NULL AND created_at > clock_timestamp() - interval '{HISTORY_DAYS} days'"
    ),
}
"""Which rows of these tables a dump without its history has; of every other table it has all. Nothing that
keeps a tape from being formatted is left out: sets, tapes, permits, holds, confirmations and marks of people.
"""


def write(
    database: Database,
    path: Path,
    *,
    with_history: bool = True,
    limit: int | None = None,
    patience: float = 0,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write a dump, compressed with Zstandard, replacing the contents of the file.

    ``with_history``: also the steps, stories and messages of runs that ended long ago, and the runs that left
    neither a set nor a permit. ``limit``: bytes of the file. ``patience``: seconds to wait for an unavailable
    database. ``check`` is called every MiB; its errors go through. Raises DumpFailed, DatabaseUnavailable.
    """

    def once(session: Session) -> None:
        database.check_version()
        _write(session, bounded, with_history=with_history)

    try:
        with path.open("wb") as file:
            path.chmod(0o600)
            bounded = _Bounded(file, path, limit, check)
            database.attempt(once, patience=patience)
    except OSError as error:
        raise _no_file(path, error) from error
    except DBAPIError as error:
        raise _refused(sqlstate.reason(error.orig)) from error


class _Bounded(io.RawIOBase):
    """A file with a limited length."""

    def __init__(self, file: BinaryIO, path: Path, limit: int | None, check: Callable[[], None]) -> None:
        self._file = file
        self._path = path
        self._limit = limit
        self._check = check
        self._unchecked = 0

    def writable(self) -> bool:
        return True

    def rewind(self) -> None:
        """Begin again."""
        self._file.seek(0)
        self._file.truncate()

    def write(self, data: Any, /) -> int:
        written = self._file.write(data)
        self._unchecked += written
        if self._unchecked >= BLOCK:
            self._unchecked = 0
            self._check()
            self._see_that_there_is_room()
        return written

    def _see_that_there_is_room(self) -> None:
        if self._limit is not None and self._file.tell() > self._limit:
            raise DumpFailed(
                M("The dump of the database is larger than {limit}.", limit=units.size(self._limit)),
                M("Raise database_dump_bytes, or dump it elsewhere: tapeline database dump FILE."),
            )
        if shutil.disk_usage(self._path.parent).free < ROOM_LEFT:
            raise DumpFailed(
                M("The disk of {folder} is almost full.", folder=str(self._path.parent)),
                M("Make room on it."),
            )


def _no_file(path: Path, error: OSError) -> DumpFailed:
    reason = error.strerror or str(error)
    return DumpFailed(
        M("The dump {path} cannot be written: {reason}.", path=str(path), reason=reason),
        M("Name a file in a folder that this user may write to, on a disk with room."),
    )


def _write(session: Session, file: _Bounded, *, with_history: bool) -> None:
    file.rewind()
    # All tables as they were at one moment, regardless of later commits.
    connection = session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    take_your_time(connection)
    session.execute(text("SET LOCAL client_encoding = 'UTF8'"))
    with zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).stream_writer(
        cast("IO[bytes]", file), closefd=False
    ) as out:
        for line in _before(connection):
            out.write(f"{line}\n".encode())
        for table in Base.metadata.sorted_tables:
            kept = None if with_history else _WITHOUT_HISTORY.get(table.name)
            _copy(connection, table.name, [column.name for column in table.columns], kept, out)
        for line in _after(connection):
            out.write(f"{line}\n".encode())
        out.write(END.encode())


def _before(connection: Connection) -> Iterator[str]:
    yield f"{TAKEN}{datetime.now(UTC).isoformat(timespec='seconds')}, tables {newest_version()}."
    yield "-- Into an empty database: createdb tapeline; zstd -dc FILE | psql -q tapeline"
    yield "\\set ON_ERROR_STOP on"
    yield "SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\nBEGIN;"
    yield schema()
    partitions = connection.execute(
        text(
            "SELECT child.relname, pg_get_expr(child.relpartbound, child.oid) FROM pg_inherits"
            " JOIN pg_class child ON child.oid = inhrelid"
            " WHERE inhparent = 'backup_files'::regclass ORDER BY 1"
        )
    )
    for name, bound in partitions:
        yield f'CREATE TABLE "{name}" PARTITION OF backup_files {bound};'
    # Rows refer to each other in circles: references are checked when all rows are there.
    for table, name, _ in _references(connection):
        yield f"ALTER TABLE {table} DROP CONSTRAINT {name};"


def _references(connection: Connection) -> list[tuple[str, str, str]]:
    """Every foreign key: its table, its name, and its definition."""
    rows = connection.execute(
        text(
            "SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)"
            " FROM pg_constraint WHERE contype = 'f' AND conparentid = 0"
            " AND connamespace = current_schema()::regnamespace ORDER BY 1, 2"
        )
    )
    return [(table, name, definition) for table, name, definition in rows]


def _copy(connection: Connection, table: str, columns: list[str], kept: str | None, out: Any) -> None:
    names = ", ".join(f'"{name}"' for name in columns)
    out.write(f"COPY {table} ({names}) FROM stdin;\n".encode())
    with translated():
        # A table with partitions can be copied only by a query.
        rows = f"SELECT {names} FROM {table}" + (f" WHERE {kept}" if kept else "")  # noqa: S608 - our own
        query = f"COPY ({rows}) TO STDOUT"
        connection.connection.cursor().copy_expert(query, out)
    out.write(b"\\.\n")


def _after(connection: Connection) -> Iterator[str]:
    yield "DO $$ BEGIN"
    for table in Base.metadata.sorted_tables:
        if any(column.identity for column in table.columns):
            yield f"PERFORM setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM {table.name};"
    yield "END $$;"
    for table_name, name, definition in _references(connection):
        yield f"ALTER TABLE {table_name} ADD CONSTRAINT {name} {definition};"
    yield "COMMIT;\nANALYZE;"


@contextmanager
def translated() -> Iterator[None]:
    """The errors of a COPY, which bypass SQLAlchemy. Raises DatabaseUnavailable, DumpFailed."""
    try:
        yield
    except psycopg2.Error as error:
        if not sqlstate.is_away(error):
            raise _refused(sqlstate.reason(error)) from error
        raise DatabaseUnavailable(
            M("The database went away: {reason}", reason=sqlstate.reason(error)), M("Bring it back.")
        ) from error


def _refused(reason: str) -> DumpFailed:
    return DumpFailed(
        M("The database refuses it: {reason}", reason=reason),
        M("Give this user the right to read every table, and load a dump into an empty database."),
    )
