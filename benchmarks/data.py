"""The data that are backed up: three kinds of trees, the same on every machine."""

from __future__ import annotations

import os
import random
from pathlib import Path

MIB = 1 << 20
FOLDER = 1000
"""Files in one folder."""


class Content:
    """Bytes of which about half can be compressed, as in a company's files."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        words = b"".join(b"%d entry %d of the ledger\n" % (n, n * n) for n in range(40_000))
        self._plain = words[:MIB]
        self._noise = self.random.randbytes(MIB)

    def take(self, size: int) -> bytes:
        """So many bytes, from a random position; at most a MiB."""
        source = self._plain if self.random.random() < 0.5 else self._noise
        start = self.random.randrange(MIB - size + 1)
        return source[start : start + size]


def large(root: Path, files: int, size: int) -> None:
    """A few files of ``size`` bytes."""
    content = Content(1)
    for number in range(files):
        with _new(root, number).open("wb") as file:
            for _ in range(size // MIB):
                file.write(content.take(MIB))


def small(root: Path, files: int, least: int = 1024, most: int = 16384) -> None:
    """Many files of ``least`` to ``most`` bytes."""
    content = Content(2)
    for number in range(files):
        _new(root, number).write_bytes(content.take(content.random.randint(least, most)))


def mixed(root: Path, files: int, total: int) -> None:
    """Files of log-normal size, ``total`` bytes in all."""
    content = Content(3)
    sizes = [content.random.lognormvariate(0, 2) for _ in range(files)]
    scale = total / sum(sizes)
    for number, size in enumerate(sizes):
        left = int(size * scale)
        with _new(root, number).open("wb") as file:
            while left:
                part = min(left, MIB)
                file.write(content.take(part))
                left -= part


def change(root: Path, every: int) -> int:
    """Write each ``every``-th file again, with other content of the same size; returns how many."""
    changed = 0
    for folder in sorted(root.iterdir()):
        for name in sorted(os.listdir(folder))[::every]:  # noqa: PTH208 - names, in their order
            path = folder / name
            path.write_bytes(os.urandom(path.stat().st_size))
            changed += 1
    return changed


def _new(root: Path, number: int) -> Path:
    folder = root / f"{number // FOLDER:05d}"
    if number % FOLDER == 0:
        folder.mkdir(parents=True)
    return folder / f"document {number:07d}.dat"
