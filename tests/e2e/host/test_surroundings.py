"""What surrounds Tapeline and is not as it should be: said by doctor, at once and with a remedy."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis
from sqlalchemy import make_url

from celery_app import wiring
from celery_app.worker import guards
from db.engine import Database
from db.errors import WrongEncoding
from embedded.servers import Servers
from tests.e2e.host.test_doctor import wrong
from tests.e2e.messages.dusk import pooled
from tests.system import System


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_of_another_encoding(servers: Servers, system: System, encoding: str) -> None:
    """Refused at migrate, before there is a table in it; doctor names it, and a worker does not start."""
    url = make_url(servers.database_url)
    connection = psycopg2.connect(user=url.username, host=url.query["host"], dbname="postgres")
    connection.autocommit = True
    name = f"in_{encoding.lower()}"
    try:
        connection.cursor().execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
            " TEMPLATE template0"
        )
        system.environment["TAPELINE_DATABASE_URL"] = url.set(database=name).render_as_string(
            hide_password=False
        )
        refused = system.cli("migrate", code=1)
        assert f"encoding is {encoding}, and has to be UTF8" in refused.stderr
        assert "createdb -T template0 -E UTF8" in refused.stderr
        assert encoding in wrong(system)["Database"]
        found = Database(system.environment["TAPELINE_DATABASE_URL"])
        with pytest.raises(WrongEncoding), found.outside_transactions():
            found.check_version()
        found.close()
    finally:
        connection.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.close()


def test_redis_that_takes_no_messages(system: System, broker_client: redis.Redis) -> None:
    """At its maxmemory, or a replica: doctor says which, and does not end with it."""
    try:
        broker_client.config_set("maxmemory", "100kb")
        broker_client.config_set("maxmemory-policy", "noeviction")
        assert "Raise 'maxmemory'" in wrong(system)["Broker"]
        broker_client.config_set("maxmemory", "0")
        broker_client.replicaof("127.0.0.1", "1")
        assert "broker_url" in wrong(system)["Broker"]
    finally:
        broker_client.config_set("maxmemory", "0")
        broker_client.replicaof("NO", "ONE")


def test_a_tape_worker_that_does_not_answer(system: System) -> None:
    """Any other worker is no substitute: the drive's own is asked for, and status says when none is there."""
    assert "Nothing runs" in system.cli("status", code=1).stdout
    source = system.folder / "source"
    source.mkdir()
    system.schedule("daily", source)
    system.start("control", "tape")
    system.cli("status", code=0)
    assert "Workers" not in wrong(system)
    system.processes["tape"].send_signal(signal.SIGSTOP)
    assert (
        "No worker answers for: tape. Start it on its host: tapeline worker tape" in wrong(system)["Workers"]
    )
    system.processes["tape"].send_signal(signal.SIGCONT)
    system.wait_for(lambda: "Workers" not in wrong(system), "the worker to answer again")


PGBOUNCER = shutil.which("pgbouncer")


@pytest.fixture
def behind_a_pooler(database_url: str, short_path: Path) -> Iterator[str]:
    """The address of a PgBouncer in transaction mode before the database."""
    with pooled(database_url, short_path / "pool", str(PGBOUNCER)) as address:
        yield address


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
def test_a_pooler_that_gives_each_transaction_another_connection(
    behind_a_pooler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drive is held by one worker, and free as soon as that one has ended."""
    database = Database(behind_a_pooler)
    monkeypatch.setattr(wiring, "database", lambda: database)
    held = guards.lock_in_database("tape0")
    for _ in range(3):
        with pytest.raises(guards.WorkerRefused), database.transaction():
            guards.lock_in_database("tape0")
    guards.lock_in_database("tape1").close()
    held.exec_driver_sql("SELECT 1")
    held.close()
    guards.lock_in_database("tape0").close()
    database.close()
