"""What an operator leaves out of a backup: patterns, caches, other file systems, by size and by age."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from backup import reach
from backup.entry import raw
from backup.errors import BadRequest
from backup.gitignore import Patterns, parsed
from backup.listing import Status
from policy.message import M

CACHE_TAG = b"CACHEDIR.TAG"
_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"


@dataclass(frozen=True, slots=True)
class Excludes:
    """What is left out, without a warning; the scan counts it. Raises BadRequest."""

    patterns: tuple[str, ...] = ()
    """In the syntax of ``.gitignore``; each source is the root of its own tree."""
    caches: bool = False
    """What is in a folder that holds a valid CACHEDIR.TAG, except that tag."""
    one_file_system: bool = False
    """What is in a folder that is another file system's root."""
    max_bytes: int | None = None
    """Files that are larger."""
    older_than_ns: int | None = None
    """Files that were changed last before this moment, in nanoseconds since 1970."""

    def __post_init__(self) -> None:
        check_patterns(self.patterns)
        if self.max_bytes is not None and self.max_bytes < 1:
            raise BadRequest(
                M("max_file_bytes: {size} leaves everything out.", size=self.max_bytes),
                M("Give a size of at least 1 byte, or none."),
            )


def check_patterns(patterns: Iterable[str]) -> None:
    """Raises BadRequest that names the first pattern that git would take for none: no name fits it."""
    for pattern in patterns:
        found = parsed(raw(pattern))
        if found is not None and found.shape is None:
            raise BadRequest(
                M("excludes: '{pattern}' is not a pattern.", pattern=ascii(pattern)[1:-1]),
                M("Write it as in a .gitignore file, for example '*.tmp', '/cache/' or '!keep.tmp'."),
            )


class Filter:
    """The rules at work on the tree of one source."""

    def __init__(self, excludes: Excludes, root: bytes, device: int) -> None:
        self._patterns = Patterns(map(raw, excludes.patterns)) if excludes.patterns else None
        self._excludes = excludes
        self._start = len(root.rstrip(b"/")) + 1
        self._device = device
        self.takes_every_file = not excludes.patterns and excludes.max_bytes is excludes.older_than_ns is None
        """No rule leaves out a file that is looked at."""

    def matches(self, path: bytes, mode: int) -> bool:
        """Whether a pattern leaves out this path, and thereby all below it. The source itself stays."""
        below = path[self._start :]
        if self._patterns is None or not below:
            return False
        return self._patterns.leave_out(below, is_folder=stat.S_ISDIR(mode))

    def passes_over(self, status: Status) -> bool:
        """Whether a file is too large or too old. It is there: an increment leaves what it knows of it."""
        if not stat.S_ISREG(status.mode):
            return False
        rules = self._excludes
        return (rules.max_bytes is not None and status.size > rules.max_bytes) or (
            rules.older_than_ns is not None and status.mtime_ns < rules.older_than_ns
        )

    def is_foreign(self, status: Status) -> bool:
        """Whether a folder is the root of another file system, whose content is left out."""
        return self._excludes.one_file_system and status.device != self._device

    @property
    def leaves_out_caches(self) -> bool:
        """Whether what is in folders that are tagged as caches is left out."""
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
