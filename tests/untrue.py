"""A file system that reports what is not there: ``python untrue.py WHAT POINT``."""

from __future__ import annotations

import errno
import stat
import sys
from typing import Any, NamedTuple

import mfusepy


class Reported(NamedTuple):
    """A file: what is in it, and what is reported of it."""

    content: bytes
    size: int
    inode: int
    names: int = 1


LIES = {
    "zero": {"odd": Reported(b"content of no size", 0, 11)},
    "grow": {"odd": Reported(b"y" * 300_000, 100, 12), "plain": Reported(b"plain", 5, 13)},
    "twin": {
        "one": Reported(b"content of the first.", 21, 77, 2),
        "two": Reported(b"that of the other one", 21, 77, 2),
    },
}
MOMENT = 1_700_000_000 * 10**9


class Untrue(mfusepy.Operations):  # type: ignore[misc]
    """One folder with such files."""

    use_ns = True

    def __init__(self, files: dict[str, Reported]) -> None:
        self.files = files

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        times = dict.fromkeys(("st_mtime", "st_ctime", "st_atime"), MOMENT)
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2, "st_ino": 1, **times}
        if path[1:] not in self.files:
            raise mfusepy.FuseOSError(errno.ENOENT)
        file = self.files[path[1:]]
        return {
            "st_mode": stat.S_IFREG | 0o644,
            "st_nlink": file.names,
            "st_ino": file.inode,
            "st_size": file.size,
            "st_blocks": (file.size + 511) // 512,
            **times,
        }

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        # A name of inode 0 counts as removed.
        return [(name, {"st_ino": file.inode}, 0) for name, file in self.files.items()]

    def open(self, path: str, flags: int) -> int:
        return 1

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return self.files[path[1:]].content[offset : offset + size]


if __name__ == "__main__":
    mfusepy.FUSE(
        Untrue(LIES[sys.argv[1]]),
        sys.argv[2],
        foreground=True,
        direct_io=True,
        use_ino=True,
        attr_timeout=0,
        entry_timeout=0,
    )
