"""The names of everything in the sources, sorted, in constant memory."""

from __future__ import annotations

import heapq
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from backup import system
from backup.entry import raw, shown
from backup.errors import SourceMissing, SourceSilent, SourceUnreadable, SourceUnusable
from backup.request import Excludes
from backup.source import reach
from backup.source.dirlist import (
    ListedName,
    Status,
    listed,
    look,
    looked_at,
)
from backup.source.excludes import CACHE_TAG, Filter, is_cache
from backup.source.lookout import HERE, Silence, Unanswered
from backup.source.readahead.dirs import Listings
from backup.source.readahead.pool import Helpers
from backup.spool import failed
from policy.message import M, Message
from policy.paths import order
from tape.programs.aside import Eyes

RUN = 100_000
"""So many names of one folder are sorted in memory; more are merged from disk."""
PART = 1000
"""So many names of a large folder are inspected at once."""

T = TypeVar("T")

Warn = Callable[[bytes, Message], None]


class FoundPath(NamedTuple):
    """An existing path. Without a status, neither it nor anything below it was inspected."""

    path: bytes
    status: Status | None


NOTHING = Excludes()
SOURCE_MISSING = M("Not backed up: this source does not exist. Is its file system mounted?")


def roots(sources: Iterable[str], some_may_miss: bool = False) -> tuple[bytes, ...]:
    """The real paths of the sources, sorted, each once; one inside another is left out.

    ``some_may_miss``: as long as one can be read, the others count too; the scan warns of them. Raises
    SourceMissing, SourceUnreadable, SourceUnusable.
    """
    kept = _outermost(_real_paths(sources, some_may_miss=some_may_miss))
    if not kept:
        raise SourceUnusable(M("No source is named."), M("Name at least one folder or file to back up."))
    return kept


def _outermost(paths: Iterable[bytes]) -> tuple[bytes, ...]:
    kept: list[bytes] = []
    for path in sorted(paths, key=order):
        if not (kept and (order(path) + b"\0").startswith(order(kept[-1]) + b"\0")):
            kept.append(path)
    return tuple(kept)


def roots_seen(sources: Sequence[str], eyes: Eyes, *, some_may_miss: bool) -> tuple[bytes, ...]:
    """The same, seen by others. A source that was given up keeps its place, as long as another answers.

    Raises SourceSilent, and as ``roots``.
    """
    silent = [each for each in sources if isinstance(eyes.wait, Silence) and _is_silent(each, eyes)]
    heard = [each for each in sources if each not in silent]
    if silent and not heard:
        raise SourceSilent(
            M("No source answers: {sources}.", sources=", ".join(silent)),
            M("See that its file system or share answers; mount it anew."),
        )
    answered = eyes.ask(roots, heard, some_may_miss, about=", ".join(heard))
    return _outermost({*answered, *map(system.absolute, silent)}) if silent else answered


def _is_silent(source: str, eyes: Eyes) -> bool:
    try:
        eyes.ask(roots, (source,), about=source)
    except Unanswered:
        return True
    except (SourceMissing, SourceUnreadable, SourceUnusable):
        return False
    return False


def _real_paths(sources: Iterable[str], *, some_may_miss: bool) -> set[bytes]:
    there: set[bytes] = set()
    missing: dict[bytes, SourceMissing | SourceUnreadable] = {}
    for source in sources:
        try:
            there.add(_real(source))
        except (SourceMissing, SourceUnreadable) as error:
            missing[os.path.realpath(raw(source))] = error
    if missing and not (some_may_miss and there):
        raise next(iter(missing.values()))
    return there | missing.keys()


