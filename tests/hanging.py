"""A file system of which one path never answers: ``python hanging.py WHAT POINT``."""

from __future__ import annotations

import errno
import stat
import sys
import threading
from typing import Any

import mfusepy

WHAT, POINT = sys.argv[1:]
NEVER = threading.Event()
SIZES = {"first": 5, "hangs": 700 if WHAT == "small" else 700_000, "last": 5}


class Hanging(mfusepy.Operations):  # type: ignore[misc]
    """Files, and a folder; what hangs is called so."""

    use_ns = True

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if WHAT == "stat" and path == "/hangs":
            NEVER.wait()
        mode = stat.S_IFDIR | 0o755 if path in {"/", "/folder"} else stat.S_IFREG | 0o644
        name = path[1:]
        if mode & stat.S_IFREG == stat.S_IFREG and name not in SIZES:
            raise mfusepy.FuseOSError(errno.ENOENT)
        size = SIZES.get(name, 0)
        return {"st_mode": mode, "st_nlink": 1, "st_size": size, "st_blocks": (size + 511) // 512}

    def readdir(self, path: str, fh: int) -> list[str]:
        if WHAT == "root" or (WHAT == "list" and path == "/folder"):
            NEVER.wait()
        return [".", "..", *([*SIZES, "folder"] if path == "/" else [])]

    def open(self, path: str, flags: int) -> int:
        return 1

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        if path == "/hangs" and WHAT in {"read", "small"}:
            NEVER.wait()
        return (b"x" * SIZES[path[1:]])[offset : offset + size]


mfusepy.FUSE(
    Hanging(), POINT, foreground=True, nothreads=False, direct_io=True, attr_timeout=0, entry_timeout=0
)
