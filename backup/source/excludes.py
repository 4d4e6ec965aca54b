"""The rules that leave paths out of a backup, applied to the tree of one source."""

from __future__ import annotations

import os
import stat

from backup.entry import raw
from backup.gitignore import Patterns
from backup.request import Excludes
from backup.source import reach
from backup.source.dirlist import Status

CACHE_TAG = b"CACHEDIR.TAG"
_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"


class Filter:
    """The rules, applied to the tree of one source."""

    def __init__(self, excludes: Excludes, root: bytes, device: int) -> None:
        self._patterns = Patterns(map(raw, excludes.patterns)) if excludes.patterns else None
        self._excludes = excludes
        self._start = len(root.rstrip(b"/")) + 1
        self._device = device
        self.takes_every_file = not excludes.patterns and excludes.max_bytes is excludes.older_than_ns is None
        """No rule leaves out any inspected file."""

    def matches(self, path: bytes, mode: int) -> bool:
        """Whether a pattern leaves out this path, and so all below it. The source itself stays."""
        below = path[self._start :]
        if self._patterns is None or not below:
            return False
        return self._patterns.leave_out(below, is_folder=stat.S_ISDIR(mode))

    def passes_over(self, status: Status) -> bool:
        """Whether a file is too large or too old. It exists: an increment keeps its earlier entry."""
        if not stat.S_ISREG(status.mode):
            return False
        rules = self._excludes
        return (rules.max_bytes is not None and status.size > rules.max_bytes) or (
            rules.older_than_ns is not None and status.mtime_ns < rules.older_than_ns
        )

    def is_foreign(self, status: Status) -> bool:
        """Whether a folder is the root of another file system, whose contents are left out."""
        return self._excludes.one_file_system and status.device != self._device

    @property
    def leaves_out_caches(self) -> bool:
        """Whether the contents of folders tagged as caches are left out."""
        return self._excludes.caches


def is_cache(folder: bytes) -> bool:
    """Whether a folder is tagged as a cache (https://bford.info/cachedir/)."""
    try:
        tag = reach.opened(folder.rstrip(b"/") + b"/" + CACHE_TAG)
    except OSError:
        return False
    try:
        return os.read(tag, len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False
    finally:
        os.close(tag)
