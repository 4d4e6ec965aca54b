"""What is on a tape after the process that wrote it was killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tape.errors import DriveBusy, DriveError, VolumeGone
from tests.drives.rig import Rig

ROOT = Path(__file__).parents[2]

WRITER = """
import sys
with drive.mount() as volume:
    def write(name, data):
        file = volume.create(name)
        file.write(data)
        file.close()
        return file
    write("sets/sealed", b"kept")
    volume.seal()
    write("sets/closed", b"x" * 10_000)
    volume.create("open").write(b"y" * 5_000)
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(rig: Rig) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has sealed one file, written two more, and still holds the drive."""
    rig.insert_formatted()
    process = subprocess.Popen(
        [sys.executable, "-c", rig.recipe + WRITER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin
    assert process.stdout
    with process.stdin, process.stdout:
        assert process.stdout.readline().strip() == b"written"
        yield process
        process.kill()
        process.wait()


def test_only_sealed_files_survive(rig: Rig, writer: subprocess.Popen[bytes]) -> None:
    """After a crash only what was sealed is there, and the room of the rest stays used.

    Where the index is written at the close of a file, what was closed was sealed.
    """
    left = ["closed", "sealed"] if rig.seals_at_close else ["sealed"]
    before = rig.drive.look()
    rig.power_off(writer)
    assert rig.drive.look().identity == before.identity
    with rig.drive.mount() as volume:
        assert volume.names() == ["sets"]
        assert volume.names("sets") == left
        assert volume.size("open") is None
        with volume.open("sets/sealed") as file:
            assert file.read() == b"kept"
        assert volume.free() <= rig.capacity - 15_000
        volume.create("open").close()
    assert rig.drive.look().empty is False


def test_the_drive_is_held_until_the_end(rig: Rig, writer: subprocess.Popen[bytes]) -> None:
    """While another process has the volume mounted the drive is busy, and free once that has ended."""
    with pytest.raises(DriveBusy, match=str(writer.pid)), rig.drive.mount():
        raise AssertionError("mounted")
    assert writer.stdin
    writer.stdin.close()
    assert writer.wait(20) == 0
    with rig.drive.mount() as volume:
        assert volume.names() == ["open", "sets"]
        assert volume.names("sets") == ["closed", "sealed"]


@pytest.mark.needs("dies")
def test_a_mount_that_dies(rig: Rig) -> None:
    """When what serves the volume has died, nothing is written beside it, and the next mount has all that was
    sealed."""
    rig.insert_formatted()
    # Leaving it may say so once more.
    with suppress(DriveError), rig.drive.mount() as volume:
        volume.create("sealed").close()
        volume.seal()
        begun = volume.create("lost")
        rig.die()
        verbs: list[Callable[[], object]] = [lambda: volume.create("file"), volume.seal]
        if rig.tells_volume:
            verbs += [lambda: begun.write(b"x"), lambda: volume.open("sealed")]
        for verb in verbs:
            with pytest.raises(VolumeGone if rig.tells_volume else DriveError, match="no longer"):
                verb()
    with rig.drive.mount() as volume:
        assert volume.names() == ["sealed"]
        volume.create("file").close()
