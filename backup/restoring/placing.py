"""Puts one entry after the other into the target: creates, compares, links, joins."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Protocol

from backup.entry import Entry, FileType, raw, shown, text
from backup.restoring import assembly, dirfd, metadata
from backup.restoring.checkpoint import Fate, Restored, There
from backup.restoring.contents import Contents
from backup.restoring.existing import is_as_backed_up
from backup.restoring.report import RestoreReport
from backup.restoring.target import (
    EntryRefused,
    TargetFolders,
    placed,
    split,
)
from backup.restoring.write_file import receive
from policy.message import M, Message

DIFFERS = M("It was there already, is not as in the backup, and was kept.")


class LookUp(Protocol):
    """Called every MiB with how many more bytes of the current file are there."""

    def __call__(self, count: int = 0, /) -> None: ...


class Placing:
    """Puts entries of one set into a target. An error with one raises EntryRefused, DamagedMember
    or OSError."""

    def __init__(
        self,
        target: TargetFolders,
        firsts: TargetFolders,
        restored: Restored,
        report: RestoreReport,
        *,
        overwrite: bool,
        beside: bool,
        look_up: LookUp,
    ) -> None:
        """``firsts``: the same folder as ``target``, for the first names of hard links."""
        self._target = target
        self._firsts = firsts
        self._restored = restored
        self._report = report
        self._overwrite = overwrite
        self._beside = beside
        self._look_up = look_up
        self._set_id = ""

    def begin(self, set_id: str, contents: Contents) -> None:
        """The following entries belong to this set, their data to these archives."""
        self._set_id = set_id
        self._contents = contents

    def placer(self, entry: Entry) -> Callable[[Entry], bool]:
        """The function that puts an entry into the target; it returns False if the existing file was kept."""
        if entry.type is FileType.FOLDER:
            return self.folder
        return self.put_together if entry.pieces and entry.type is FileType.FILE else self.make

    def first_name(self, entry: Entry) -> tuple[bytes, ...] | None:
        """The name in the target of the file that a hard link refers to."""
        return self._restored.name_of(self._set_id, entry.place)

    def folder(self, entry: Entry) -> bool:
        """Make a folder, or keep the existing one and fill it."""
        parts = split(entry.path)
        if not parts:
            return True
        parent = self._target.folder(parts[:-1])
        existing = _existing(parent, parts[-1])
        if existing is not None and not stat.S_ISDIR(existing):
            if not self._overwrite:
                self._differs(entry, M("It was there already, is no folder, and was kept."))
                return False
            dirfd.unlink(parent, parts[-1])
            existing = None
        if existing is None or self._overwrite or self._restored.made(raw(entry.path)):
            self._restored.folder(entry)
        if existing is None:
            dirfd.mkdir(parent, parts[-1])
        self._restored.there(There(b"/".join(parts), stat.S_IFDIR, 0, 0))
        return True

    def finish_folder(self, entry: Entry) -> bool:
        """Give a folder its own mode and times: nothing more goes into it."""
        self._note(entry, metadata.apply_open(self._target.folder(split(entry.path)), entry))
        return True

    def piece(self, entry: Entry) -> bool:
        """A part of a file in pieces; if a file of its name exists, that part is compared."""
        assert entry.part
        if entry.part.number == 1:
            self._restored.begins_anew(self._set_id, entry)
        parts = split(entry.path)
        path = b"/".join(parts)
        parent = self._target.folder(parts[:-1])
        existing = _existing(parent, parts[-1])
        # That of a file to be put beside is known when the file is whole.
        if existing is None or self._beside or (self._overwrite and not stat.S_ISDIR(existing)):
            fd = assembly.open_for(self._restored.pieces(self._set_id, entry), parent, path)
            assembly.write(self._contents, entry, fd, self._look_up)
            fate = Fate.WRITTEN
        elif is_as_backed_up(self._contents, entry, parent, parts[-1], self._look_up):
            fate = Fate.SAME
        else:
            fate = Fate.DIFFERS
        self._restored.piece(self._set_id, entry, path, fate)
        return True

    def complete(self, piece: Entry) -> Entry | None:
        """The file whose last missing piece this was; None: it is not known yet, or waits for others."""
        whole = self._restored.waiting(self._set_id, piece)
        if whole is not None and assembly.are_all(whole, self._restored.pieces(self._set_id, whole)):
            return whole
        return None

    def put_together(self, entry: Entry) -> bool:
        """A file in pieces; False also while it waits for some of them, from a tape that is read later."""
        parts = split(entry.path)
        path = b"/".join(parts)
        parent = self._target.folder(parts[:-1])
        if self._restored.has_failed(shown(entry.path)):
            assembly.drop(self._target, path)
            return False
        pieces = self._restored.pieces(self._set_id, entry)
        if not assembly.are_all(entry, pieces):
            self._restored.wait(self._set_id, entry)
            return False
        assembly.check(entry, pieces)
        existing = _existing(parent, parts[-1])
        if existing is not None and self._beside:
            parts = self._name_beside(entry, parent, parts)
        elif existing is not None and not self._overwrite:
            self._keep_whole(entry, parent, parts, {piece.fate for piece in pieces} == {Fate.SAME})
            self._restored.together(self._set_id, entry)
            return False
        elif existing is not None and stat.S_ISDIR(existing):
            raise EntryRefused(M("A folder of the same name is in its way."))
        if any(piece.fate != Fate.WRITTEN for piece in pieces):
            raise EntryRefused(M("The file of its name went away while it was compared: restore it again."))
        if not self._is_linked_to_its_twin(entry, parent, path, parts[-1]):
            self._note(entry, assembly.finish(entry, parent, path, parts[-1]))
            self._report.size += entry.size
        self._count(entry, parent, parts)
        self._restored.together(self._set_id, entry)
        return True

    def _is_linked_to_its_twin(self, entry: Entry, parent: dirfd.Folder, path: bytes, name: bytes) -> bool:
        """One more name of a file in pieces has them, too; the two are one file again where that can be."""
        twin = self._same_file(entry)
        if twin is None:
            return False
        *folders, first = twin
        try:
            with placed(parent, name) as temporary:
                dirfd.link(self._firsts.folder(tuple(folders)), first, parent, temporary)
        except OSError:
            return False
        assembly.drop(self._target, path)
        return True

    def _keep_whole(
        self, entry: Entry, parent: dirfd.Folder, parts: tuple[bytes, ...], is_same: bool
    ) -> None:
        assembly.drop(self._target, b"/".join(parts))
        if is_same:
            self._report.kept.append(shown(entry.path))
            self._count(entry, parent, parts)
        else:
            self._differs(entry, DIFFERS)

    def make(self, entry: Entry) -> bool:
        """Restore anything but a folder; False if the existing file was kept."""
        parts = split(entry.path)
        if not parts:
            raise EntryRefused(M("Only a folder can have this path."))
        parent = self._target.folder(parts[:-1])
        free = self._free(entry, parent, parts)
        if free is None:
            return False
        parts = free
        with placed(parent, parts[-1]) as temporary:
            self._fill(entry, parent, temporary)
        if entry.type is FileType.FILE:
            self._report.size += entry.size
        self._count(entry, parent, parts)
        return True

    def _count(self, entry: Entry, parent: dirfd.Folder, parts: tuple[bytes, ...]) -> None:
        """The content of an entry is in the target."""
        status = dirfd.status(parent, parts[-1])
        if status is not None:
            kind = stat.S_IFMT(status.st_mode)
            self._restored.there(There(b"/".join(parts), kind, status.st_size, status.st_mtime_ns))
        if entry.type is FileType.FILE and entry.nlink > 1:
            self._restored.name(self._set_id, entry, parts)

    def _free(self, entry: Entry, parent: dirfd.Folder, parts: tuple[bytes, ...]) -> tuple[bytes, ...] | None:
        """The path that an entry gets; None: what exists was kept."""
        existing = _existing(parent, parts[-1])
        if existing is None:
            return parts
        if self._beside:
            return self._free_beside(entry, parent, parts)
        if not self._overwrite:
            self._keep(entry, parent, parts)
            return None
        if stat.S_ISDIR(existing):
            raise EntryRefused(M("A folder of the same name is in its way."))
        return parts

    def _free_beside(
        self, entry: Entry, parent: dirfd.Folder, parts: tuple[bytes, ...]
    ) -> tuple[bytes, ...] | None:
        """The first free name beside an existing one; None: one of them is as in the backup already."""
        for name in (parts[-1], *_taken_beside(parent, parts[-1])):
            with suppress(OSError):
                if is_as_backed_up(self._contents, entry, parent, name, self._look_up):
                    self._report.kept.append(shown(entry.path))
                    self._count(entry, parent, (*parts[:-1], name))
                    return None
        return self._name_beside(entry, parent, parts)

    def _name_beside(self, entry: Entry, parent: dirfd.Folder, parts: tuple[bytes, ...]) -> tuple[bytes, ...]:
        taken = len(list(_taken_beside(parent, parts[-1])))
        name = beside(parts[-1], taken + 1)
        self._report.beside.append((shown(entry.path), shown(text(name))))
        return (*parts[:-1], name)

    def _keep(self, entry: Entry, parent: dirfd.Folder, parts: tuple[bytes, ...]) -> None:
        """Keep the existing file, and check whether it is as in the backup."""
        try:
            is_same = is_as_backed_up(self._contents, entry, parent, parts[-1], self._look_up)
        except OSError as error:
            reason = error.strerror or str(error)
            self._differs(
                entry, M("It was there already and kept; it cannot be read: {reason}.", reason=reason)
            )
            return
        if is_same:
            self._report.kept.append(shown(entry.path))
            self._count(entry, parent, parts)
        else:
            self._differs(entry, DIFFERS)

    def _differs(self, entry: Entry, reason: Message) -> None:
        self._report.differing.append((shown(entry.path), reason))

    def _fill(self, entry: Entry, parent: dirfd.Folder, name: bytes) -> None:
        first = self._same_file(entry)
        if first is not None:
            problems = self._link(entry, first, parent, name)
        elif entry.type is FileType.FILE:
            problems = receive(self._contents, entry, parent, name, self._look_up)
        else:
            problems = _make_named(entry, parent, name)
        self._note(entry, problems)

    def _same_file(self, entry: Entry) -> tuple[bytes, ...] | None:
        """The name that this one must be linked to."""
        if entry.type is FileType.HARDLINK:
            return self.first_name(entry)
        if entry.type is FileType.FILE and entry.nlink > 1 and not entry.partial:
            return self._restored.twin_of(self._set_id, entry)
        return None

    def _link(
        self, entry: Entry, named: tuple[bytes, ...], parent: dirfd.Folder, name: bytes
    ) -> list[Message]:
        *folders, first = named
        there = self._firsts.folder(tuple(folders))
        try:
            dirfd.link(there, first, parent, name)
        except OSError as error:
            problem = M("It could not be linked, and is a file of its own: {reason}.", reason=error.strerror)
            return [problem, *receive(self._contents, entry, parent, name, self._look_up)]
        return []

    def _note(self, entry: Entry, problems: Iterable[Message]) -> None:
        self._report.incomplete.extend((shown(entry.path), problem) for problem in problems)


def beside(name: bytes, number: int) -> bytes:
    """Another name for a file: ``report.restored-1.pdf``."""
    stem, dot, ending = name.rpartition(b".")
    if not stem:
        stem, dot, ending = name, b"", b""
    return stem + b".restored-%d" % number + dot + ending


def _taken_beside(parent: dirfd.Folder, name: bytes) -> Iterator[bytes]:
    """The names beside a name that exist already."""
    number = 1
    while _existing(parent, other := beside(name, number)) is not None:
        yield other
        number += 1


def _existing(parent: dirfd.Folder, name: bytes) -> int | None:
    """The type bits of what has this name, or None. Raises EntryRefused if it belongs to another file."""
    kind = dirfd.kind(parent, name)
    if kind is not None and dirfd.is_another(parent, name):
        raise EntryRefused(M("A file is in its way whose name differs in capitals alone."))
    return kind


def _make_named(entry: Entry, parent: dirfd.Folder, name: bytes) -> list[Message]:
    if entry.type is FileType.SYMLINK:
        dirfd.symlink(raw(entry.target or ""), parent, name)
    else:
        dirfd.mkfifo(parent, name)
    return metadata.apply_named(parent, name, entry)
