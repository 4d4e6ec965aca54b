"""The embedded Redis, with its real server and Celery's own client."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis as client
from kombu import Connection

from embedded import account, binaries, copies
from embedded.binaries import RedisProgram
from embedded.errors import ServerFailed
from embedded.redis import Redis
from tape.programs import command


@pytest.fixture
def server(state: Path) -> Redis:
    server = Redis(state)
    server.start()
    return server


def put(server: Redis, word: str) -> None:
    with Connection(server.url) as connection, connection.SimpleQueue("words") as queue:
        queue.put({"word": word})


def get(server: Redis) -> str:
    with Connection(server.url) as connection, connection.SimpleQueue("words") as queue:
        message = queue.get(timeout=5)
        message.ack()
        return str(message.payload["word"])


def pid_of(server: Redis) -> int:
    return int((server.folder / "redis.pid").read_text())


def test_messages_outlive_a_stop_and_a_start(server: Redis) -> None:
    """A message that was sent is there after the server was stopped and started again."""
    put(server, "磁带")

    server.stop()
    assert not server.running()
    server.start()

    assert get(server) == "磁带"


def test_messages_outlive_a_kill(server: Redis, wait_until: Callable[..., None]) -> None:
    """After kill -9 the server starts again, and a message that was sent is there."""
    put(server, "kept")
    psutil.Process(pid_of(server)).kill()
    wait_until(lambda: not server.running())

    server.start()

    assert get(server) == "kept"


def test_running_server_is_used_as_it_is(server: Redis) -> None:
    """Starting a running server starts no other one."""
    before = pid_of(server)

    Redis(server.state).start()

    assert pid_of(server) == before


def test_pid_of_an_unrelated_program_is_seen_through(
    server: Redis, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    """A pid file that names a living stranger stops neither the start nor the stranger."""
    who = account.for_servers()
    stranger = command.spawn(
        ["sleep", "600"], log=tmp_path / "log", cwd=Path("/"), user=who.switch_user, group=who.switch_group
    )
    psutil.Process(pid_of(server)).kill()
    wait_until(lambda: not server.running())
    (server.folder / "redis.pid").write_text(f"{stranger.pid}\n")

    server.stop()
    server.start()

    assert server.running()
    assert pid_of(server) != stranger.pid
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait(10)


def test_removed_socket_is_made_anew(server: Redis) -> None:
    """A server whose socket was cleaned away is restarted with its messages."""
    put(server, "kept")
    server.socket.unlink()

    server.start()

    assert get(server) == "kept"


def test_nothing_is_dropped_and_nobody_else_gets_in(server: Redis) -> None:
    """Messages are never evicted, each is written to the file, and only the owner can connect."""
    with client.Redis(unix_socket_path=str(server.socket), decode_responses=True) as connection:
        settings = connection.config_get("*")
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["appendonly"] == "yes"
    assert settings["port"] == "0"
    for path in (server.folder, server.socket):
        found = path.stat()
        assert found.st_uid == account.for_servers().user
        assert stat.S_IMODE(found.st_mode) == 0o700


def test_reason_of_a_failed_start_is_told(server: Redis) -> None:
    """The error of a start that fails carries Redis's own words."""
    put(server, "lost")
    server.stop()
    (journal,) = [path for path in server.folder.rglob("*.aof") if path.is_file() and path.stat().st_size]
    journal.write_bytes(b"nonsense\n" + journal.read_bytes())

    with pytest.raises(ServerFailed, match=r"Bad file format|append only file"):
        server.start()


def test_program_that_cannot_be_started_where_it_lies_is_copied(place: Path) -> None:
    """A redis-server without its x bit, as some installers leave it, is started from a copy."""
    bare = place / "redis-server"
    bare.write_bytes(binaries.redis().path.read_bytes())
    bare.chmod(0o644)
    state = place / "state"
    state.mkdir()

    copied = copies.redis(RedisProgram(bare), state, account.for_servers())

    assert copied.is_relative_to(state)
    assert "v=" in command.run([str(copied), "--version"], limit=20).output
    assert stat.S_IMODE(bare.stat().st_mode) == 0o644
