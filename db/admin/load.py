"""Restores the database from a dump."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from itertools import takewhile
from typing import Any, BinaryIO

import zstandard
from sqlalchemy import Connection, func, inspect, select
from sqlalchemy.orm import Session

from db.admin import holds
from db.admin.dump import END, TAKEN, translated
from db.copying import copy_in
from db.engine import Database, newest_version, schema
from db.errors import DumpFailed
from db.models import BackupSet, Base, ChainRun, ScheduledTask, TapeCartridge
from policy.errors import UsageError
from policy.message import M

_HEAD = re.compile(rf"{TAKEN}(\S+), tables (\d+)\.\n")
_COPY = re.compile(r"(COPY \w+ \(.*\) FROM stdin);\n")
LOCK_LIMIT = "10s"
"""How long to wait for other users of the database."""


def restore(database: Database, file: BinaryIO) -> datetime:
    """Restore the database from a dump, and migrate it to this version. Nothing in it runs automatically: it
    is held (``db.admin.holds``).

    Returns the moment of the dump. All of it is restored, or nothing. Raises UsageError if the database is
    not empty; DumpFailed, DatabaseUnavailable.
    """
    with database.outside_transactions() as connection:
        _see_that_it_is_empty(connection)
        with translated(), closing(connection.connection.cursor()) as cursor:
            cursor.execute(f"SET lock_timeout = '{LOCK_LIMIT}'; SET statement_timeout = 0")
            taken = _load(cursor, _lines(file))
    database.upgrade()
    with database.transaction() as session:
        holds.hold_everything(session)
    return taken


def counts(session: Session) -> dict[str, int]:
    """How much a database has: its sets, tapes and runs."""
    models = {"sets": BackupSet, "tapes": TapeCartridge, "runs": ChainRun}
    return {
        name: session.scalars(select(func.count()).select_from(model)).one() for name, model in models.items()
    }


def _see_that_it_is_empty(connection: Connection) -> None:
    """An unused database may be replaced. Raises UsageError."""
    present = set(inspect(connection).get_table_names())
    for model in (ChainRun, BackupSet, TapeCartridge, ScheduledTask):
        if model.__tablename__ in present and connection.scalar(select(model.__table__).limit(1)) is not None:
            raise UsageError(
                M("The database is in use: its table {table} is not empty.", table=model.__tablename__),
                M("Restore into an empty database; nothing was changed."),
            )


def _lines(file: BinaryIO) -> Iterator[str]:
    """The lines of a compressed dump. Raises DumpFailed if it is damaged."""
    plain = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    try:
        yield from io.TextIOWrapper(io.BufferedReader(plain, 1 << 20), encoding="utf-8", newline="\n")
    except (zstandard.ZstdError, UnicodeDecodeError, OSError) as error:
        raise _not_whole(str(error)) from error


def _not_whole(reason: str) -> DumpFailed:
    return DumpFailed(
        M("This is no dump of Tapeline's database, or not a whole one: {reason}.", reason=reason),
        M("Take another one: each tape has those of its backups, in sets/*/database*.sql.zst."),
    )


def _load(cursor: Any, lines: Iterator[str]) -> datetime:
    taken = _moment(next(lines, ""))
    statements = [_clearing()]
    for line in lines:
        copy = _COPY.fullmatch(line)
        if (copy or line == END) and statements:
            cursor.execute("".join(statements))
            statements = []
        if line == END:
            return taken
        if copy:
            copy_in(cursor, copy[1], takewhile(lambda row: row != "\\.\n", lines))
        elif not line.startswith("\\"):
            statements.append(line)
    raise _not_whole("it ends too early")


def _moment(head: str) -> datetime:
    first_line = _HEAD.fullmatch(head)
    if first_line is None:
        raise _not_whole("it does not begin as one")
    if first_line[2] > newest_version():
        raise DumpFailed(
            M("The dump was made by a newer version of Tapeline (tables {version}).", version=first_line[2]),
            M("Install that version or a newer one."),
        )
    return datetime.fromisoformat(first_line[1])


def _clearing() -> str:
    """Remove the tables and functions that a program has made here before; the dump contains its own."""
    functions = "".join(
        f"DROP FUNCTION IF EXISTS {name} CASCADE;\n"
        for name in re.findall(r"CREATE FUNCTION (\w+)", schema())
    )
    names = ", ".join(["alembic_version", *(table.name for table in Base.metadata.sorted_tables)])
    return f"DROP TABLE IF EXISTS {names} CASCADE;\n{functions}"
