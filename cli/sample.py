"""A folder of generated sample files: mixed sizes, names in Chinese, links, empty files."""

from __future__ import annotations

import os
import random
from pathlib import Path

MEBIBYTE = 1 << 20

_LARGE = ("video/采访-原始素材.mov", "databases/erp-2026.dump", "images/机房-全景.tiff")
_FOLDERS = ("财务/报表", "合同/2026", "projects/alpha/src", "projects/beta/docs", "mail/存档")


def make(folder: Path, *, large: int = 64 * MEBIBYTE, small: int = 400) -> None:
    """Fill a folder, the same each time. ``large``: bytes of each of the three large files."""
    source = random.Random(20261101)  # noqa: S311 - sample data, not a secret
    for name in _LARGE:
        _write(folder / name, source, large)
    for number in range(small):
        place = folder / _FOLDERS[number % len(_FOLDERS)]
        _write(place / f"文件-{number:04d}.txt", source, source.randrange(64 * 1024))
    _odd_ones(folder)


def _write(path: Path, source: random.Random, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, MEBIBYTE):
            block = source.randbytes(min(MEBIBYTE, size - start) // 2)
            # Half random, half not: real files shrink a little.
            file.write(block + b"tapeline " * (len(block) // 9))


def _odd_ones(folder: Path) -> None:
    (folder / "空文件.txt").touch()
    (folder / "空文件夹").mkdir(exist_ok=True)
    (folder / "latest-report").symlink_to("财务/报表/文件-0000.txt")
    (folder / "broken-link").symlink_to("nowhere")
    os.link(folder / "合同/2026/文件-0001.txt", folder / "hard-link.txt")
    with (folder / "sparse.img").open("wb") as file:
        file.truncate(32 * MEBIBYTE)
        file.seek(16 * MEBIBYTE)
        file.write(b"in the middle")
