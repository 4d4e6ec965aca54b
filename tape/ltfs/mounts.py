"""What is mounted, and which ``ltfs`` process serves it, according to the kernel only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import psutil

TABLE = Path("/proc/mounts")
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class LtfsMount:
    """One line of LTFS in the table of mounts."""

    device: str
    point: Path
    read_only: bool


def of(device: str, table: Path = TABLE) -> LtfsMount | None:
    """Where the cartridge of a drive is mounted, or None. Raises OSError."""
    return next((mount for mount in _all(table) if mount.device == device), None)


def at(point: Path, table: Path = TABLE) -> LtfsMount | None:
    """What LTFS has mounted at a folder, or None. Raises OSError."""
    return next((mount for mount in _all(table) if mount.point == point), None)


def processes(program: str, device: str) -> list[psutil.Process]:
    """The ``ltfs`` processes of a drive; there is one from the mount until its index is written."""
    running = psutil.process_iter(["cmdline"])
    return [process for process in running if _serves(process.info["cmdline"] or [], program, device)]


def _serves(command: list[str], program: str, device: str) -> bool:
    options = [option for word in command for option in word.split(",")]
    return f"devname={device}" in options and Path(program).name in {Path(word).name for word in command}


def _all(table: Path) -> list[LtfsMount]:
    lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    mounts = (_mount(line.split()) for line in lines)
    return [mount for mount in mounts if mount is not None]


def _mount(fields: list[str]) -> LtfsMount | None:
    if len(fields) < 4 or not fields[0].startswith("ltfs:"):
        return None
    device, point = _plain(fields[0].removeprefix("ltfs:")), Path(_plain(fields[1]))
    return LtfsMount(device, point, "ro" in fields[3].split(","))


def _plain(text: str) -> str:
    """The kernel writes blanks and backslashes as octal numbers, byte by byte."""
    raw = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
    return raw.encode("latin-1").decode("utf-8", "surrogateescape") if raw.isascii() else raw
