"""How much of each source a scan has found, and what of it is new, changed or deleted: counted during the
scan."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random

from backup import system
from backup.entry import FileType, shown
from backup.request import SetRequest, Surveyed
from backup.source import reach
from backup.source.changes import Change
from backup.source.lookout import Unanswered, looked_at_each
from backup.source.scan import FoundPath
from policy.encryption import MIN_SAMPLES, is_noise
from policy.guard import NAMES, PlannedSource
from policy.paths import is_below, order
from policy.sources import Source
from tape.programs.aside import Eyes

SAMPLES = 50
"""So many of the changed files are sampled, if there are that many."""
SAMPLE_BYTES = 16 << 10
MAX_SUFFIXES = 1000
"""More suffixes are not counted separately."""


@dataclass(slots=True)
class RootCount:
    """Of one root. Only regular files; each name of a file with several counts."""

    root: bytes
    files: int = 0
    size: int = 0
    new: int = 0
    changed: int = 0
    deleted: int = 0
    changed_names: list[str] = field(default_factory=list)
    deleted_names: list[str] = field(default_factory=list)
    samples: list[bytes] = field(default_factory=list)
    """Paths of changed files, a random sample of all of them."""
    new_suffixes: Counter[bytes] = field(default_factory=Counter)
    deleted_suffixes: set[bytes] = field(default_factory=set)
    chance: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - a sample, no secret

    def planned(self, source: str, *, follows: bool) -> PlannedSource:
        """In the form of the guard; ``follows``: it is an increment."""
        # A known path is unchanged, or changed, or deleted; an unknown path that exists is new.
        known = self.files - self.new + self.deleted if follows else None
        return PlannedSource(
            source,
            self.files,
            self.size,
            known,
            self.deleted,
            self.changed,
            tuple(self.deleted_names),
            tuple(self.changed_names),
            new_suffix=next(
                ((shown(name), count) for name, count in self.new_suffixes.most_common(1)), ("", 0)
            ),
            deleted_suffixes=frozenset(map(shown, self.deleted_suffixes)),
        )


class Counts:
    """Of all roots, which come in the order of the set."""

    def __init__(self, roots: Sequence[bytes]) -> None:
        self._of = {root: RootCount(root) for root in roots}
        self._keys = [(order(root), self._of[root]) for root in roots]

    def of(self, root: bytes) -> RootCount | None:
        return self._of.get(root)

    def counted(self, stream: Iterable[FoundPath]) -> Iterator[FoundPath]:
        """The walk of the scan, counted: each root comes before its contents."""
        count = RootCount(b"")
        for seen in stream:
            path, status = seen
            if path in self._of:
                count = self._of[path]
            if status is not None and stat.S_ISREG(status.mode):
                count.files += 1
                count.size += max(status.size, 0)
            yield seen

    def changes(self, stream: Iterable[Change]) -> Iterator[Change]:
        """The changes of an increment, counted."""
        for change in stream:
            was_file = change.was == FileType.FILE
            is_file = change.status is not None and stat.S_ISREG(change.status.mode)
            if was_file or is_file:
                count = self._above(change.path)
                if count is not None:
                    _count(count, change, was_file=was_file)
            yield change

    def _above(self, path: bytes) -> RootCount | None:
        key = order(path)
        return next((count for root, count in self._keys if is_below(key, root)), None)


def _count(count: RootCount, change: Change, *, was_file: bool) -> None:
    if not was_file:
        count.new += 1
        suffix = _suffix(change.path)
        if suffix in count.new_suffixes or len(count.new_suffixes) < MAX_SUFFIXES:
            count.new_suffixes[suffix] += 1
    elif change.status is None:
        count.deleted += 1
        _note(count.deleted_names, change.path)
        if len(count.deleted_suffixes) < MAX_SUFFIXES:
            count.deleted_suffixes.add(_suffix(change.path))
    else:
        count.changed += 1
        _note(count.changed_names, change.path)
        _sample(count, change.path)


def _sample(count: RootCount, path: bytes) -> None:
    """Each path has the same chance to be among the samples."""
    if len(count.samples) < SAMPLES:
        count.samples.append(path)
    elif (place := count.chance.randrange(count.changed)) < SAMPLES:
        count.samples[place] = path


def _suffix(path: bytes) -> bytes:
    name = path.rpartition(b"/")[2]
    stem, dot, suffix = name.rpartition(b".")
    return dot + suffix if stem else b""


def _note(names: list[str], path: bytes) -> None:
    if len(names) < NAMES:
        names.append(shown(path))


def surveyed(request: SetRequest, counts: Counts, rules: Mapping[str, str], seeing: Eyes) -> Surveyed:
    """The sources as they are, with the counts of each. ``rules``: by which the walk compared them."""
    follows = request.parent is not None
    seen: list[Source] = []
    planned: list[PlannedSource] = []
    for source in looked_at_each(request.sources, seeing):
        root = seen_real(source.path, seeing)
        count = counts.of(root) if root is not None and source.is_there else None
        if count is not None:
            now = count.planned(source.path, follows=follows)
            if len(count.samples) >= MIN_SAMPLES:
                now = replace(now, samples=_sampled(source.path, tuple(count.samples), seeing))
            planned.append(now)
            source = replace(source, files=count.files, bytes=count.size)  # noqa: PLW2901
        seen.append(source)
    # How much a dump is, is known when it has been read.
    seen += [Source(dump.path, files=1) for dump in request.dumps]
    return Surveyed(tuple(seen), tuple(planned), rules)


def seen_real(source: str, seeing: Eyes) -> bytes | None:
    """The real path of a source, seen by others; None for one that is missing or does not answer."""
    with suppress(Unanswered):
        return seeing.ask(real_path, source, about=source)
    return None


def _sampled(source: str, samples: tuple[bytes, ...], seeing: Eyes) -> tuple[bool | None, ...]:
    with suppress(Unanswered):
        return seeing.ask(looked_into, samples, about=source)
    return ()


def real_path(source: str) -> bytes | None:
    """The real path of a source; None for a missing one."""
    with suppress(OSError):
        return system.real(system.absolute(source))
    return None


def looked_into(paths: Sequence[bytes]) -> tuple[bool | None, ...]:
    """For each file whether it contains noise; None for one that is short or cannot be read."""
    return tuple(map(_noise, paths))


def _noise(path: bytes) -> bool | None:
    with suppress(OSError):
        descriptor = reach.opened(path)
        try:
            return is_noise(os.read(descriptor, SAMPLE_BYTES))
        finally:
            os.close(descriptor)
    return None
