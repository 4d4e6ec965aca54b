"""The embedded PostgreSQL, with its real server."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import sqlalchemy

from embedded import account, binaries
from embedded.errors import ServerFailed, ServerNotInstalled, StateFolderUnusable
from embedded.postgres import SOCKET, Postgres
from tape.programs import command

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the servers as another user")


@pytest.fixture
def server(state: Path) -> Postgres:
    server = Postgres(state, durable=False)
    server.start()
    return server


@contextmanager
def connected(server: Postgres) -> Iterator[sqlalchemy.Connection]:
    engine = sqlalchemy.create_engine(server.url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def ask(server: Postgres, text: str) -> Any:
    with connected(server) as connection:
        return connection.execute(sqlalchemy.text(text)).scalar_one()


def write(server: Postgres) -> None:
    with connected(server) as connection:
        connection.execute(sqlalchemy.text("create table kept as select 7 as seven"))
        connection.commit()


def pid_of(server: Postgres) -> int:
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[command.RunningProgram]:
    """An unrelated process of the account that the servers run as."""
    who = account.for_servers()
    process = command.spawn(
        ["sleep", "600"], log=tmp_path / "log", cwd=Path("/"), user=who.switch_user, group=who.switch_group
    )
    yield process
    process.kill()
    process.wait(10)


def test_data_outlives_a_stop_and_a_start(server: Postgres) -> None:
    """What was committed is there after the server was stopped and started again."""
    write(server)

    server.stop()
    assert not server.running()
    server.start()

    assert ask(server, "select seven from kept") == 7


def test_running_server_is_used_as_it_is(server: Postgres) -> None:
    """Starting a running server starts no other one."""
    before = pid_of(server)

    Postgres(server.state).start()

    assert pid_of(server) == before


def test_text_is_compared_by_code_point_and_cased_by_unicode(server: Postgres) -> None:
    """The order of text depends on no locale of the machine, and upper() knows more than ASCII."""
    assert (
        ask(server, "select string_agg(c, '' order by c) from unnest(array['b','a','B','é','磁']) c")
        == "Babé磁"
    )
    assert ask(server, "select upper('éa')") == "ÉA"


def test_killed_postmaster_is_replaced(server: Postgres, wait_until: Callable[..., None]) -> None:
    """After kill -9 of the postmaster, with a session open, the server starts again with its data."""
    write(server)
    session = psycopg2.connect(server.url.replace("+psycopg2", ""))
    psutil.Process(pid_of(server)).kill()
    wait_until(lambda: not server.running())

    server.start()

    assert ask(server, "select seven from kept") == 7
    session.close()


def test_pid_of_an_unrelated_program_is_seen_through(
    server: Postgres, stranger: command.RunningProgram, wait_until: Callable[..., None]
) -> None:
    """Files that name a living stranger as the server stop neither the start nor the stranger."""
    psutil.Process(pid_of(server)).kill()
    wait_until(lambda: not server.running())
    for name in (server.data / "postmaster.pid", server.sockets / f"{SOCKET}.lock"):
        lines = name.read_text().splitlines()
        name.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")

    server.start()

    assert server.running()
    assert stranger.poll() is None
    server.stop()
    assert stranger.poll() is None


def test_removed_socket_is_made_anew(server: Postgres) -> None:
    """A server whose socket was cleaned away is restarted, since nobody could reach it."""
    write(server)
    (server.sockets / SOCKET).unlink()

    server.start()

    assert ask(server, "select seven from kept") == 7


def test_full_server_is_left_alone(server: Postgres) -> None:
    """A server that has no connection to spare counts as running and is not restarted."""
    before = pid_of(server)
    address = server.url.replace("+psycopg2", "")
    sessions = [psycopg2.connect(address) for _ in range(100)]

    server.start()

    assert server.running()
    assert pid_of(server) == before
    for session in sessions:
        session.close()


def test_interrupted_initdb_is_begun_again(state: Path) -> None:
    """What an interrupted initdb left is never taken for a data folder."""
    left = state / "pg" / "data.new"
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("18\n")
    server = Postgres(state, durable=False)

    server.start()

    assert server.running()
    assert not left.exists()


def test_data_of_a_missing_version_is_refused(server: Postgres) -> None:
    """Data of a version that is not installed is left alone, with the way to move it."""
    server.stop()
    (server.data / "PG_VERSION").write_text("11\n")

    with pytest.raises(ServerNotInstalled, match=r"made by PostgreSQL 11.*pg_dump"):
        server.start()

    assert server.version == 11
    (server.data / "PG_VERSION").write_text(f"{binaries.postgres().major}\n")


def test_reason_of_a_failed_start_is_told(server: Postgres) -> None:
    """The error of a start that fails carries PostgreSQL's own words and names the log."""
    server.stop()
    (server.data / "pg_hba.conf").write_text("nonsense\n")

    with pytest.raises(ServerFailed, match=r"pg_hba.conf.*postgres\.log"):
        server.start()


