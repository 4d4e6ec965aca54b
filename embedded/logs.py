"""The log files of servers and programs: rotated by size, read for the reason of a failure."""

from __future__ import annotations

import os
from pathlib import Path

LIMIT = 10 * 1024 * 1024
KEPT = 3


def rotate(log: Path, *, limit: int = LIMIT, kept: int = KEPT) -> None:
    """Rotate the log if it has reached ``limit`` bytes: ``.1`` is the newest of ``kept`` older ones."""
    if not log.is_file() or log.stat().st_size < limit:
        return
    for number in range(kept - 1, 0, -1):
        older = _numbered(log, number)
        if older.exists():
            older.replace(_numbered(log, number + 1))
    log.replace(_numbered(log, 1))


def _numbered(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")


def size(log: Path) -> int:
    """The log's present size in bytes, to distinguish what is written later."""
    return log.lstat().st_size if log.exists() else 0


def last_lines(log: Path, *, since: int = 0, lines: int = 4) -> str:
    """The last lines written after the first ``since`` bytes, joined into one; empty without a log."""
    try:
        # The log may be in a folder of another account: a link there is not followed.
        descriptor = os.open(log, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return ""
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        end = file.seek(0, os.SEEK_END)
        file.seek(max(min(since, end), end - 4096))
        text = file.read().decode("utf-8", "replace")
    return " | ".join(line.strip() for line in text.splitlines()[-lines:])
