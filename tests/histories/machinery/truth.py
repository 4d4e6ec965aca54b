"""The database of a history: the real one, with a point before and after each commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import Base
from tests.histories.machinery.mailbox import Mailbox
from tests.histories.machinery.points import Points

COMMIT, COMMITTED = "commit", "committed"

_CLEAR = "SET LOCAL session_replication_role = replica; " + "; ".join(
    f"DELETE FROM {table.name}" for table in Base.metadata.sorted_tables if table.name != "backup_files"
)
_PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'backup_files'::regclass"


class WatchedDatabase(Database):
    """The database as the product's processes see it; ``points`` may break the connection at any commit."""

    limits: ClassVar[Mapping[str, str]] = {**Database.limits, "lock_timeout": "3s"}

    def __init__(self, url: str, points: Points, mailbox: Mailbox) -> None:
        super().__init__(url)
        self._points = points
        self._mailbox = mailbox

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        self._points.at("begin")
        with super().transaction() as session:
            yield session
            self._points.at(COMMIT)
        self._mailbox.confirmed()
        self._points.at(COMMITTED)


def clear(database: Database) -> None:
    """Empty every table; quicker than a new database, since they hold little."""
    with database.transaction() as session:
        for partition in session.scalars(text(_PARTITIONS)).all():
            session.execute(text(f"DROP TABLE {partition}"))
        session.connection().exec_driver_sql(_CLEAR)
