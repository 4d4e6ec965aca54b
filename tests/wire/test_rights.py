"""The database user of a drive host: a tape worker does all of its work with it, and it can do no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from embedded.servers import Servers
from tape.virtual.shelf import insert, new_cartridge
from tests.system import System

ROLE = "drive_host_test"

FORBIDDEN = (
    "UPDATE scheduled_tasks SET enabled = false",
    "UPDATE backup_tasks SET sources = '[]'",
    "INSERT INTO chain_runs (drive) VALUES ('tape0')",
    "UPDATE run_events SET message = '{}'",
    "UPDATE format_permits SET allowed = true",
    "DELETE FROM backup_sets",
    "DELETE FROM tape_cartridges",
    "DELETE FROM notifications",
    "DROP TABLE backup_files",
    "CREATE TABLE mine (x int)",
    "SELECT add_partition_of_files('20260101T000000Z-beef')",
)


@pytest.fixture
def worker_url(system: System, database_url: str, servers: Servers) -> Iterator[str]:
    """The address that ``tapeline drive rights`` prints, with the socket of the embedded server."""
    made = make_url(system.json("drive", "rights", ROLE)["database_url"])
    yield made.set(query=make_url(database_url).query).render_as_string(hide_password=False)
    url = make_url(database_url)
    with psycopg2.connect(user=url.username, host=url.query["host"], dbname=url.database) as connection:
        connection.cursor().execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


def _source(folder: Path) -> Path:
    (folder / "source").mkdir()
    (folder / "source" / "data").write_bytes(bytes(range(256)) * 1000)
    return folder / "source"


def test_a_tape_worker_needs_no_more(system: System, worker_url: str, short_path: Path) -> None:
    """A backup with a format, one that is appended, a wrong tape, a verify, a restore and an import."""
    source = _source(short_path)
    system.schedule("monthly", source, template={"verify_percent": 100})
    new_cartridge(system.drive.path, "A00001L9", capacity=64 << 20)
    insert(system.drive.path, "A00001L9")
    owner = system.environment
    system.start("control")
    system.environment = {**owner, "TAPELINE_DATABASE_URL": worker_url}
    system.start("tape")
    system.environment = owner
    for _ in range(2):
        run = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
        assert run["state"] == "SUCCEEDED", system.cli("runs", "show", str(run["id"])).stdout
    system.cli("sets", "verify", run["set_id"])
    system.cli("sets", "restore", run["set_id"], "--to", str(short_path / "restored"))
    system.cli("tape", "import")
    new_cartridge(system.drive.path, "B00001L9", capacity=64 << 20)
    insert(system.drive.path, "B00001L9")
    system.drive.format("XX20200101")
    refused = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert "this month's" in str(refused["reason"])
    assert b"permission denied" not in system.log("tape")


def test_it_can_do_no_more(system: System, worker_url: str) -> None:
    """No schedule or template is changed, no run made, no history rewritten, no table made or dropped."""
    url = make_url(worker_url)
    connection = psycopg2.connect(user=url.username, host=url.query["host"], dbname=url.database)
    connection.autocommit = True
    wrongly_done = []
    for statement in FORBIDDEN:
        try:
            connection.cursor().execute(statement)
        except (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.RaiseException):
            continue
        wrongly_done.append(statement)
    connection.close()
    assert wrongly_done == []


def test_the_rights_follow_an_upgrade(system: System, worker_url: str, database_url: str) -> None:
    """``tapeline migrate`` gives the group what it should have, whatever it had."""
    url = make_url(database_url)
    with psycopg2.connect(user=url.username, host=url.query["host"], dbname=url.database) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "REVOKE ALL ON drives FROM tapeline_drive_host; GRANT DELETE ON drives TO tapeline_drive_host"
        )
    system.cli("migrate")
    with psycopg2.connect(user=url.username, host=url.query["host"], dbname=url.database) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT has_table_privilege(%(r)s, 'drives', 'INSERT'),"
            " has_table_privilege(%(r)s, 'drives', 'DELETE')",
            {"r": ROLE},
        )
        assert cursor.fetchone() == (True, False)


def test_a_name_that_is_none(system: System) -> None:
    """Refused before anything is made."""
    assert "lower-case" in system.cli("drive", "rights", "x; DROP ROLE tapeline", code=2).stderr
