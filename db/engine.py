"""The connection to PostgreSQL, and the place where its errors become ours."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from io import StringIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import psycopg2
from sqlalchemy import Connection, NullPool, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session, sessionmaker

from db import clock, sqlstate
from db.errors import DatabaseFailed, DatabaseNotMigrated, DatabaseUnavailable, WrongEncoding
from policy.errors import TapelineError, UsageError
from policy.message import M
from policy.times import backoff

if TYPE_CHECKING:
    from alembic.config import Config

T = TypeVar("T")

DRIVER = "postgresql+psycopg2"
MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x7A9E


GONE_AFTER = 60
"""Seconds after which a silent host on the network counts as gone, on either side."""

_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=0.5), timedelta(seconds=15)
"""Between two attempts to reach a database that is away."""

_CLIENT = {
    "connect_timeout": 10,
    "application_name": "tapeline",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": GONE_AFTER * 1000,
}
_SERVER = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": str(GONE_AFTER * 1000),
}
"""The server's side: without it a client that vanished would keep its locks for two hours."""


class Database:
    """The database. Cheap to create; connects on first use, so that it may be created before a fork."""

    limits: ClassVar[Mapping[str, str]] = {
        "lock_timeout": "30s",
        "statement_timeout": "15min",
        "idle_in_transaction_session_timeout": "15min",
    }
    """How long a connection waits for a lock of another one, and how long an idle transaction, such as that
    of a stopped client, may keep others waiting."""

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise _bad_url() from error
        if parsed.drivername != DRIVER:
            raise _bad_url()
        self.url = url
        self.shown_url = parsed.render_as_string(hide_password=True)
        self.engine = create_engine(
            parsed,
            pool_pre_ping=True,
            connect_args=_CLIENT,
        )
        event.listen(self.engine, "connect", self._limit)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back by an exception.

        Raises DatabaseUnavailable if the server cannot be reached, vanishes, or cannot work just now;
        DatabaseFailed if it answers and refuses; DatabaseNotMigrated if the tables are missing.
        """
        try:
            with self._sessions.begin() as session:
                if clock.is_stale():
                    _ask_the_time(session)
                yield session
        except DBAPIError as error:
            translated = self._translate(error)
            if translated is None:
                raise
            raise translated from error
        except psycopg2.Error as error:
            # From a COPY, which bypasses SQLAlchemy.
            raise self._trouble(error) from error

    def _limit(self, connection: Any, _record: Any) -> None:
        """A new connection gets its limits and reports its time; one message for both."""
        connection.autocommit = True
        asked = clock.asking()
        with connection.cursor() as cursor:
            wanted = {**_SERVER, **self.limits}
            cursor.execute(
                "SELECT clock_timestamp() FROM (SELECT count(set_config(name, value, false))"
                " FROM unnest(%s, %s) AS wanted (name, value)) AS limited",
                (list(wanted), list(wanted.values())),
            )
            clock.heard(cursor.fetchone()[0], asked)
        connection.autocommit = False

    def attempt(self, work: Callable[[Session], T], *, patience: float) -> T:
        """Do ``work`` in a transaction; retry with growing pauses while the database is unavailable.

        ``patience``: seconds after which DatabaseUnavailable is raised. ``work`` must be correct if its
        transaction is done twice: the first may have been committed when the connection broke.
        """
        # tenacity has this loop, and loads asyncio and tornado into every command for it.
        given_up_at = time.monotonic() + patience
        for failures in count(1):
            try:
                with self.transaction() as session:
                    return work(session)
            except DatabaseUnavailable:
                if time.monotonic() >= given_up_at:
                    raise
            time.sleep(backoff.pause(_FIRST_PAUSE, failures, _LONGEST_PAUSE).total_seconds())
        raise AssertionError("unreachable")

    def _translate(self, error: DBAPIError) -> TapelineError | None:
        if error.connection_invalidated:
            return self._unavailable()
        if isinstance(error, OperationalError):
            return self._trouble(error.orig)
        if isinstance(error, ProgrammingError) and getattr(error.orig, "pgcode", None) == "42P01":
            return _not_migrated()
        return None

    def _trouble(self, error: BaseException | None) -> TapelineError:
        reason = sqlstate.reason(error)
        if sqlstate.is_away(error):
            return self._refusal(reason) or self._unavailable()
        if sqlstate.passes(error):
            return DatabaseUnavailable(
                M("The database cannot work just now: {reason}", reason=reason),
                M("See the database server's log; what waits for it goes on by itself."),
            )
        return DatabaseFailed(
            M("The database refuses it: {reason}", reason=reason),
            M("See the database server's log."),
        )

    def _unavailable(self) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            M("The database does not answer ({url}).", url=self.shown_url),
            M("Start it with 'tapeline up', or check the setting database_url."),
        )

    def _refusal(self, reason: str) -> DatabaseUnavailable | None:
        """The server exists, but has no connection left, or this host's settings for it are wrong."""
        if any(word in reason for word in ("SSL", "certificate", "private key")):
            return DatabaseUnavailable(
                M("The encrypted connection to the database fails: {reason}", reason=reason),
                M("Check the files of database_tls, and the name in the server's certificate."),
            )
        if any(words in reason for words in ("too many clients", "remaining connection slots")):
            return DatabaseUnavailable(
                M("The database takes no more connections: {reason}", reason=reason),
                M("Raise max_connections of its server; what waits for it goes on by itself."),
            )
        if "authentication failed" in reason:
            return DatabaseUnavailable(
                M("The database refuses this host's user ({url}).", url=self.shown_url),
                M("Correct user and password in database_url."),
            )
        return None

    def stay(self) -> Connection:
        """A connection of its own, in a transaction that stays open: its locks last as long as it lives, even
        behind a pooler that gives each transaction another connection.

        Raises DatabaseUnavailable.
        """
        engine = create_engine(self.url, poolclass=NullPool, connect_args=_CLIENT)
        event.listen(engine, "connect", self._limit)
        try:
            connection = engine.connect()
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        except DBAPIError as error:
            raise self._translate(error) or error from error
        return connection

    def close(self) -> None:
        """Close all connections of this process."""
        self.engine.dispose()

    def abandon(self) -> None:
        """Discard the connections that a forked child shares with its parent, without closing them."""
        self.engine.dispose(close=False)

    def upgrade(self) -> None:
        """Migrate the tables to the newest version, if needed. Two at once wait for each other.

        Raises WrongEncoding, DatabaseUnavailable.
        """
        if self._version() == newest_version():
            return
        from alembic import command  # noqa: PLC0415 - slow to load, and seldom needed

        with self._connect() as connection:
            take_your_time(connection)
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def check_version(self) -> None:
        """Raises DatabaseNotMigrated unless the tables have this version; WrongEncoding."""
        if self._version() != newest_version():
            raise _not_migrated()

    def _version(self) -> str | None:
        with self._connect() as connection:
            _check_encoding(connection)
            if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
                return None
            version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return version

    @contextmanager
    def outside_transactions(self) -> Iterator[Connection]:
        """A connection whose statements are committed one by one. Raises DatabaseUnavailable."""
        with self._connect() as connection:
            try:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")
            except BaseException:
                # An implicit transaction must not go back to the pool with the connection.
                connection.invalidate()
                raise

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        try:
            with self.engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise self._translate(error) or error from error


