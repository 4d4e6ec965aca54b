"""What the conformance suite needs of a driver: a drive, cartridges to put in, and ways to break them."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from tape import ltfs_mounts
from tape.drive import Drive
from tape.ltfs import LtfsDrive
from tape.ltfs_setup import Limits, Setup
from tape.virtual import VirtualDrive, insert, new_cartridge, remove, set_faults, set_write_protected
from tape.virtual_shelf import inserted
from tests.ltfs import programs

CAPACITY = 4 * 1024 * 1024


class Rig(ABC):
    """One drive under test."""

    drive: Drive
    recipe: str
    """Python that makes ``drive`` again, in another process."""
    grain = 1
    """In how many bytes at a time the drive counts its room when nothing is mounted."""

    @abstractmethod
    def insert_blank(self) -> str:
        """Put in a cartridge that was never formatted; returns its barcode."""

    @abstractmethod
    def protect(self) -> None:
        """Set the write-protect switch of the cartridge that is in."""

    @abstractmethod
    def remove(self) -> None:
        """Take the cartridge out by hand."""

    @abstractmethod
    def plan(self, *faults: dict[str, Any]) -> None:
        """Give the cartridge that is in a fault plan, or skip the test where none can be given."""

    @abstractmethod
    def insert(self, barcode: str) -> None:
        """Put in a cartridge that was taken out."""

    @abstractmethod
    def power_off(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process that works at the drive, and whatever has the volume mounted for it."""

    def insert_formatted(self, label: str = "TP20261101") -> str:
        """Put in a new cartridge with an empty volume."""
        barcode = self.insert_blank()
        assert self.drive.format(label, serial="TP1101").return_code == 0
        return barcode

    def store(self, name: str, data: bytes = b"data") -> None:
        """Write one file in a mount of its own."""
        with self.drive.mount() as volume:
            file = volume.create(name)
            file.write(data)
            file.close()


class VirtualRig(Rig):
    """A virtual drive in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "drive"
        self.drive = VirtualDrive("tape", self.path, label_limit=0.2, format_limit=20)
        self.recipe = (
            "from pathlib import Path\nfrom tape.virtual import VirtualDrive\n"
            f"drive = VirtualDrive('tape', Path({str(self.path)!r}))\n"
        )
        self._cartridges = 0

    def insert_blank(self) -> str:
        self._cartridges += 1
        barcode = f"TAPE{self._cartridges:02d}L8"
        new_cartridge(self.path, barcode, capacity=CAPACITY)
        insert(self.path, barcode)
        return barcode

    def protect(self) -> None:
        set_write_protected(self.path, self._inside(), on=True)

    def remove(self) -> None:
        remove(self.path)

    def plan(self, *faults: dict[str, Any]) -> None:
        set_faults(self.path, self._inside(), faults)

    def insert(self, barcode: str) -> None:
        insert(self.path, barcode)

    def power_off(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def _inside(self) -> str:
        barcode = inserted(self.path)
        assert barcode is not None
        return barcode


class LtfsRig(VirtualRig):
    """The driver of LTFS on Linux, over stand-ins for its programs and a virtual drive for the hardware."""

    grain = 1024 * 1024

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path.mkdir(parents=True)
        setup = {
            "device": str(self.path),
            "folder": folder / "host",
            "programs": programs.install(folder / "bin"),
            "limits": Limits(label=4, format=20, mount=20, unmount=20, check=20, move=20),
        }
        self.drive = LtfsDrive("tape", Setup(**setup))
        self.recipe = (
            "from pathlib import *\n"
            "from tape.ltfs import LtfsDrive\nfrom tape.ltfs_setup import Limits, Setup\n"
            f"drive = LtfsDrive('tape', Setup(**{setup!r}))\n"
        )

    def power_off(self, process: subprocess.Popen[bytes]) -> None:
        super().power_off(process)
        for serving in ltfs_mounts.processes("ltfs", str(self.path)):
            serving.kill()
            serving.wait()
        mounted = ltfs_mounts.of(str(self.path))
        if mounted:
            subprocess.run(["umount", str(mounted.point)], check=True)


RIGS: dict[str, type[VirtualRig]] = {"virtual": VirtualRig, "ltfs": LtfsRig}


def not_here(name: str) -> str | None:
    """Why a driver cannot be tested on this machine, or None if it can."""
    return programs.missing() if name == "ltfs" else None
