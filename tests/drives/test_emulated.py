"""LTFS itself, on an emulated cartridge, where it is installed; the head of the test run says where not."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tape.drive import MediumState
from tape.errors import DriveError
from tape.judge import format_cartridge
from tape.ltfs import LtfsDrive
from tape.ltfs_setup import Setup

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("mkltfs") is None or os.geteuid() != 0,
    reason="mkltfs is not installed, or this user may not use emulated cartridges",
)


@pytest.fixture
def drive(tmp_path: Path) -> LtfsDrive:
    """A drive whose cartridge is a folder."""
    cartridge = tmp_path / "cartridge"
    cartridge.mkdir()
    return LtfsDrive("tape", Setup(device=str(cartridge), folder=tmp_path / "host", backend="file"))


def test_an_emulated_cartridge_from_blank_to_read_back(drive: LtfsDrive) -> None:
    """Blank, formatted, written, sealed, relabelled, checked and read: judged as on a real drive."""
    assert drive.look().state is MediumState.BLANK
    outcome = format_cartridge(drive, "TP20261101", serial="TP1101")
    assert outcome.ok, outcome
    assert (outcome.after.label, outcome.after.serial, outcome.after.empty) == ("TP20261101", "TP1101", True)
    with drive.mount() as volume:
        file = volume.create("sets/1/资料.tar")
        file.write(b"x" * 1_000_000)
        file.close()
        volume.seal()
    assert drive.look().empty is False
    drive.relabel("TP20261102")
    assert drive.look().label == "TP20261102"
    assert "16022I" in drive.check().output
    with drive.mount(read_only=True) as volume, volume.open("sets/1/资料.tar") as reader:
        assert reader.read() == b"x" * 1_000_000


def test_an_emulated_cartridge_is_changed_by_hand(drive: LtfsDrive) -> None:
    """There is nothing to eject."""
    with pytest.raises(DriveError):
        drive.eject()
