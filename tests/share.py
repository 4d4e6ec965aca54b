"""A share: another folder through a file system of our own, as ``python share.py OPTIONS FOLDER POINT``.

As some servers do, it numbers its files anew at each mount, and changes each ctime. Options, as JSON:
``delay``, seconds that each call takes; ``kept``, seconds that the kernel believes what it knows of a name;
``stops``, the call and the path at which its server stops for ever; ``restless``, new numbers and ctimes at
each call; ``cached``, whether the kernel reads ahead and keeps what it has read.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import mfusepy

_FIELDS = ("st_mode", "st_nlink", "st_size", "st_blocks", "st_uid", "st_gid")


class Share(mfusepy.Operations):  # type: ignore[misc]
    """What is in a folder."""

    use_ns = True

    def __init__(
        self, folder: str, *, delay: float = 0.0, stops: Sequence[str] = (), restless: bool = False
    ) -> None:
        self._folder = folder
        self._delay = delay
        self._stops = tuple(stops)
        self._inodes: dict[str, int] = {}
        self._numbers = itertools.count(int(time.time() * 1000) << 20)
        self._moment = time.time_ns()
        self._restless = restless

    def _called(self, name: str, path: str) -> None:
        if (name, path) == self._stops:
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(self._delay)

    def _facts(self, path: str) -> dict[str, Any]:
        status = os.lstat(self._folder + path)
        if self._restless:
            self._inodes.pop(path, None)
            self._moment += 1
        inode = self._inodes.get(path) or self._inodes.setdefault(path, next(self._numbers))
        facts = {name: getattr(status, name) for name in _FIELDS}
        return facts | {
            "st_ino": inode,
            "st_mtime": status.st_mtime_ns,
            "st_atime": status.st_mtime_ns,
            "st_ctime": self._moment,
        }

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        self._called("getattr", path)
        try:
            return self._facts(path)
        except OSError as error:
            raise mfusepy.FuseOSError(error.errno or errno.EIO) from error

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, Any], int]]:
        self._called("readdir", path)
        base = path.rstrip("/") + "/"
        return [(name, self._facts(base + name), 0) for name in os.listdir(self._folder + path)]  # noqa: PTH208

    def readlink(self, path: str) -> str:
        return os.readlink(self._folder + path)  # noqa: PTH115 - as the system answers

    def open(self, path: str, flags: int) -> int:
        self._called("open", path)
        return os.open(self._folder + path, flags)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._called("read" if offset < 1 << 20 else "read on", path)
        return os.pread(fh, size, offset)

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    kept = options.pop("kept", 0)
    cached = options.pop("cached", False)
    mfusepy.FUSE(
        Share(sys.argv[2], **options),
        sys.argv[3],
        foreground=True,
        nothreads=False,
        direct_io=not cached,
        use_ino=True,
        attr_timeout=kept,
        entry_timeout=kept,
    )
