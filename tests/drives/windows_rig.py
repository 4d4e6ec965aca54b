"""The driver for Windows in the conformance suite: behind a real letter, or a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tape.ltfs_windows.drive import WindowsDrive
from tape.ltfs_windows.setup import Commands, WindowsLimits, WindowsSetup
from tests.drives.rig import Rig, all_at
from tests.windows import programs as windows_programs

if TYPE_CHECKING:
    from tests.windows.hardware import Keeper


class WindowsRig(Rig):
    """The driver of LTFS on Windows: a real letter under Windows (or wine), elsewhere a folder."""

    grain = 4096
    tells_cartridge = tells_volume = tells_health = tells_why_read_only = False
    proves_blank = locks = False
    seals_at_close = True
    reads_again = sys.platform == "win32"

    def __init__(self, folder: Path) -> None:
        self.tools = folder / "tools"
        on_windows = sys.platform == "win32"
        self._keeper = None if on_windows else _keeper(folder / "letter")
        self.root = self._keeper.letter if self._keeper else Path(os.environ["LTFS_TEST_LETTER"])
        self.port = self._keeper.port if self._keeper else int(os.environ["LTFS_TEST_PORT"])
        windows_programs.install(self.tools, self.port)
        self.setup = WindowsSetup(
            "O",
            self.tools,
            folder / "host",
            limits=WindowsLimits(label=6, format=30, check=30, move=20),
            root=None if on_windows else self.root,
            commands=Commands(read=("LtfsRead.exe",)),
        )
        self.drive = WindowsDrive("tape", self.setup)
        self.recipe = (
            "from pathlib import *\nfrom tape.ltfs_windows.drive import WindowsDrive\n"
            "from tape.ltfs_windows.setup import Commands, WindowsLimits, WindowsSetup\n"
            f"drive = WindowsDrive('tape', {self.setup!r})\n"
        )

    def changed(self, **setup: Any) -> WindowsDrive:
        """The same drive with other settings."""
        return WindowsDrive("tape", replace(self.setup, **setup))

    def say(self, file: str, text: str) -> None:
        """Tell the stand-ins what to do."""
        (self.tools / file).write_text(text)

    def calls(self, program: str) -> list[list[str]]:
        return [call for call in windows_programs.calls(self.tools) if call[0] == program]

    def by_hand(self, verb: str, *words: str) -> str:
        return windows_programs.ask(self.tools, self.port, f"@{verb}", *words)

    def insert_blank(self) -> str:
        return self.by_hand("blank")

    def insert_foreign(self) -> str:
        return self.insert_blank()

    def protect(self) -> None:
        self.by_hand("protect")

    def remove(self) -> None:
        self.by_hand("remove")

    def plan(self, *faults: dict[str, Any]) -> None:
        """LTFS on Windows has mounted what it has loaded: a tape that it cannot mount looks like that."""
        plan = all_at("look", {"look", "mount"}, faults)
        if self.reads_again:
            plan = [{**fault, "times": 1000} if fault["at"] == "read" else fault for fault in plan]
        self.by_hand("plan", json.dumps(plan))

    def die(self) -> None:
        self.by_hand("power_off")

    def insert(self, barcode: str) -> None:
        self.by_hand("insert", barcode)

    def power_off(self, process: subprocess.Popen[bytes]) -> None:
        # First the power: a process that ends closes its files, and LTFS would seal them.
        self.by_hand("power_off")
        process.kill()
        process.wait()

    def close(self) -> None:
        self.by_hand("close")
        if self._keeper:
            self._keeper.close()


def _keeper(letter: Path) -> Keeper:
    from tests.windows.hardware import Keeper  # its mounts and processes are Linux's own

    letter.mkdir()
    return Keeper(letter)
