"""What a history backs up: two small folders that a set needs two archives for."""

from __future__ import annotations

import shutil
from enum import Enum
from pathlib import Path

NAMES = ("one", "two")
FILES = 4
FILE_BYTES = 3000


def fill(folder: Path) -> None:
    """Make the sources as they are on the first day."""
    for name in NAMES:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
        for number in range(FILES):
            _write(folder / name, number, f"{name} {number} ")


class Loss(Enum):
    """What becomes of the files of a source."""

    NONE = "none"
    SHRUNK = "shrunk"
    EMPTY = "empty"
    GONE = "gone"


_LEFT = {Loss.NONE: FILES, Loss.SHRUNK: 1}
"""So many files are there."""


def lose(folder: Path, name: str, how: Loss) -> None:
    """Let a source be as on the first day, or with one of its files, or empty, or not there."""
    shutil.rmtree(folder / name, ignore_errors=True)
    if how is not Loss.GONE:
        (folder / name).mkdir()
    for number in range(_LEFT.get(how, 0)):
        _write(folder / name, number, f"{name} {number} ")


def change(source: Path, number: int) -> None:
    """One file of a source is written anew, one goes, one comes."""
    _write(source, 0, f"changed {number} ")
    for old in sorted(source.glob("new-*")):
        old.unlink()
    (source / f"new-{number}").write_bytes(b"new" * FILE_BYTES)


def _write(folder: Path, number: int, text: str) -> None:
    content = text.encode() * FILE_BYTES
    (folder / f"file-{number}").write_bytes(content[: FILE_BYTES - number])
