"""How LTFS is set up on a Windows host, from the settings of a drive."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tape.ltfs_windows import reader

READER = (sys.executable, "-P", "-S", "-s", str(Path(reader.__file__).resolve()), "{root}")


@dataclass(frozen=True, slots=True)
class Commands:
    """The command lines; ``{letter}``, ``{label}``, ``{serial}`` and ``{root}`` are filled in.

    A word whose value is not known is left out; a program without a folder is taken from the tool's own.
    """

    format: Sequence[str] = ("LtfsCmdFormat.exe", "{letter}", "/N:{label}", "/S:{serial}")
    drives: Sequence[str] = ("LtfsCmdDrives.exe",)
    load: Sequence[str] = ("LtfsCmdLoad.exe", "{letter}")
    eject: Sequence[str] = ("LtfsCmdEject.exe", "{letter}")
    check: Sequence[str] = ("LtfsCmdCheck.exe", "{letter}")
    seal: Sequence[str] = ()
    """Run at each seal, to write the index; not needed if the tool writes it at each close of a file."""
    label: Sequence[str] = ("label.exe", "{letter}:", "{label}")
    read: Sequence[str] = READER
    fsutil: Sequence[str] = ("fsutil.exe", "fsinfo", "volumeinfo", "{letter}:")
    vol: Sequence[str] = ("cmd.exe", "/d", "/c", "vol", "{letter}:")


@dataclass(frozen=True, slots=True)
class WindowsLimits:
    """Seconds that a program may take."""

    label: float = 10
    format: float = 9000
    check: float = 6 * 3600
    move: float = 300


@dataclass(frozen=True, slots=True)
class WindowsSetup:
    """A drive behind a letter."""

    letter: str
    tools: Path
    """The folder of the LtfsCmd programs, in which they run."""
    folder: Path
    """This drive's folder on this host: its lock."""
    root: Path | None = None
    """None: the letter's root."""
    file_system: str | None = "LTFS"
    """The file system that Windows must report for the letter; None: anything."""
    commands: Commands = field(default_factory=Commands)
    limits: WindowsLimits = WindowsLimits()
    encoding: str | None = None
    """Of the programs' output; None: the console's code page."""

    @property
    def place(self) -> Path:
        """Where the volume is."""
        return self.root or Path(f"{self.letter}:\\")
