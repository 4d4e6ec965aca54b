"""Restore a set, or some paths of it, into a folder: in tape order, verified, atomic for each file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from backup import metadata
from backup.backwards import Backwards
from backup.contents import Contents, Damaged
from backup.documents import folder_of
from backup.entry import Entry, FileType, Place, raw, shown
from backup.receive import receive
from backup.selection import Selection
from backup.target import Refused, Target, kind, placed, split, writing
from policy.message import M, Message
from tape.drive import Volume


@dataclass(slots=True)
class RestoreReport:
    """What a restore did. Paths are for people, and always UTF-8."""

    files: int = 0
    """Entries restored: everything with a name, folders and links too."""
    size: int = 0
    """Bytes of content restored, holes included, each hard-linked file once."""
    failures: list[tuple[str, Message]] = field(default_factory=list)
    """What was not restored, and why."""
    incomplete: list[tuple[str, Message]] = field(default_factory=list)
    """What was restored, but not all of it: an attribute, or a content that was no single state."""
    kept: list[str] = field(default_factory=list)
    """What existed in the target, and was left as it was."""
    missing: list[str] = field(default_factory=list)
    """The paths asked for that the set does not have."""


def restore(
    volume: Volume,
    set_id: str,
    entries: Iterable[Entry],
    target: Path,
    *,
    select: Iterable[str] = (),
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    check: Callable[[], None] | None = None,
) -> RestoreReport:
    """Restore entries, given in tape order, under ``target``; the path of each is kept below it.

    ``select``: paths, each with all that is in it; none means everything. What exists stays, unless
    ``overwrite``; a folder that exists is filled, and keeps its own mode and times without ``overwrite``.
    ``on_progress(files, size)`` and ``check`` are called with each file, and every MiB; what they raise
    ends the restore without a file half-restored. Raises TargetFailed, SpoolFailed, and what ``entries``
    raises; whatever goes wrong with single files is in the report instead.
    """
    restoration = _Restoration(volume, set_id, target, Selection(select), overwrite=overwrite)
    restoration.on_progress, restoration.check = on_progress, check
    try:
        restoration.run(entries)
    except _Ended as ended:
        raise ended.error from None
    finally:
        restoration.close()
    return restoration.report


class _Ended(Exception):
    """Carries what a callback raised past the translation of the errors of single files."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class _Restoration:
    """The state of one call of ``restore``."""

    on_progress: Callable[[int, int], None] | None = None
    check: Callable[[], None] | None = None

    def __init__(
        self, volume: Volume, set_id: str, target: Path, selection: Selection, *, overwrite: bool
    ) -> None:
        self.report = RestoreReport()
        self._selection = selection
        self._overwrite = overwrite
        self._target = Target(target)
        self._firsts = Target(target)
        self._under_way = 0
        self._folders = Backwards()
        self._contents = Contents(volume, folder_of(set_id))
        self._named: dict[Place, tuple[bytes, ...]] = {}
        self._postponed: list[Entry] = []

    def close(self) -> None:
        self._contents.close()
        self._folders.close()
        self._target.close()
        self._firsts.close()

    def run(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if self._selection.wants(entry.path):
                self._one(entry)
        # Links whose first name was not asked for: their content, too, in tape order.
        for entry in sorted(self._postponed, key=lambda link: link.place):
            self._attempt(entry, self._late_link)
        for entry in self._folders:
            self._attempt(entry, self._finish_folder)
        self.report.missing = [shown(path) for path in self._selection.unmet]

    def _one(self, entry: Entry) -> None:
        if entry.type is FileType.HARDLINK and entry.place not in self._named:
            self._postponed.append(entry)
            return
        make = self._folder if entry.type is FileType.FOLDER else self._make
        if self._attempt(entry, make):
            self.report.files += 1
        self._look_up()

    def _attempt(self, entry: Entry, act: Callable[[Entry], bool]) -> bool:
        try:
            with writing():
                return act(entry)
        except (Refused, Damaged) as error:
            self.report.failures.append((shown(entry.path), error.reason))
            return False

    def _look_up(self, count: int = 0) -> None:
        """Tell how far it is, with ``count`` more bytes of the file under way."""
        self._under_way = self._under_way + count if count else 0
        try:
            if self.on_progress is not None:
                self.on_progress(self.report.files, self.report.size + self._under_way)
            if self.check is not None:
                self.check()
        except Exception as error:
            raise _Ended(error) from error

    def _folder(self, entry: Entry) -> bool:
        parts = split(entry.path)
        if not parts:
            return True
        parent = self._target.folder(parts[:-1])
        existing = kind(parent, parts[-1])
        if existing is not None and not stat.S_ISDIR(existing):
            if not self._overwrite:
                self.report.kept.append(shown(entry.path))
                return False
            os.unlink(parts[-1], dir_fd=parent)
            existing = None
        if existing is None:
            os.mkdir(parts[-1], 0o700, dir_fd=parent)
        if existing is None or self._overwrite:
            self._folders.push(entry)
        return True

    def _finish_folder(self, entry: Entry) -> bool:
        self._note(entry, metadata.apply_open(self._target.folder(split(entry.path)), entry))
        return True

    def _make(self, entry: Entry) -> bool:
        """Restore anything but a folder; False if what exists was kept."""
        parts = split(entry.path)
        if not parts:
            raise Refused(M("Only a folder can have this path."))
        parent = self._target.folder(parts[:-1])
        if self._is_kept(entry, parent, parts[-1]):
            return False
        with placed(parent, parts[-1]) as temporary:
            self._fill(entry, parent, temporary)
        if entry.type is FileType.FILE:
            self.report.size += entry.size
            if entry.nlink > 1:
                self._named[entry.place] = parts
        return True

    def _is_kept(self, entry: Entry, parent: int, name: bytes) -> bool:
        existing = kind(parent, name)
        if existing is None:
            return False
        if not self._overwrite:
            self.report.kept.append(shown(entry.path))
            return True
        if stat.S_ISDIR(existing):
            raise Refused(M("A folder of the same name is in its way."))
        return False

    def _fill(self, entry: Entry, parent: int, name: bytes) -> None:
        if entry.type is FileType.FILE:
            problems = receive(self._contents, entry, parent, name, self._look_up)
        elif entry.type is FileType.HARDLINK:
            problems = self._link(entry, parent, name)
        else:
            problems = _make_named(entry, parent, name)
        self._note(entry, problems)

    def _link(self, entry: Entry, parent: int, name: bytes) -> list[Message]:
        *folders, first = self._named[entry.place]
        there = self._firsts.folder(tuple(folders))
        try:
            os.link(first, name, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            problem = M("It could not be linked, and is a file of its own: {reason}.", reason=error.strerror)
            return [problem, *receive(self._contents, entry, parent, name, self._look_up)]
        return []

    def _late_link(self, entry: Entry) -> bool:
        """A link whose first name is not in the target: the first such gets the content, the others link."""
        if entry.place not in self._named:
            entry = entry._replace(type=FileType.FILE, nlink=max(entry.nlink, 2))
        if self._make(entry):
            self.report.files += 1
        self._look_up()
        return True

    def _note(self, entry: Entry, problems: Iterable[Message]) -> None:
        self.report.incomplete.extend((shown(entry.path), problem) for problem in problems)


def _make_named(entry: Entry, parent: int, name: bytes) -> list[Message]:
    if entry.type is FileType.SYMLINK:
        os.symlink(raw(entry.target or ""), name, dir_fd=parent)
    else:
        os.mkfifo(name, 0o600, dir_fd=parent)
    return metadata.apply_named(parent, name, entry)
