"""What the conformance suite needs of a driver: a drive, cartridges to put in, and ways to break them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from tape.drive import Drive
from tape.ltfs import mounts
from tape.ltfs.drive import LtfsDrive
from tape.ltfs.setup import ProgramLimits, Setup
from tape.virtual import shelf
from tape.virtual.drive import (
    VirtualDrive,
    insert,
    new_cartridge,
    remove,
    set_faults,
    set_write_protected,
)
from tape.virtual.shelf import inserted
from tests.ltfs import programs


class Rig(ABC):
    """One drive under test."""

    drive: Drive
    recipe: str
    """Python that makes ``drive`` again, in another process."""
    capacity = 4 * 1024 * 1024
    overhead = 0
    """How many bytes of it a format itself may take."""
    counts_at_once = True
    """Whether its room shrinks with each write, and not only once that is on the tape."""
    rest_when_full = 0
    """How many bytes it may still call free when nothing more fits."""
    grain = 1
    """In how many bytes at a time the drive counts its room when nothing is mounted."""

    tells_empty = True
    """Whether the drive knows that it is empty."""
    moves = True
    """Whether it loads and ejects."""
    tells_cartridge = True
    """Whether it knows the cartridge's own number, which survives a format."""
    tells_volume = True
    """Whether it knows the volume's UUID and serial, which tell two volumes of one label apart."""
    tells_health = True
    """Whether it counts loads, bytes and errors, and has alerts."""
    tells_why_read_only = True
    """Whether a switch is told from a write that failed; if not, a broken tape is not formatted either."""
    seals_at_close = False
    """Whether the index is written at the close of each file, and not when it is asked for."""
    reads_again = False
    """Whether the system itself reads again, once or more often, what could not be read; a test mends it."""
    breaks = True
    """Whether its cartridges can be given a fault plan."""
    dies = True
    """Whether the volume is served by a process, which may die under its mount."""
    protects = True
    """Whether its cartridges have a switch here."""
    tells_switch = True
    """Whether the drive knows of it before it has mounted the volume."""

    recovers_deeply = False
    """Whether the end of the data can be looked for where it is not marked on the tape."""
    proves_blank = True
    """Whether a new cartridge is told from one that another program has written."""
    locks = True
    """Whether a program can lock a volume against writing here, on purpose."""
    told_by_turs = False
    """Whether sg3_utils tell what is in it instead of a tape."""

    @abstractmethod
    def insert_blank(self) -> str:
        """Put in a cartridge that was never formatted; returns its barcode."""

    @abstractmethod
    def insert_foreign(self) -> str:
        """Put in a cartridge that another program has written; returns its barcode."""

    def answer(self, key: str, sense: str) -> None:
        """Have the drive answer that it is not ready."""
        raise AssertionError("nobody asks it")

    def lose_the_end(self) -> None:
        """Take the mark at the end of the data off the tape."""
        raise AssertionError("it has none")

    def lock(self) -> None:
        """Lock the volume against writing on purpose, as a program may."""
        raise AssertionError("it locks nothing")

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
    def die(self) -> None:
        """Kill the process that serves the mounted volume."""

    @abstractmethod
    def insert(self, barcode: str) -> None:
        """Put in a cartridge that was taken out."""

    @abstractmethod
    def power_off(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process that works at the drive, and whatever has the volume mounted for it."""

    def close(self) -> None:  # noqa: B027 - most leave nothing behind
        """End what the rig has started."""

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

    dies = False

    def __init__(self, folder: Path) -> None:
        self.path = folder / "drive"
        self.drive = VirtualDrive("tape", self.path, label_limit=0.2, format_limit=20)
        self.recipe = (
            "from pathlib import Path\nfrom tape.virtual.drive import VirtualDrive\n"
            f"drive = VirtualDrive('tape', Path({str(self.path)!r}))\n"
        )
        self._cartridges = 0

    def insert_blank(self) -> str:
        self._cartridges += 1
        barcode = f"TAPE{self._cartridges:02d}L8"
        new_cartridge(self.path, barcode, capacity=self.capacity)
        insert(self.path, barcode)
        return barcode

    def insert_foreign(self) -> str:
        barcode = self.insert_blank()
        with shelf.edit(self.path, barcode) as record:
            record.foreign = True
        return barcode

    def lock(self) -> None:
        with shelf.edit(self.path, self._inside()) as record:
            assert record.volume
            record.volume.locked = True

    def protect(self) -> None:
        set_write_protected(self.path, self._inside(), on=True)

    def remove(self) -> None:
        remove(self.path)

    def plan(self, *faults: dict[str, Any]) -> None:
        set_faults(self.path, self._inside(), faults)

    def die(self) -> None:
        raise AssertionError("nothing serves it")

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
    dies = told_by_turs = recovers_deeply = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path.mkdir(parents=True)
        self.setup: dict[str, Any] = {
            "device": str(self.path),
            "folder": folder / "host",
            "programs": programs.install(folder / "bin"),
            "limits": ProgramLimits(label=6, format=20, mount=20, unmount=20, check=20, move=20),
        }
        self._make()

    def _make(self) -> None:
        self.drive = LtfsDrive("tape", Setup(**self.setup))
        self.recipe = (
            "from pathlib import *\n"
            "from tape.ltfs.drive import LtfsDrive\nfrom tape.ltfs.setup import ProgramLimits, Setup\n"
            f"drive = LtfsDrive('tape', Setup(**{self.setup!r}))\n"
        )

    def lose_the_end(self) -> None:
        with shelf.edit(self.path, self._inside()) as record:
            assert record.volume
            record.volume.end_lost = True

    def answer(self, key: str, sense: str) -> None:
        (self.path / "sense").write_text(f"{key}|{sense}")

    def power_off(self, process: subprocess.Popen[bytes]) -> None:
        super().power_off(process)
        self.die()
        mounted = mounts.of(self.setup["device"])
        if mounted:
            subprocess.run(["umount", str(mounted.point)], check=True)

    def die(self) -> None:
        for serving in mounts.processes("ltfs", self.setup["device"]):
            serving.kill()
            serving.wait()


class FileRig(LtfsRig):
    """The same driver with LTFS's backend ``file``: a folder is a cartridge, and has no chip."""

    tells_empty = moves = tells_cartridge = tells_health = proves_blank = told_by_turs = False
    grain = 1024 * 1024

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.slot = folder / "slot"
        self.setup |= {"device": str(self.slot), "backend": "file"}
        self._make()

    def insert_blank(self) -> str:
        barcode = super().insert_blank()
        self.insert(barcode)
        return barcode

    def insert(self, barcode: str) -> None:
        self.slot.unlink(missing_ok=True)
        self.slot.symlink_to(self.path / "cartridges" / barcode)

    def remove(self) -> None:
        self.slot.unlink()

    def plan(self, *faults: dict[str, Any]) -> None:
        """It is looked at by mounting."""
        super().plan(*all_at("mount", {"look", "mount"}, faults))


class EmulatedRig(FileRig):
    """LTFS itself, on emulated cartridges: folders with a file that says what they are like."""

    capacity = 292 * 1024 * 1024
    overhead = 24 * 1024 * 1024
    """A twentieth of the cartridge is the index's, and each record counts for half a MiB."""
    rest_when_full = 16 * 1024 * 1024
    counts_at_once = breaks = locks = recovers_deeply = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.setup |= {
            "programs": {},
            "limits": ProgramLimits(label=10, format=60, mount=60, unmount=60, check=60),
        }
        self._make()

    def insert_blank(self) -> str:
        self._cartridges += 1
        barcode = f"TAPE{self._cartridges:02d}L8"
        folder = self.path / "cartridges" / barcode
        folder.mkdir(parents=True)
        describe_emulated(folder, self.capacity)
        self.insert(barcode)
        return barcode

    def insert_foreign(self) -> str:
        """LTFS calls it not partitioned, as it calls a new one."""
        return self.insert_blank()

    def protect(self) -> None:
        describe_emulated(self.slot.resolve(), self.capacity, read_only=True)


def describe_emulated(folder: Path, capacity: int, *, read_only: bool = False) -> None:
    """What LTFS's backend ``file`` reads of a cartridge when it is loaded; else it makes one of 3 GiB."""
    (folder / "filedebug_tc_conf.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<filedebug_cartridge_config>\n'
        f"    <emulate_readonly>{str(read_only).lower()}</emulate_readonly>\n"
        f"    <capacity_mb>{capacity // 1024**2}</capacity_mb>\n"
        "    <delay_mode>None</delay_mode>\n</filedebug_cartridge_config>\n"
    )


def all_at(place: str, places: set[str], faults: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """The same faults where several places are one, one after the other."""
    return [{**fault, "at": place} if fault["at"] in places else fault for fault in faults]


def why_no_emulation() -> str | None:
    if sys.platform != "linux" or shutil.which("mkltfs") is None:
        return "mkltfs is not installed"
    return None if os.geteuid() == 0 else "emulated cartridges are for root alone"
