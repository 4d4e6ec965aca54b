"""What a history backs up: two small folders that a set needs two archives for."""

from __future__ import annotations

import shutil
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


def change(source: Path, number: int) -> None:
    """One file of a source is written anew, one goes, one comes."""
    _write(source, 0, f"changed {number} ")
    for old in sorted(source.glob("new-*")):
        old.unlink()
    (source / f"new-{number}").write_bytes(b"new" * FILE_BYTES)


def _write(folder: Path, number: int, text: str) -> None:
    content = text.encode() * FILE_BYTES
    (folder / f"file-{number}").write_bytes(content[: FILE_BYTES - number])