def take_your_time(connection: Connection) -> None:
    """Statements over whole tables have no limits, in this transaction."""
    connection.exec_driver_sql("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")


def _check_encoding(connection: Connection) -> None:
    """With any other encoding, the first name with a foreign letter stops a run. Raises WrongEncoding."""
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise WrongEncoding(
            M("The database's encoding is {encoding}, and has to be UTF8.", encoding=encoding),
            M("Make it anew, empty: createdb -T template0 -E UTF8 tapeline; then 'tapeline migrate'."),
        )


def _ask_the_time(session: Session) -> None:
    asked = clock.asking()
    clock.heard(session.scalars(select(func.clock_timestamp())).one(), asked)


def newest_version() -> str:
    """The version of the tables that this program needs: that of the last migration."""
    return max(path.name for path in (MIGRATIONS / "versions").glob("[0-9]*.py")).split("_")[0]


@cache
def schema() -> str:
    """The statements that make the tables of this version in an empty database."""
    from alembic import command  # noqa: PLC0415 - as above

    statements = StringIO()
    command.upgrade(alembic_config(statements), "head", sql=True)
    # Otherwise it prints its version each time that the statements are run.
    return re.sub(r"\s+RETURNING [^;]*", "", statements.getvalue())


def alembic_config(statements: StringIO | None = None) -> Config:
    """Alembic's configuration; the connection is given in its attributes, or ``statements`` are collected."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config(output_buffer=statements)
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def _bad_url() -> UsageError:
    return UsageError(
        M("database_url: not a PostgreSQL address with its driver named."),
        M("Write it as postgresql+psycopg2://user:password@host/database."),
    )


def _not_migrated() -> DatabaseNotMigrated:
    return DatabaseNotMigrated(
        M("The database does not have the tables of this version."), M("Run 'tapeline migrate'.")
    )
