"""Which errors mean that the database is away, and which do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from db.copying import copy_in
from db.engine import Database
from db.errors import DatabaseFailed, DatabaseUnavailable

COPY = "COPY numbers FROM STDIN"


class Broken(Exception):
    """Something that has nothing to do with the database."""


@pytest.fixture
def numbers(database: Database) -> Database:
    """A database with a table of numbers."""
    with database.transaction() as session:
        session.execute(text("CREATE TABLE numbers (number bigint)"))
    return database


def load(database: Database, lines: Iterator[str]) -> None:
    with database.transaction() as session:
        copy_in(session.connection().connection.cursor(), COPY, lines)


def count(database: Database) -> int:
    with database.transaction() as session:
        return int(session.execute(text("SELECT count(*) FROM numbers")).scalar_one())


def breaking(error: Exception) -> Iterator[str]:
    yield from ("1\n" for _ in range(100_000))
    raise error


def test_what_breaks_the_source_of_a_bulk_load_is_the_error(numbers: Database) -> None:
    """PostgreSQL calls it a cancelled query: the database is there, and nothing was loaded."""
    with pytest.raises(Broken, match="line 7"):
        load(numbers, breaking(Broken("line 7")))
    assert count(numbers) == 0
    load(numbers, iter(["1\n", "2\n"]))
    assert count(numbers) == 2


def test_what_a_column_cannot_hold_is_no_absence(numbers: Database) -> None:
    """Waiting would not help: the server's own words are in the error."""
    with pytest.raises(DatabaseFailed, match="out of range"):
        load(numbers, iter([f"{1 << 70}\n"]))


def killing(database: Database, pid: int) -> Iterator[str]:
    yield from ("1\n" for _ in range(100_000))
    with database.transaction() as other:
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    yield from ("1\n" for _ in range(10_000_000))


def load_and_be_killed(database: Database) -> None:
    with database.transaction() as session:
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        copy_in(session.connection().connection.cursor(), COPY, killing(database, pid))


def test_a_connection_that_breaks_in_a_bulk_load_is_an_absence(numbers: Database) -> None:
    """It is waited for, as any other statement's."""
    with pytest.raises(DatabaseUnavailable, match="does not answer"):
        load_and_be_killed(numbers)


def run(database: Database, *statements: str) -> None:
    with database.transaction() as session:
        for statement in statements:
            session.execute(text(statement))


def test_a_query_that_is_cancelled_is_no_absence(database: Database) -> None:
    """A limit of the server's own is not waited out."""
    with pytest.raises(DatabaseFailed, match="statement timeout"):
        run(database, "SET LOCAL statement_timeout = '50ms'", "SELECT pg_sleep(60)")


def test_a_lock_that_others_hold_is_asked_for_again(numbers: Database) -> None:
    """It passes by itself; the error does not claim that the database is away."""
    with numbers.transaction() as holder:
        holder.execute(text("LOCK TABLE numbers"))
        with pytest.raises(DatabaseUnavailable, match="lock timeout") as caught:
            run(numbers, "SET LOCAL lock_timeout = '50ms'", "SELECT * FROM numbers")
    assert "does not answer" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("57P01", DatabaseUnavailable, "does not answer"),
        ("57P02", DatabaseUnavailable, "does not answer"),
        ("57P03", DatabaseUnavailable, "does not answer"),
        ("08006", DatabaseUnavailable, "does not answer"),
        ("40P01", DatabaseUnavailable, "cannot work just now: its last words"),
        ("53100", DatabaseUnavailable, "cannot work just now: its last words"),
        ("57014", DatabaseFailed, "refuses it: its last words"),
        ("58030", DatabaseFailed, "refuses it: its last words"),
    ],
)
def test_the_servers_code_decides(database: Database, code: str, error: type[Exception], words: str) -> None:
    """Away, at work again soon, or there and of another opinion: each is its own error."""
    raises = f"DO $$ BEGIN RAISE EXCEPTION 'its last words' USING ERRCODE = '{code}'; END $$"
    with pytest.raises(error, match=words):
        run(database, raises)
