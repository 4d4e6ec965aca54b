"""The captured output of real LTFS programs (``samples/``), told again with other names.

Standard library only.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "samples"
PARTS = {".cmd", ".rc", ".stdout", ".stderr"}

_UUID = re.compile(r"(?<=Volume UUID is: )[0-9a-f-]{36}")


@dataclass(frozen=True)
class Sample:
    """One case: what a program printed and how it ended."""

    return_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def load(name: str) -> Sample:
    """The sample of a case."""

    def text(suffix: str) -> str:
        path = FOLDER / f"{name}{suffix}"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    return Sample(int(text(".rc")), text(".stdout"), text(".stderr"))


def cases() -> set[str]:
    """The names of all cases."""
    return {path.stem for path in FOLDER.iterdir() if path.suffix in PARTS}


def files() -> set[str]:
    """Samples that no program printed: tables and attributes."""
    return {path.name for path in FOLDER.iterdir() if path.suffix not in PARTS}


def play(name: str, *, device: str, label: str = "", serial: str = "", uuid: str = "") -> int:
    """Print a sample as if it had happened to this device; returns its return code."""
    sample = load(name)
    for text, stream in ((sample.stdout, sys.stdout), (sample.stderr, sys.stderr)):
        stream.write(_retold(text, device, label, serial, uuid))
        stream.flush()
    return sample.return_code


def _retold(text: str, device: str, label: str, serial: str, uuid: str) -> str:
    text = _UUID.sub(uuid, text) if uuid else text
    for old, new in (
        ("/var/lib/tapes/XB", device),
        ("/var/lib/tapes/X", device),
        ("/dev/sg9", device),
        ("TP20261101", label),
        ("TP1101", serial),
    ):
        text = text.replace(old, new) if new else text
    return text