def test_nobody_else_gets_in(server: Postgres) -> None:
    """There is no TCP port, and the folders and the socket are their owner's alone."""
    listening = psutil.Process(pid_of(server)).net_connections("inet")
    assert list(listening) == []
    for path in (server.data, server.sockets, server.sockets / SOCKET):
        found = path.stat()
        assert found.st_uid == account.for_servers().user
        assert stat.S_IMODE(found.st_mode) == 0o700


def test_too_long_path_is_refused(place: Path) -> None:
    """A state folder whose sockets could not be opened is refused before anything is made."""
    deep = place / ("x" * 90)

    with pytest.raises(StateFolderUnusable, match=r"\d{3} bytes.*TAPELINE_STATE_DIR"):
        Postgres(deep).start()

    assert not deep.exists()


@pytest.mark.parametrize("name", ["a$HOME", 'a"b', "a,b", "a;b", "a\nb", "a`id`"])
def test_path_that_a_shell_would_misread_is_refused(place: Path, name: str) -> None:
    """Characters that mean something to a program on the way are refused with the setting's name."""
    with pytest.raises(StateFolderUnusable, match="TAPELINE_STATE_DIR"):
        Postgres(place / name).start()

    assert list(place.iterdir()) == []


def test_folder_of_another_user_is_refused(server: Postgres) -> None:
    """Data of another account are not taken over."""
    server.stop()
    mine = server.sockets
    if os.geteuid() != 0:
        pytest.skip("only root can make a folder of another user")
    os.chown(mine, 12345, 12345)

    with pytest.raises(StateFolderUnusable, match="belongs to user 12345"):
        server.start()


@as_root
def test_closed_parent_is_named_and_left_closed(place: Path) -> None:
    """Root's servers cannot pass a closed folder: the error names it, and no mode outside is changed."""
    closed = place / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(StateFolderUnusable, match=f"cannot pass through {closed} "):
        Postgres(closed / "state").start()

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_other_users_are_refused_by_the_socket(server: Postgres) -> None:
    """A user who is neither root nor the servers' own cannot connect."""
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(server.sockets / SOCKET)!r})"
    refused = command.run(["/usr/bin/python3", "-c", code], limit=20, cwd=Path("/"), user=1, group=1)

    assert refused.return_code != 0
    assert "PermissionError" in refused.output
    with socket.socket(socket.AF_UNIX) as allowed:
        allowed.connect(str(server.sockets / SOCKET))


@as_root
def test_copy_of_the_programs_is_renewed_with_the_wheel(server: Postgres) -> None:
    """Another version of the wheel leaves one copy of the programs, the new one."""
    (copy,) = server.state.glob("programs/postgresql-*")
    server.stop()
    copy.rename(copy.with_name("postgresql-0.0.1-18.0"))

    server.start()

    assert list(server.state.glob("programs/postgresql-*")) == [copy]
    assert server.running()
