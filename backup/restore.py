"""Restore a set, or some paths of it, into a folder: in tape order, verified, atomic for each file."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from backup import assembly, metadata, within
from backup.age import Identities
from backup.contents import Contents, Damaged
from backup.documents import folder_of
from backup.entry import Entry, FileType, raw, shown, text
from backup.receive import receive
from backup.restored import Count, Fate, Restored, There
from backup.selection import Selection
from backup.standing import is_as_backed_up
from backup.target import Refused, Target, placed, split, writing
from policy.message import M, Message
from tape.drive import Volume

DIFFERS = M("It was there already, is not as in the backup, and was kept.")
ROUNDED_NS = 2 * 10**9
"""As FAT does it."""


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
    """What existed in the target, and is as in the backup."""
    differing: list[tuple[str, Message]] = field(default_factory=list)
    """What existed in the target, is not as in the backup, and was left as it was."""
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
    keys: Identities = (),
    on_progress: Callable[[int, int], None] | None = None,
    check: Callable[[], None] | None = None,
) -> RestoreReport:
    """Restore entries of one set, given in tape order, as ``Restoration`` does.

    ``select``: paths, each with all that is in it; none means everything.
    """
    selection = Selection(select)
    with Restoration(
        target, overwrite=overwrite, keys=keys, on_progress=on_progress, check=check
    ) as restoration:
        restoration.take(volume, set_id, (entry for entry in entries if selection.wants(entry.path)))
        report = restoration.finish()
    report.missing = [shown(path) for path in selection.unmet]
    return report


class _Ended(Exception):
    """Carries what a callback raised past the translation of the errors of single files."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Restoration:
    """Restore what several sets hold under ``target``; the path of each file is kept below it.

    What exists stays, unless ``overwrite``, and is compared; a folder that exists is filled, and keeps its
    own mode and times without ``overwrite``. ``state``: a file that says how far it is; with it, a restore
    that was broken off goes on. Of an archive that was done, all is looked for in the target: if something is
    gone, it is not done. ``on_progress(files, size)`` and ``check`` are called with each file, and every MiB;
    what they raise ends the restore without a file half-restored. Raises TargetFailed, SpoolFailed, and what
    the entries raise; whatever goes wrong with single files is in the report instead.
    """

    def __init__(
        self,
        target: Path,
        *,
        state: Path | None = None,
        overwrite: bool = False,
        keys: Identities = (),
        on_progress: Callable[[int, int], None] | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._keys = keys
        self._restored = Restored(state)
        self.report = RestoreReport()
        self._overwrite = overwrite
        self._on_progress, self._check = on_progress, check
        self._target = Target(target, self._restored.makes)
        self._forget_what_is_gone()
        self._before = self._restored.totals()
        self.report.files, self.report.size = self._before.files, self._before.size
        self._begun = self._total()
        self._firsts = Target(target)
        self._under_way = 0
        self._set_id = ""
        self._postponed: list[Entry] = []

    def __enter__(self) -> Restoration:
        return self

    def __exit__(self, *_: object) -> None:
        self._restored.close()
        self._target.close()
        self._firsts.close()

    def _forget_what_is_gone(self) -> None:
        """The target may have been emptied since, or be another disk: what is counted is there now."""
        for set_id, archive in self._restored.all_done():
            there = all(self._is_there(found) for found in self._restored.of_archive(set_id, archive))
            pieces = self._restored.pieces_of(set_id, archive)
            if not there or not all(assembly.is_there(self._target, piece) for piece in pieces):
                self._restored.undo(set_id, archive)
        for path in self._restored.made_folders():
            if self._target.status(split(text(path))) is None:
                self._restored.forget_folder(path)

    def _is_there(self, found: There) -> bool:
        now = self._target.status(tuple(found.path.split(b"/")))
        if now is None or stat.S_IFMT(now.st_mode) != found.kind:
            return False
        # A disk that is mounted again may have rounded the time.
        same_time = abs(now.st_mtime_ns - found.mtime_ns) <= ROUNDED_NS
        return found.kind != stat.S_IFREG or (now.st_size == found.size and same_time)

    def take(self, volume: Volume, set_id: str, entries: Iterable[Entry], archive: int = 0) -> None:
        """Restore entries of one archive of a set, or of a whole set, in tape order."""
        self._set_id = set_id
        self._restored.begin(set_id, archive)
        self._begun = self._total()
        self._contents = Contents(volume, folder_of(set_id), self._keys)
        try:
            for entry in entries:
                self._one(entry)
            # Links whose first name was not asked for: their content, too, in tape order.
            for entry in sorted(self._postponed, key=lambda link: link.place):
                self._attempt(entry, self._late_link)
            self._postponed.clear()
        except _Ended as ended:
            raise ended.error from None
        finally:
            self._contents.close()

    def lose(self, path: bytes, reason: Message) -> None:
        """A file that is wanted cannot be found on the tape."""
        self._fail(shown(path), reason)

    def archive_done(self) -> None:
        """All that is wanted of the archive taken last was given: it is not asked for again after a break."""
        self._target.sync()
        now = zip(self._total(), self._begun, strict=True)
        self._restored.done(Count(*(total - begun for total, begun in now)))

    def _total(self) -> Count:
        return Count(self.report.files, self.report.size, self.kept, self.differing)

    def is_done(self, set_id: str, archive: int) -> bool:
        """Whether an archive was done, perhaps before a break."""
        return self._restored.is_done(set_id, archive)

    @property
    def kept(self) -> int:
        """How much existed and is as in the backup, also before a break."""
        return self._before.kept + len(self.report.kept)

    @property
    def differing(self) -> int:
        """How much existed, is not as in the backup, and was left as it was, also before a break."""
        return self._before.differing + len(self.report.differing)

    @property
    def failures(self) -> int:
        """How much could not be restored, also before a break."""
        return self._restored.failures()

    def finish(self) -> RestoreReport:
        """Give the folders their own modes and times: nothing more comes into them."""
        for path in self._restored.in_pieces():
            assembly.drop(self._target, path)
        for entry in self._restored.folders():
            self._attempt(entry, self._finish_folder)
        self._target.sync()
        return self.report

    def _one(self, entry: Entry) -> None:
        if entry.type is FileType.DELETED:
            return
        if entry.type is FileType.HARDLINK and self._first_name(entry) is None:
            self._postponed.append(entry)
            return
        if entry.type is FileType.PIECE:
            self._attempt(entry, self._piece)
        elif self._attempt(entry, self._maker(entry)):
            self.report.files += 1
        self._look_up()

    def _maker(self, entry: Entry) -> Callable[[Entry], bool]:
        if entry.type is FileType.FOLDER:
            return self._folder
        return self._put_together if entry.pieces and entry.type is FileType.FILE else self._make

    def _attempt(self, entry: Entry, act: Callable[[Entry], bool]) -> bool:
        try:
            with writing():
                return act(entry)
        except (Refused, Damaged) as error:
            self._fail(shown(entry.path), error.reason)
            return False

    def _fail(self, path: str, reason: Message) -> None:
        self.report.failures.append((path, reason))
        self._restored.failed(path, reason)

    def _first_name(self, entry: Entry) -> tuple[bytes, ...] | None:
        return self._restored.name_of(self._set_id, entry.place)

    def _look_up(self, count: int = 0) -> None:
        """Tell how far it is, with ``count`` more bytes of the file under way."""
        self._under_way = self._under_way + count if count else 0
        try:
            if self._on_progress is not None:
                self._on_progress(self.report.files, self.report.size + self._under_way)
            if self._check is not None:
                self._check()
        except Exception as error:
            raise _Ended(error) from error

    def _folder(self, entry: Entry) -> bool:
        parts = split(entry.path)
        if not parts:
            return True
        parent = self._target.folder(parts[:-1])
        existing = _existing(parent, parts[-1])
        if existing is not None and not stat.S_ISDIR(existing):
            if not self._overwrite:
                self._differs(entry, M("It was there already, is no folder, and was kept."))
                return False
            within.unlink(parent, parts[-1])
            existing = None
        if existing is None or self._overwrite or self._restored.made(raw(entry.path)):
            self._restored.folder(entry)
        if existing is None:
            within.mkdir(parent, parts[-1])
        self._restored.there(There(b"/".join(parts), stat.S_IFDIR, 0, 0))
        return True

    def _finish_folder(self, entry: Entry) -> bool:
        self._note(entry, metadata.apply_open(self._target.folder(split(entry.path)), entry))
        return True

    def _piece(self, entry: Entry) -> bool:
        """A part of a file that comes in pieces; where one of its name is there, that part is compared."""
        parts = split(entry.path)
        path = b"/".join(parts)
        parent = self._target.folder(parts[:-1])
        existing = _existing(parent, parts[-1])
        if existing is None or (self._overwrite and not stat.S_ISDIR(existing)):
            fd = assembly.open_for(entry, self._restored.pieces(self._set_id, entry), parent, path)
            assembly.write(self._contents, entry, fd, self._look_up)
            fate = Fate.WRITTEN
        elif is_as_backed_up(self._contents, entry, parent, parts[-1], self._look_up):
            fate = Fate.SAME
        else:
            fate = Fate.DIFFERS
        self._restored.piece(self._set_id, entry, path, fate)
        return True

    def _put_together(self, entry: Entry) -> bool:
        """A file of which all pieces have come."""
        parts = split(entry.path)
        path = b"/".join(parts)
        parent = self._target.folder(parts[:-1])
        if self._restored.has_failed(shown(entry.path)):
            assembly.drop(self._target, path)
            return False
        pieces = self._restored.pieces(self._set_id, entry)
        assembly.check(entry, pieces)
        existing = _existing(parent, parts[-1])
        if existing is not None and not self._overwrite:
            self._keep_whole(entry, parent, parts, {piece.fate for piece in pieces} == {Fate.SAME})
            return False
        if existing is not None and stat.S_ISDIR(existing):
            raise Refused(M("A folder of the same name is in its way."))
        if any(piece.fate != Fate.WRITTEN for piece in pieces):
            raise Refused(M("The file of its name went away while it was compared: restore it again."))
        if not self._is_linked_to_its_twin(entry, parent, parts):
            self._note(entry, assembly.finish(entry, parent, path, parts[-1]))
            self.report.size += entry.size
        self._count(entry, parent, parts)
        return True

    def _is_linked_to_its_twin(self, entry: Entry, parent: within.Folder, parts: tuple[bytes, ...]) -> bool:
        """One more name of a file in pieces has them, too; the two are one file again where that can be."""
        twin = self._same_file(entry)
        if twin is None:
            return False
        *folders, first = twin
        try:
            with placed(parent, parts[-1]) as temporary:
                within.link(self._firsts.folder(tuple(folders)), first, parent, temporary)
        except OSError:
            return False
        assembly.drop(self._target, b"/".join(parts))
        return True

    def _keep_whole(
        self, entry: Entry, parent: within.Folder, parts: tuple[bytes, ...], is_same: bool
    ) -> None:
        assembly.drop(self._target, b"/".join(parts))
        if is_same:
            self.report.kept.append(shown(entry.path))
            self._count(entry, parent, parts)
        else:
            self._differs(entry, DIFFERS)

    def _make(self, entry: Entry) -> bool:
        """Restore anything but a folder; False if what exists was kept."""
        parts = split(entry.path)
        if not parts:
            raise Refused(M("Only a folder can have this path."))
        parent = self._target.folder(parts[:-1])
        if self._is_kept(entry, parent, parts):
            return False
        with placed(parent, parts[-1]) as temporary:
            self._fill(entry, parent, temporary)
        if entry.type is FileType.FILE:
            self.report.size += entry.size
        self._count(entry, parent, parts)
        return True

    def _count(self, entry: Entry, parent: within.Folder, parts: tuple[bytes, ...]) -> None:
        """What an entry stands for is in the target."""
        found = within.status(parent, parts[-1])
        if found is not None:
            kind = stat.S_IFMT(found.st_mode)
            self._restored.there(There(b"/".join(parts), kind, found.st_size, found.st_mtime_ns))
        if entry.type is FileType.FILE and entry.nlink > 1:
            self._restored.name(self._set_id, entry, parts)

    def _is_kept(self, entry: Entry, parent: within.Folder, parts: tuple[bytes, ...]) -> bool:
        existing = _existing(parent, parts[-1])
        if existing is None:
            return False
        if not self._overwrite:
            self._keep(entry, parent, parts)
            return True
        if stat.S_ISDIR(existing):
            raise Refused(M("A folder of the same name is in its way."))
        return False

    def _keep(self, entry: Entry, parent: within.Folder, parts: tuple[bytes, ...]) -> None:
        """Leave what exists, and see whether it is what the backup has."""
        try:
            is_same = is_as_backed_up(self._contents, entry, parent, parts[-1], self._look_up)
        except OSError as error:
            reason = error.strerror or str(error)
            self._differs(
                entry, M("It was there already and kept; it cannot be read: {reason}.", reason=reason)
            )
            return
        if is_same:
            self.report.kept.append(shown(entry.path))
            self._count(entry, parent, parts)
        else:
            self._differs(entry, DIFFERS)

    def _differs(self, entry: Entry, reason: Message) -> None:
        self.report.differing.append((shown(entry.path), reason))

    def _fill(self, entry: Entry, parent: within.Folder, name: bytes) -> None:
        first = self._same_file(entry)
        if first is not None:
            problems = self._link(entry, first, parent, name)
        elif entry.type is FileType.FILE:
            problems = receive(self._contents, entry, parent, name, self._look_up)
        else:
            problems = _make_named(entry, parent, name)
        self._note(entry, problems)

    def _same_file(self, entry: Entry) -> tuple[bytes, ...] | None:
        """The name that this one has to be linked to."""
        if entry.type is FileType.HARDLINK:
            return self._first_name(entry)
        if entry.type is FileType.FILE and entry.nlink > 1 and not entry.partial:
            return self._restored.twin_of(self._set_id, entry)
        return None

    def _link(
        self, entry: Entry, named: tuple[bytes, ...], parent: within.Folder, name: bytes
    ) -> list[Message]:
        *folders, first = named
        there = self._firsts.folder(tuple(folders))
        try:
            within.link(there, first, parent, name)
        except OSError as error:
            problem = M("It could not be linked, and is a file of its own: {reason}.", reason=error.strerror)
            return [problem, *receive(self._contents, entry, parent, name, self._look_up)]
        return []

    def _late_link(self, entry: Entry) -> bool:
        """A link whose first name is not in the target: the first such gets the content, the others link."""
        if self._first_name(entry) is None:
            entry = entry._replace(type=FileType.FILE, nlink=max(entry.nlink, 2))
        if self._make(entry):
            self.report.files += 1
        self._look_up()
        return True

    def _note(self, entry: Entry, problems: Iterable[Message]) -> None:
        self.report.incomplete.extend((shown(entry.path), problem) for problem in problems)


def _existing(parent: within.Folder, name: bytes) -> int | None:
    """The type bits of what has this name, or None. Raises Refused where that is another file's."""
    found = within.kind(parent, name)
    if found is not None and within.is_another(parent, name):
        raise Refused(M("A file is in its way whose name differs in capitals alone."))
    return found


def _make_named(entry: Entry, parent: within.Folder, name: bytes) -> list[Message]:
    if entry.type is FileType.SYMLINK:
        within.symlink(raw(entry.target or ""), parent, name)
    else:
        within.mkfifo(parent, name)
    return metadata.apply_named(parent, name, entry)
