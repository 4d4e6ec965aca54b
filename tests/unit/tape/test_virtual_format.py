"""The format program of the virtual drive as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tape.drive import MediumState
from tape.errors import DriveBusy
from tape.hostlock import HostLock
from tape.virtual import record as virtual_record
from tape.virtual.drive import VirtualDrive, insert, new_cartridge

ROOT = Path(__file__).parents[3]
BARCODE = "TAPE01L8"

FORMATTER = """
import sys
from pathlib import Path
from tape.hostlock import HostLock
from tape.virtual.drive import VirtualDrive
path = Path(sys.argv[1])
with HostLock(path / "drive.lock") as lock:
    VirtualDrive("tape", path).format(
        "TP20261101", on_output=lambda line: print(line, flush=True), inherit=[lock.descriptor]
    )
"""


@pytest.fixture
def drive(tmp_path: Path) -> VirtualDrive:
    """A drive with a blank cartridge that takes a second to format."""
    new_cartridge(tmp_path, BARCODE, capacity=10_000, format_seconds=1.0)
    insert(tmp_path, BARCODE)
    return VirtualDrive("tape", tmp_path)


def test_an_orphaned_format_holds_the_drive(drive: VirtualDrive) -> None:
    """A format whose starter is killed goes on to its end, and the drive is held and busy until then."""
    starter = subprocess.Popen(
        [sys.executable, "-c", FORMATTER, str(drive.path)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert starter.stdout
    with starter.stdout as lines:
        while b"LTFS11097I" not in lines.readline():
            assert starter.poll() is None
        program = psutil.Process(starter.pid).children()[0]
        wait_until(lambda: virtual_record.read(drive.path / "cartridges" / BARCODE).formatting)
        program.suspend()
        starter.send_signal(signal.SIGKILL)
        starter.wait()
    with pytest.raises(DriveBusy, match=str(starter.pid)):
        HostLock(drive.path / "drive.lock").acquire()
    with pytest.raises(DriveBusy, match=str(starter.pid)):
        drive.look()
    program.resume()
    wait_until(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE)
    with HostLock(drive.path / "drive.lock"):
        assert drive.look().label == "TP20261101"


def wait_until(condition: object, limit: float = 20.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_it_takes_its_time(drive: VirtualDrive) -> None:
    """A format takes as long as the cartridge says."""
    assert drive.format("TP20261101").seconds >= 1.0


def test_it_needs_no_installed_package(drive: VirtualDrive, tmp_path: Path) -> None:
    """The program starts in any folder, with nothing but Python's own library."""
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "json.py").write_text("raise SystemExit('the wrong module')")
    before = Path.cwd()
    os.chdir(odd)
    try:
        assert drive.format("TP20261101").return_code == 0
    finally:
        os.chdir(before)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tape.virtual.format_program", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_messages_go_to_standard_error(drive: VirtualDrive) -> None:
    """As with mkltfs, every message goes to standard error."""
    done = run("-d", str(drive.path / "cartridges" / BARCODE), "-n", "TP20261101")
    assert (done.returncode, done.stdout) == (0, "")
    assert "LTFS15024I Medium formatted successfully." in done.stderr.splitlines()


def test_a_formatted_medium_needs_force(drive: VirtualDrive) -> None:
    """A cartridge with a format is refused without -f, and nothing is touched."""
    assert drive.format("TP20261101").return_code == 0
    before = drive.look()
    done = run("-d", str(drive.path / "cartridges" / BARCODE), "-n", "TP20261102")
    assert done.returncode == 16
    assert "LTFS15047E" in done.stderr
    assert drive.look() == before


def test_a_protected_medium_is_refused_by_the_program_too(tmp_path: Path) -> None:
    """The program does not rely on the driver: a write-protected cartridge stays as it is."""
    new_cartridge(tmp_path, BARCODE, capacity=10_000, write_protected=True)
    done = run("-d", str(tmp_path / "cartridges" / BARCODE), "-n", "TP20261101", "-f")
    assert done.returncode == 16
    assert "LTFS11095E" in done.stderr


def test_no_such_cartridge(tmp_path: Path) -> None:
    """A folder that is no cartridge is refused as a device that cannot be opened."""
    done = run("-d", str(tmp_path), "-n", "TP20261101")
    assert done.returncode == 8
    assert "LTFS15009E" in done.stderr


def test_a_half_formatted_cartridge_can_be_formatted(drive: VirtualDrive) -> None:
    """A format that was cut off is made good by another one."""
    with virtual_record.editing(drive.path / "cartridges" / BARCODE) as record:
        record.formatting = True
    assert drive.look().state is MediumState.UNREADABLE
    assert drive.format("TP20261101").return_code == 0
    assert drive.look().label == "TP20261101"