def _real(source: str) -> bytes:
    path = system.absolute(source)
    if not path.startswith(b"/") or b"\0" in path:
        raise SourceUnusable(
            M("The source '{path}' is not an absolute path.", path=shown(raw(source))),
            M("Write it from the root of the file system of the drive's host."),
        )
    try:
        real = system.real(path)
        mode = reach.status(real).st_mode
        _open(real, mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceMissing(
            M("The source '{path}' does not exist.", path=shown(path)),
            M("Correct the path, or mount the file system that holds it, and run again."),
        ) from error
    except OSError as error:
        raise SourceUnreadable(
            M("The source '{path}' cannot be read: {reason}.", path=shown(path), reason=error.strerror),
            M("Give the drive's worker access to it, and run again."),
        ) from error
    if unsupported(mode):
        raise SourceUnusable(
            M("The source '{path}' is a socket or a device.", path=shown(path)),
            M("Name a folder or a file."),
        )
    return real


def _open(path: bytes, mode: int) -> None:
    """Try to read it: a file server may refuse what the mode allows. Raises OSError."""
    if stat.S_ISDIR(mode):
        with reach.names(path):
            pass
    elif stat.S_ISREG(mode):
        os.close(reach.opened(path))


def unsupported(mode: int) -> bool:
    """Whether a tape cannot store a file of this kind."""
    return stat.S_ISSOCK(mode) or stat.S_ISBLK(mode) or stat.S_ISCHR(mode)


class Scan:
    """A walk over the sources, without what need not or cannot be backed up.

    ``own``: device and inode of folders that belong to this very backup. ``helpers`` list folders ahead. The
    contents of a folder are inspected when the folder is listed; whoever reads a file inspects it once more.
    """

    def __init__(
        self,
        spool: Path,
        warn: Warn,
        *,
        helpers: Helpers,
        eyes: Eyes = HERE,
        excludes: Excludes = NOTHING,
        own: Iterable[tuple[int, int]] = (),
        after: str | None = None,
    ) -> None:
        self._spool = spool
        self._warn = warn
        self._listings = Listings(helpers)
        self._eyes = eyes
        self._excludes = excludes
        self._own = set(own)
        self._after = None if after is None else order(raw(after))
        self.left_out = 0
        """Files and folders that the rules left out; the contents of such a folder are not counted."""

    def walk(self, paths: Iterable[bytes]) -> Iterator[FoundPath]:
        """Each path and all below it, in the order of the set, after the point of resuming."""
        with ExitStack() as open_files:
            for path in paths:
                yield from self._tree(path, open_files)
        self._listings.finish()

    def _tree(self, root: bytes, open_files: ExitStack) -> Iterator[FoundPath]:
        try:
            rules = Filter(self._excludes, root, self._see(look, root).device)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            self._warn(root, SOURCE_MISSING if missing else unreadable(error))
            # Not inspected: an increment must not treat its files as deleted.
            yield FoundPath(root, None)
            return
        stack: list[Iterator[FoundPath]] = [iter((FoundPath(root, None),))]
        while stack:
            candidate = next(stack[-1], None)
            if candidate is None:
                stack.pop()
                continue
            judged = self._judged(candidate, rules)
            if judged is None:
                continue
            path, status = judged
            if status is None or self._is_new(path):
                yield judged
            if status is not None and stat.S_ISDIR(status.mode) and not self._is_done(path):
                inside = self._inside(path, status, rules, open_files)
                if inside is None:
                    yield FoundPath(path, None)
                else:
                    stack.append(inside)

    def _judged(self, candidate: FoundPath, rules: Filter) -> FoundPath | None:
        """The warning for a path; None: for this backup it does not exist."""
        path, status = candidate
        if status is None:
            try:
                status = self._see(look, path)
            except OSError as error:
                self._warn(path, unreadable(error))
                return None if isinstance(error, FileNotFoundError) else candidate
            candidate = FoundPath(path, status)
        if rules.takes_every_file and stat.S_ISREG(status.mode):
            return candidate
        return self._ruled(path, status, rules)

    def _ruled(self, path: bytes, status: Status, rules: Filter) -> FoundPath | None:
        if rules.matches(path, status.mode):
            self.left_out += 1
            return None
        if unsupported(status.mode):
            self._warn(path, SOCKET_OR_DEVICE)
            return None
        if self._is_own(status):
            self._warn(path, M("Not backed up: the tape or the spool of this very backup."))
            return None
        if rules.passes_over(status):
            self.left_out += 1
            return FoundPath(path, None)
        return FoundPath(path, status)

    def _is_own(self, status: Status) -> bool:
        return (status.device, status.inode) in self._own

    def _is_new(self, path: bytes) -> bool:
        return self._after is None or order(path) > self._after

    def _is_done(self, path: bytes) -> bool:
        """Whether all below this folder comes before the point of resuming."""
        if self._after is None:
            return False
        key = order(path)
        return key < self._after and not self._after.startswith(key + b"\0")

    def _inside(
        self, folder: bytes, status: Status, rules: Filter, open_files: ExitStack
    ) -> Iterator[FoundPath] | None:
        """The contents of a folder; None if it could not be listed."""
        if rules.is_foreign(status):
            self.left_out += 1
            return iter(())
        listing = self._listings.take(folder)
        try:
            if rules.leaves_out_caches and self._see(is_cache, folder):
                self.left_out += 1
                return iter((FoundPath(folder.rstrip(b"/") + b"/" + CACHE_TAG, None),))
            if listing is None:
                listing = self._see(listed, folder)
            if listing is None:
                return self._in_parts(folder, self._sorted_names(folder, open_files), rules)
        except OSError as error:
            self._warn(folder, unreadable(error))
            return None
        return self._wanting(folder, listing, rules)

    def _in_parts(self, folder: bytes, names: Iterator[bytes], rules: Filter) -> Iterator[FoundPath]:
        """The contents of a large folder, never all in memory at once."""
        while part := list(islice(names, PART)):
            try:
                listing = self._see(looked_at, folder, part)
            except Unanswered as error:
                self._warn(folder, unreadable(error))
                # Nothing below it that comes later counts as deleted.
                yield FoundPath(folder, None)
                return
            yield from self._wanting(folder, listing, rules)

    def _wanting(self, folder: bytes, listing: list[ListedName], rules: Filter) -> Iterator[FoundPath]:
        """The names found in a folder; its folders that will be walked are listed ahead."""
        base = folder.rstrip(b"/") + b"/"
        part = [FoundPath(base + name, Status._make(fields) if fields else None) for name, fields in listing]
        folders = (
            path
            for path, status in part
            if status is not None
            and stat.S_ISDIR(status.mode)
            and not rules.is_foreign(status)
            and not rules.matches(path, status.mode)
            and not self._is_own(status)
            and not self._is_done(path)
            and not reach.is_long(path)
        )
        self._listings.want(folders, len(part))
        return iter(part)

    def _sorted_names(self, folder: bytes, open_files: ExitStack) -> Iterator[bytes]:
        runs, rest = self._see(in_runs, folder, os.fspath(self._spool))
        try:
            return heapq.merge(*(self._spilled(run, open_files) for run in runs), iter(rest))
        except OSError as error:
            raise failed(error) from error

    def _spilled(self, run: str, open_files: ExitStack) -> Iterator[bytes]:
        path = Path(run)
        file = open_files.enter_context(path.open("rb"))
        # It vanishes with the process that has it open, even if that crashes.
        path.unlink()
        return split(file)

    def _see(self, function: Callable[..., T], path: bytes, *more: Any) -> T:
        """The status of a path of the sources. Raises OSError."""
        return self._eyes.ask(function, path, *more, about=shown(path))


def in_runs(folder: bytes, spool: str) -> tuple[list[str], list[bytes]]:
    """The names in a large folder, sorted run by run: files below ``spool``, and the last run.

    Raises OSError, SpoolFailed.
    """
    runs: list[str] = []
    with reach.names(folder) as names:
        run = sorted(islice(names, RUN))
        while len(run) == RUN:
            runs.append(_spill(run, spool))
            run = sorted(islice(names, RUN))
    return runs, run


def _spill(run: list[bytes], spool: str) -> str:
    try:
        with tempfile.NamedTemporaryFile(dir=spool, delete=False) as file:
            file.write(b"".join(name + b"\0" for name in run))
    except OSError as error:
        raise failed(error) from error
    return file.name


def split(file: IO[bytes]) -> Iterator[bytes]:
    """The names in a file, each ended by a NUL."""
    rest = b""
    while block := file.read(65536):
        *names, rest = (rest + block).split(b"\0")
        yield from names


def unreadable(error: OSError) -> Message:
    """The warning for a source that could not be read."""
    if isinstance(error, FileNotFoundError):
        return M("Not backed up: it vanished during the backup.")
    if isinstance(error, Unanswered):
        return M("Not backed up: its share does not answer.")
    if isinstance(error, reach.Leased):
        return M(
            "Not backed up: another program has it, and did not let go of it in {seconds} s.",
            seconds=round(reach.LEASE),
        )
    return M("Not backed up: it could not be read: {reason}.", reason=error.strerror or str(error))


SOCKET_OR_DEVICE = M("Not backed up: a tape cannot hold sockets and devices.")
