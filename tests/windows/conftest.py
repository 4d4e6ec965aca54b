"""A drive of the Windows driver: under Windows (or wine) behind a real letter, elsewhere behind a folder."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tape.ltfs_windows import WindowsDrive
from tape.ltfs_windows_setup import Commands, WindowsLimits, WindowsSetup
from tests.windows import programs


class Rig:
    """The drive, its letter's folder, and the folder of the programs."""

    def __init__(self, folder: Path) -> None:
        self.tools = folder / "tools"
        self.root = folder / "letter"
        if sys.platform == "win32":
            self.root = Path(os.environ["LTFS_TEST_LETTER"])
            self.clean()
        self.root.mkdir(exist_ok=True)
        programs.install(self.tools, self.root)
        self.setup = WindowsSetup(
            "O", self.tools, folder / "host", limits=WindowsLimits(label=20, format=30, check=30, move=3)
        )
        self.setup = replace(self.setup, commands=Commands(read=("LtfsRead.exe",)))
        if sys.platform != "win32":
            self.setup = replace(self.setup, root=self.root)
        self.drive = WindowsDrive("tape", self.setup)

    def say(self, file: str, text: str) -> None:
        """Tell the stand-ins what to do."""
        (self.tools / file).write_text(text)

    def calls(self, program: str) -> list[list[str]]:
        return [call for call in programs.calls(self.tools) if call[0] == program]

    def clean(self) -> None:
        import shutil

        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)
