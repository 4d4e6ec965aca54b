"""Restore a set, or some paths of it, into a folder: in tape order, verified, atomic for each file."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from backup.entry import Entry, FileType, shown, text
from backup.format.age import Identities
from backup.format.documents import folder_of
from backup.restoring import assembly
from backup.restoring.checkpoint import Restored, RestoredCount, There
from backup.restoring.contents import Contents, DamagedMember
from backup.restoring.owners import Owners
from backup.restoring.placing import Placing
from backup.restoring.report import RestoreReport
from backup.restoring.selection import Selection
from backup.restoring.target import (
    EntryRefused,
    TargetFolders,
    split,
    writing,
)
from policy.message import Message
from policy.owners import OwnerMap
from tape.drive import Volume

AS_THEY_WERE = OwnerMap()
"""The numbers of the backup."""
ROUNDED_NS = 2 * 10**9
"""As FAT rounds times."""


def restore(
    volume: Volume,
    set_id: str,
    entries: Iterable[Entry],
    target: Path,
    *,
    select: Iterable[str] = (),
    overwrite: bool = False,
    beside: bool = False,
    keys: Identities = (),
    on_progress: Callable[[int, int], None] | None = None,
    check: Callable[[], None] | None = None,
) -> RestoreReport:
    """Restore entries of one set, given in tape order, as ``Restoration`` does.

    ``select``: paths, each with everything in it; none means everything.
    """
    selection = Selection(select)
    with Restoration(
        target, overwrite=overwrite, beside=beside, keys=keys, on_progress=on_progress, check=check
    ) as restoration:
        restoration.take(volume, set_id, (entry for entry in entries if selection.wants(entry.path)))
        report = restoration.finish()
    report.missing = [shown(path) for path in selection.unmet]
    return report


class _Ended(Exception):
    """Carries an exception of a callback past the translation of the errors of single files."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Restoration:
    """Restore several sets below ``target``; the path of each file is kept below it.

    An existing file stays, unless ``overwrite``, and is compared; with ``beside``, the file of the backup is
    put beside a different one, under another name. An existing folder is filled, and keeps its
    own mode and times without ``overwrite``. ``state``: a file that records the progress; with it, an
    interrupted restore continues. Everything from an archive that was done is looked for in the target: if
    something is missing, the archive is not done. ``owners``: whom the files belong to.
    ``on_progress(files, size)`` and ``check`` are called with each file, and every MiB; an exception from
    them ends the restore without a file half-restored. Raises OwnersUnknown, TargetFailed, SpoolFailed, and
    what the entries raise; errors of single files are in the report instead.
    """

    def __init__(
        self,
        target: Path,
        *,
        state: Path | None = None,
        overwrite: bool = False,
        beside: bool = False,
        keys: Identities = (),
        owners: OwnerMap = AS_THEY_WERE,
        on_progress: Callable[[int, int], None] | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._keys, self._owners = keys, Owners(owners)
        self._restored = Restored(state)
        self.report = RestoreReport()
        self._on_progress, self._check = on_progress, check
        self._target = TargetFolders(target, self._restored.makes)
        self._forget_what_is_gone()
        self._before = self._restored.totals()
        self.report.files, self.report.size = self._before.files, self._before.size
        self._begun = self._total()
        self._firsts = TargetFolders(target)
        self._under_way = 0
        self._placing = Placing(
            self._target,
            self._firsts,
            self._restored,
            self.report,
            overwrite=overwrite,
            beside=beside,
            look_up=self._look_up,
        )
        self._postponed: list[Entry] = []

    def __enter__(self) -> Restoration:
        return self

    def __exit__(self, *_: object) -> None:
        self._restored.close()
        self._target.close()
        self._firsts.close()

    def _forget_what_is_gone(self) -> None:
        """The target may have been emptied since, or be another disk: only what is there now is counted."""
        for set_id, archive in self._restored.all_done():
            there = all(self._is_there(restored) for restored in self._restored.of_archive(set_id, archive))
            pieces = self._restored.pieces_of(set_id, archive)
            if not there or not all(assembly.is_there(self._target, piece) for piece in pieces):
                self._restored.undo(set_id, archive)
        for path in self._restored.made_folders():
            if self._target.status(split(text(path))) is None:
                self._restored.forget_folder(path)

    def _is_there(self, restored: There) -> bool:
        now = self._target.status(tuple(restored.path.split(b"/")))
        if now is None or stat.S_IFMT(now.st_mode) != restored.kind:
            return False
        # A disk that is mounted again may have rounded the time.
        same_time = abs(now.st_mtime_ns - restored.mtime_ns) <= ROUNDED_NS
        return restored.kind != stat.S_IFREG or (now.st_size == restored.size and same_time)

    def take(self, volume: Volume, set_id: str, entries: Iterable[Entry], archive: int = 0) -> None:
        """Restore entries of one archive of a set, or of a whole set, in tape order."""
        self._restored.begin(set_id, archive)
        self._begun = self._total()
        contents = Contents(volume, folder_of(set_id), self._keys)
        self._placing.begin(set_id, contents)
        try:
            for entry in entries:
                self._one(self._owners.of(entry))
            # Links whose first name was not selected: restore their content too, in tape order.
            for entry in sorted(self._postponed, key=lambda link: link.place):
                self._attempt(entry, self._late_link)
            self._postponed.clear()
        except _Ended as ended:
            raise ended.error from None
        finally:
            contents.close()

    def lose(self, path: bytes, reason: Message) -> None:
        """A wanted file cannot be found on the tape."""
        self._fail(shown(path), reason)

    def archive_done(self) -> None:
        """All wanted entries of the last archive were given: it is not read again after an interruption."""
        self._target.sync()
        now = zip(self._total(), self._begun, strict=True)
        self._restored.done(RestoredCount(*(total - begun for total, begun in now)))

    def _total(self) -> RestoredCount:
        return RestoredCount(self.report.files, self.report.size, self.kept, self.differing)

    def is_done(self, set_id: str, archive: int) -> bool:
        """Whether an archive was done, perhaps before an interruption."""
        return self._restored.is_done(set_id, archive)

    @property
    def kept(self) -> int:
        """How many files existed and are as in the backup, also before an interruption."""
        return self._before.kept + len(self.report.kept)

    @property
    def differing(self) -> int:
        """How many files existed, differ from the backup, and were left as they were, also before an
        interruption."""
        return self._before.differing + len(self.report.differing)

    @property
    def failures(self) -> int:
        """How many files could not be restored, also before an interruption."""
        return self._restored.failures()

    def finish(self) -> RestoreReport:
        """No more entries follow: files that wait for a piece have failed, folders get their own modes and
        times."""
        for entry in self._restored.all_waiting():
            if not self._restored.has_failed(shown(entry.path)):
                self._fail(shown(entry.path), assembly.INCOMPLETE)
        for path in self._restored.in_pieces():
            assembly.drop(self._target, path)
        for entry in self._restored.folders():
            self._attempt(entry, self._placing.finish_folder)
        self._target.sync()
        return self.report

    def _one(self, entry: Entry) -> None:
        if entry.type is FileType.DELETED:
            return
        if entry.type is FileType.HARDLINK and self._placing.first_name(entry) is None:
            self._postponed.append(entry)
            return
        if entry.type is FileType.PIECE:
            whole = self._placing.complete(entry) if self._attempt(entry, self._placing.piece) else None
            self.report.files += whole is not None and self._attempt(whole, self._placing.put_together)
        elif self._attempt(entry, self._placing.placer(entry)):
            self.report.files += 1
        self._look_up()

    def _attempt(self, entry: Entry, act: Callable[[Entry], bool]) -> bool:
        try:
            with writing():
                return act(entry)
        except (EntryRefused, DamagedMember) as error:
            self._fail(shown(entry.path), error.reason)
            return False

    def _fail(self, path: str, reason: Message) -> None:
        self.report.failures.append((path, reason))
        self._restored.failed(path, reason)

    def _look_up(self, count: int = 0) -> None:
        """Report the progress, with ``count`` more bytes of the current file."""
        self._under_way = self._under_way + count if count else 0
        try:
            if self._on_progress is not None:
                self._on_progress(self.report.files, self.report.size + self._under_way)
            if self._check is not None:
                self._check()
        except Exception as error:
            raise _Ended(error) from error

    def _late_link(self, entry: Entry) -> bool:
        """A link whose first name is not in the target: the first such link gets the content, the others link
        to it."""
        if self._placing.first_name(entry) is None:
            entry = entry._replace(type=FileType.FILE, nlink=max(entry.nlink, 2))
        if self._placing.make(entry):
            self.report.files += 1
        self._look_up()
        return True
