"""The label of a drive letter on Windows, and the output of its programs, in English and in Chinese."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LTFS = "LTFS"

_FSUTIL = {
    "label": re.compile(r"^\s*(?:Volume Name|卷名)[ \t]*[:：][ \t]*(.*?)[ \t\r]*$", re.MULTILINE),
    "system": re.compile(r"^\s*(?:File System Name|文件系统名)[ \t]*[:：][ \t]*(.*?)[ \t\r]*$", re.MULTILINE),
}
_VOL = re.compile(r"^\s*(?:Volume in drive \S+ is|驱动器\s*\S+\s*中的卷是)[ \t]+(.*?)[ \t\r]*$", re.MULTILINE)
_VOL_NONE = re.compile(
    r"^\s*(?:Volume in drive \S+ has no label\.|驱动器\s*\S+\s*中的卷没有标签。)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Label:
    """A volume as Windows sees it. ``text``: None if it has no label."""

    text: str | None
    file_system: str | None = None
    """None: this program does not report it."""


def of_fsutil(output: str) -> Label | None:
    """The report of ``fsutil fsinfo volumeinfo O:``, or None if it reports no volume."""
    label, system = (_FSUTIL[name].search(output) for name in ("label", "system"))
    if label is None:
        return None
    return Label(label[1] or None, system[1] if system else None)


def of_vol(output: str) -> Label | None:
    """The report of ``vol O:``, or None if it reports no volume."""
    match = _VOL.search(output)
    if match:
        return Label(match[1])
    return Label(None) if _VOL_NONE.search(output) else None


STATES = (
    "NO_MEDIA",
    "LTFS_MEDIA",
    "LTFS_UNFORMATTED",
    "LTFS_INCONSISTENT",
    "LTFS_READ_ONLY",
    "MEDIA_NOT_READY",
    "NO_LTFS_MEDIA",
    "NOT_MOUNTED",
    "RESET",
)


@dataclass(frozen=True, slots=True)
class AssignedDrive:
    """One line of ``LtfsCmdDrives``. ``letter``: None if the drive has none."""

    letter: str | None
    address: str
    serial: str
    status: str


def of_drives(output: str) -> list[AssignedDrive]:
    """The drives that ``LtfsCmdDrives`` lists; a line that does not end in a known status is no drive."""
    drives = (_drive(line.split()) for line in output.splitlines())
    return [drive for drive in drives if drive is not None]


def _drive(words: Sequence[str]) -> AssignedDrive | None:
    if len(words) not in {3, 4} or words[-1] not in STATES:
        return None
    letter = words[0].rstrip(":").upper() if len(words) == 4 else None
    address, serial, status = words[-3:]
    return AssignedDrive(letter, address, serial, status)
