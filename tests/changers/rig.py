"""What the conformance suite needs of a changer: a library of virtual drives and ways to disturb it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tape.changer import Changer
from tape.mtx.changer import MtxChanger, MtxSetup
from tape.virtual import library, shelf
from tape.virtual.changer import VirtualChanger
from tape.virtual.drive import VirtualDrive

ROOT = Path(__file__).parents[2]
SLOTS, MAIL = 4, 1
MAIL_SLOT = SLOTS + MAIL


class Rig:
    """A library of two drives, four slots and a mail slot, empty."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "library"
        self.drives = {number: VirtualDrive(f"tape{number}", folder / f"tape{number}") for number in (0, 1)}
        self.make()
        self.changer: Changer = VirtualChanger("lib0", self.path)
        self.recipe = (
            "from pathlib import Path\nfrom tape.virtual.changer import VirtualChanger\n"
            f"changer = VirtualChanger('lib0', Path({str(self.path)!r}))\n"
        )

    def make(self, **how: object) -> None:
        folders = {number: drive.path for number, drive in self.drives.items()}
        library.make(self.path, folders, slots=SLOTS, mail_slots=MAIL, **how)  # type: ignore[arg-type]

    def new(self, barcode: str, slot: int) -> None:
        """Put a new cartridge into a slot."""
        shelf.new_cartridge(self.path, barcode, capacity=4 * 1024 * 1024)
        library.put(self.path, slot, barcode)
        self.calm()

    def calm(self) -> None:
        """Nobody has opened the door lately."""
        with library.edit(self.path) as found:
            found.disturbed = False

    def disturb(self) -> None:
        """Somebody opens the door and closes it."""
        library.set_door(self.path, is_open=True)
        library.set_door(self.path, is_open=False)


class MtxRig(Rig):
    """The driver of mtx, over a stand-in for it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        programs = install(folder / "bin")
        self.setup = MtxSetup(
            str(self.path), folder / "host", programs=programs, status_limit=20, move_limit=20
        )
        self.changer = MtxChanger("lib0", self.setup)
        self.recipe = (
            "from pathlib import *\nfrom tape.mtx.changer import MtxChanger, MtxSetup\n"
            f"changer = MtxChanger('lib0', {self.setup!r})\n"
        )

    def disturb(self) -> None:
        (self.path / "attention").touch()


def install(folder: Path) -> dict[str, str]:
    """Make the stand-ins executable; returns the path of each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, function in {"mtx": "main", "sg_raw": "sg_raw"}.items():
        script = folder / name
        script.write_text(
            f"#!{sys.executable} -P\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            f"from tests.changers.mtx import {function}\nsys.exit({function}())\n"
        )
        script.chmod(0o755)
    return {name: str(folder / name) for name in ("mtx", "sg_raw")}


RIGS: dict[str, tuple[type[Rig], Callable[[], str | None]]] = {
    "virtual": (Rig, lambda: None),
    "mtx": (MtxRig, lambda: None if os.name == "posix" else "no shebang"),
}
"""Each driver, and why it cannot be tested on this machine, or None if it can."""
