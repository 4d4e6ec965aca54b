"""Both servers together, shared by several processes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import sysconfig
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import sqlalchemy
from kombu import Connection

import embedded
from embedded import account
from embedded.errors import NotOnThisPlatform, StateFolderUnusable
from embedded.folders import may_execute
from embedded.servers import Servers
from tape.programs import command

USER = """
    import sys
    from pathlib import Path
    from embedded.servers import Servers

    with Servers(Path(sys.argv[1]), durable=False).use() as servers:
        print("in", servers.running(), flush=True)
        sys.stdin.read() if sys.argv[2] == "short" else __import__("signal").pause()
"""


@pytest.fixture
def servers(state: Path) -> Servers:
    return Servers(state, durable=False)


def pids(servers: Servers) -> tuple[str, str]:
    postmaster = (servers.postgres.data / "postmaster.pid").read_text().splitlines()[0]
    return postmaster, (servers.redis.folder / "redis.pid").read_text().strip()


def test_servers_run_while_they_are_used(servers: Servers) -> None:
    """Entering starts both, leaving stops both."""
    with servers.use():
        assert servers.running()

    assert not servers.running()


def test_last_user_stops_them(servers: Servers) -> None:
    """Whoever leaves while another still uses them leaves them running."""
    with ExitStack() as first:
        first.enter_context(servers.use())
        with ExitStack() as second:
            second.enter_context(Servers(servers.state, durable=False).use())
            before = pids(servers)
            first.close()
            assert servers.running()
            assert pids(servers) == before

    assert not servers.running()


def test_failure_inside_stops_them_too(servers: Servers) -> None:
    """An error in the context passes through, and the servers are stopped."""
    with pytest.raises(ZeroDivisionError), servers.use():
        _ = 1 / 0

    assert not servers.running()


def test_killed_user_leaves_them_for_the_next(
    servers: Servers, script: Callable[[str, str], Path], place: Path, wait_until: Callable[..., None]
) -> None:
    """After kill -9 of their only user they still run; the next one uses the same, and stops them."""
    log = place / "log"
    user = command.spawn([sys.executable, str(script("user.py", USER)), str(servers.state), "long"], log=log)
    wait_until(lambda: log.exists() and "in True" in log.read_text())
    os.kill(user.pid, signal.SIGKILL)
    user.wait(10)
    before = pids(servers)

    with servers.use():
        assert pids(servers) == before

    assert not servers.running()


def test_many_users_at_once_start_one_pair(
    servers: Servers, script: Callable[[str, str], Path], place: Path, wait_until: Callable[..., None]
) -> None:
    """Processes that enter at the same moment all succeed, with one postmaster between them."""
    path = script("user.py", USER)
    logs = [place / f"log{number}" for number in range(4)]
    users = [command.spawn([sys.executable, str(path), str(servers.state), "long"], log=log) for log in logs]
    wait_until(lambda: all(log.exists() and "in True" in log.read_text() for log in logs), 60)

    running = [
        p for p in psutil.process_iter(["cmdline"]) if str(servers.postgres.data) in (p.info["cmdline"] or [])
    ]

    assert len(running) == 1
    for user in users:
        user.kill()
        user.wait(10)


def test_entering_is_quick_when_they_run(servers: Servers) -> None:
    """A short command that finds them running loses no time."""
    with servers.use():
        seconds = []
        for _ in range(5):
            begun = time.monotonic()
            with Servers(servers.state).use():
                seconds.append(time.monotonic() - begun)

    assert min(seconds) < 0.1


def test_odd_but_legal_path_works(place: Path) -> None:
    """Spaces, quotes, percent signs and Chinese characters in the path do no harm, in either address."""
    with Servers(place / "it's 磁带 %41", durable=False).use() as servers:
        engine = sqlalchemy.create_engine(servers.database_url)
        with engine.connect() as connection:
            assert connection.scalar(sqlalchemy.text("select current_database()")) == "tapeline"
        engine.dispose()
        with Connection(servers.broker_url) as broker, broker.SimpleQueue("words") as queue:
            queue.put({"word": "磁带"})
            message = queue.get(timeout=5)
            message.ack()
            assert message.payload == {"word": "磁带"}


def test_strict_umask_does_no_harm(servers: Servers) -> None:
    """Under a mask that closes everything to others, the servers still reach what they need."""
    before = os.umask(0o077)
    try:
        with servers.use():
            assert servers.running()
    finally:
        os.umask(before)


def test_other_platforms_are_told_which_settings_to_give(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no POSIX, one line names the two settings for real servers."""
    monkeypatch.setattr(account, "os", SimpleNamespace(name="nt"))

    with pytest.raises(NotOnThisPlatform, match=r"TAPELINE_DATABASE_URL.*TAPELINE_BROKER_URL"):
        Servers(servers.state)


def test_file_in_the_place_of_the_folder_is_told(place: Path) -> None:
    """A state folder that cannot be made is told in one line with the setting's name."""
    (place / "file").touch()

    with pytest.raises(StateFolderUnusable, match="TAPELINE_STATE_DIR"), Servers(place / "file").use():
        pytest.fail("it must not come up")


def test_started_as_root_they_run_as_nobody(servers: Servers) -> None:
    """Root's servers are not root's processes, and the state folder is not open to read."""
    if os.geteuid() != 0:
        pytest.skip("not root")
    with servers.use():
        assert {psutil.Process(int(pid)).uids().effective for pid in pids(servers)} == {
            account.for_servers().user
        }
        assert servers.state.stat().st_mode & 0o777 == 0o711


def test_ordinary_user_needs_no_root(place: Path, script: Callable[[str, str], Path]) -> None:
    """An ordinary user starts, uses and stops them in a folder of its own."""
    if os.geteuid() != 0:
        pytest.skip("the other tests ran as an ordinary user already")
    python = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin")
    code = Path(embedded.__file__).parent.parent
    packages = sysconfig.get_path("platlib")
    nobody = account.for_servers()
    if python is None or not may_execute(Path(packages), nobody) or not may_execute(code, nobody):
        pytest.skip("no Python, or no packages, that an ordinary user could reach")
    own = place / "own"
    own.mkdir()
    os.chown(own, nobody.user, nobody.group)

    done = command.run(
        [python, str(script("user.py", USER)), str(own / "state"), "short"],
        limit=60,
        cwd=own,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{code}:{packages}", "PYTHONDONTWRITEBYTECODE": "1"},
        user=nobody.user,
        group=nobody.group,
    )

    assert "in True" in done.output
    assert done.return_code == 0
    assert (own / "state").stat().st_mode & 0o777 == 0o700
    assert not Servers(own / "state").running()
