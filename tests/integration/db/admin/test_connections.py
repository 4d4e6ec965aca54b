"""How many connections the database needs: one for the lock of each drive, and no other while it is idle."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from celery_app import reading, wiring
from celery_app.worker import guards
from db import alerts
from db.engine import Database
from db.errors import DatabaseUnavailable
from db.models import now
from db.tapes import drives
from embedded.postgres import A_DRIVE, OTHERS, Postgres
from embedded.servers import Servers
from tape.hostlock import HostLock

MANY = 48


@pytest.fixture
def process(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The database of a worker's process, which is this one."""
    found = Database(database.url)
    monkeypatch.setattr(wiring, "database", lambda: found)
    monkeypatch.setattr(reading, "enter", lambda *_: None)
    yield found
    found.close()


def open_connections(database: Database) -> int:
    """Those of the database of this test but that which asks."""
    with database.transaction() as session:
        count = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return session.scalars(count).one() - 1


def test_an_idle_drive_needs_the_connection_of_its_lock_alone(
    process: Database, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a sign of life, and after a task."""
    with database.transaction() as session:
        drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
    connection = guards.lock_in_database("tape0")
    holding = guards.Held("tape0", HostLock(tmp_path / "drive.lock"), connection)
    guards.Keeper(holding, "w", "tape")._keep()
    assert open_connections(database) == 1
    monkeypatch.setattr(guards, "_held", holding)
    with process.transaction() as session:
        drives.seen(session, "tape0")
    guards._note_no_task()
    assert open_connections(database) == 1
    connection.close()


@pytest.fixture
def own(short_path: Path) -> Iterator[Database]:
    """A server of its own, whose connections nobody else needs."""
    with Servers(short_path / "s", durable=False).use() as servers:
        found = Database(servers.database_url)
        found.upgrade()
        yield found
        found.close()


def test_many_idle_drives_leave_connections_and_their_end_is_named_in_time(own: Database) -> None:
    """The alert comes while it can still be read; then an error names what is missing, and passes."""
    with ExitStack() as stack:
        for number in range(MANY):
            stack.enter_context(contextlib.closing(_locked(own, f"tape{number}")))
        assert not _warned(own)
        others: list[Connection] = []
        with pytest.raises(DatabaseUnavailable, match="takes no more connections"):
            _use_up(own, others)
        for each in others:
            stack.callback(each.close)
        others.pop().close()
        assert _warned(own)
    assert not _warned(own)


def _locked(database: Database, drive: str) -> Connection:
    connection = database.stay()
    assert drives.try_lock(connection, drive)
    return connection


def _use_up(database: Database, others: list[Connection]) -> None:
    while True:
        others.append(database.stay())


def _warned(database: Database) -> list[alerts.Alert]:
    with database.transaction() as session:
        found = alerts.alerts(session, now(), [], lambda _: False)
    return [each for each in found if each.topic is alerts.Topic.DATABASE]


def test_an_embedded_server_has_connections_for_every_drive(tmp_path: Path) -> None:
    assert Postgres(tmp_path, drives=MANY).connections == OTHERS + MANY * A_DRIVE
