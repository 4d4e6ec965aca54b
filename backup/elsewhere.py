"""Sources that are read from elsewhere than they are named: from their snapshots.

The rule applies to a whole process: all that it reads of such a source comes from there. Names stay those of
the source. A process that reads for another one gets the same rule before its first question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple


class ReadFrom(NamedTuple):
    """Where a source is read, which is not where it is named; or a file system below it, which its snapshot
    does not have."""

    path: bytes
    """Its real path, as it is on tape."""
    folder: bytes
    """Where its content is."""


_rules: tuple[ReadFrom, ...] = ()
"""The innermost path first."""


def install(rules: Iterable[ReadFrom]) -> None:
    """From now on this process reads these paths, and all below them, from their folders; an empty list ends
    it."""
    global _rules  # noqa: PLW0603 - no path of the sources may be read without it, from anywhere
    _rules = tuple(sorted(rules, key=lambda rule: -len(rule.path)))


@contextmanager
def applied(rules: Sequence[ReadFrom]) -> Iterator[None]:
    """For the time of a context."""
    install(rules)
    try:
        yield
    finally:
        install(())


def of(path: bytes) -> bytes:
    """Where a path of the sources is read: the path itself, unless a rule has it elsewhere."""
    for rule in _rules:
        named = rule.path.rstrip(b"/")
        if path == rule.path or path.startswith(named + b"/"):
            return rule.folder.rstrip(b"/") + path[len(named) :] or b"/"
    return path


def has_own(folder: bytes) -> bool:
    """Whether something in this very folder has a rule of its own."""
    return any(rule.path.rpartition(b"/")[0] == folder.rstrip(b"/") and rule.path != b"/" for rule in _rules)
