"""The drive's lock on its host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tape.errors import DriveBusy, DriveError
from tape.hostlock import HostLock

ROOT = Path(__file__).parents[3]

HOLDER = """
import subprocess, sys
from pathlib import Path
from tape.hostlock import HostLock
lock = HostLock(Path(sys.argv[1]))
lock.acquire()
inherited = [lock.descriptor] if sys.argv[2] == "inherit" else []
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=inherited)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_one_holder(tmp_path: Path) -> None:
    """A lock that is held is refused at once, naming the process and the host that hold it."""
    path = tmp_path / "drive.lock"
    lock = HostLock(path)
    with lock:
        with pytest.raises(DriveBusy) as refused:
            HostLock(path).acquire()
        assert refused.value.message.params["pid"] == os.getpid()
        assert refused.value.message.params["host"] == os.uname().nodename
        assert refused.value.remedy
        with pytest.raises(DriveBusy):
            lock.acquire()
    with HostLock(path):
        pass


def test_released_and_taken_again(tmp_path: Path) -> None:
    """A lock can be taken again after it was let go; letting go twice does nothing."""
    lock = HostLock(tmp_path / "drive.lock")
    for _ in range(2):
        lock.acquire()
        lock.release()
        lock.release()
    with pytest.raises(ValueError, match="not locked"):
        _ = lock.descriptor


def test_the_descriptor_is_not_inherited_by_chance(tmp_path: Path) -> None:
    """The descriptor is open in the holder, and goes to a program only when it is given to it."""
    with HostLock(tmp_path / "drive.lock") as lock:
        assert os.fstat(lock.descriptor).st_ino == (tmp_path / "drive.lock").stat().st_ino
        assert not os.get_inheritable(lock.descriptor)


@pytest.mark.parametrize("content", [b"", b"rubbish", b'\0{"pid": 1}', b"\0[]", b"\xff\xfe"])
def test_an_odd_note(tmp_path: Path, content: bytes) -> None:
    """Whatever stands in the file, a lock that is held is refused with DriveBusy."""
    path = tmp_path / "drive.lock"
    with HostLock(path):
        path.write_bytes(content)
        with pytest.raises(DriveBusy, match=r"process \?"):
            HostLock(path).acquire()


def test_a_lock_file_that_cannot_be(tmp_path: Path) -> None:
    """A lock file in a folder that is not there is an error that names it, and not a busy drive."""
    with pytest.raises(DriveError, match="absent") as failed:
        HostLock(tmp_path / "absent" / "drive.lock").acquire()
    assert not isinstance(failed.value, DriveBusy)


@pytest.fixture(params=["inherit", "alone"])
def holder(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int, str]]:
    """A process that holds the lock, the child that it started, and whether that inherited the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "drive.lock"), request.param],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin
    assert process.stdout
    with process.stdin, process.stdout:
        yield process, int(process.stdout.readline()), request.param
        process.kill()
        process.wait()


def test_the_last_holder_frees_it(tmp_path: Path, holder: tuple[subprocess.Popen[bytes], int, str]) -> None:
    """A killed holder frees the lock, unless a program that inherited it still runs."""
    process, child, kind = holder
    lock = HostLock(tmp_path / "drive.lock")
    with pytest.raises(DriveBusy, match=str(process.pid)):
        lock.acquire()
    os.kill(child, signal.SIGSTOP)
    process.kill()
    process.wait()
    if kind == "inherit":
        with pytest.raises(DriveBusy, match=str(process.pid)):
            lock.acquire()
    else:
        lock.acquire()
    os.kill(child, signal.SIGKILL)
    if kind == "inherit":
        _wait_for(lock)
    lock.release()


def _wait_for(lock: HostLock) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            return lock.acquire()
        except DriveBusy:
            time.sleep(0.01)
    raise AssertionError("the lock did not become free")
