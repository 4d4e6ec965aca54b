"""What a person gave a run by hand, and what the run notes for its later parts."""

from __future__ import annotations

from dataclasses import dataclass

from db.states import BackupType


@dataclass(frozen=True, slots=True)
class Options:
    """Given by hand when a run is started; no step changes it. A field that nobody gave has its default."""

    type: BackupType | None = None
    """Of a backup: another type than its template's."""
    sources: tuple[str, ...] | None = None
    """Of a backup: other folders than its template's."""
    excludes: tuple[str, ...] = ()
    """Of a backup: patterns that follow those of its template."""
    erase_label: str | None = None
    """Of a backup: the label of the tape that it may format although sets on it are kept."""
    keep_label: bool = False
    """Of a backup: a tape that is formatted keeps its label."""
    target: str = ""
    """Of a restore: the folder on the drive's host."""
    paths: tuple[str, ...] = ()
    """Of a restore: these files and folders, and those that match ``patterns``; without any, everything."""
    patterns: tuple[str, ...] = ()
    overwrite: bool = False
    """Of a restore: existing files are replaced."""
    beside: bool = False
    """Of a restore: a file is put beside a different one that exists, under another name."""
    within_roots: bool = False
    """Of a restore: only into a folder that the drive's host names; without this it may name none."""
    owner_map: tuple[str, ...] = ()
    """Of a restore: whom the files belong to, as ``policy.owners`` reads it; without it, the numbers of the
    backup."""
    identity: str | None = None
    """Of a restore or an import: the file with the secret key, on the drive's host."""
    tape: str | None = None
    """Of an import: the tape to read, by its barcode or label. None: the one that is in the drive."""
    pool: str | None = None
    """Of a copy: the pool of its tape. None: a blank tape, or one of this month."""
    percent: int = 100
    """Of a verification: how much of the set is read back."""


@dataclass(frozen=True, slots=True)
class RunNotes:
    """What a run notes for its later parts."""

    erase_sets: tuple[str, ...] | None = None
    """The sets that were on the tape to erase when the run was started: sets written to it later were never
    given up. None: no known tape had its label."""
    cartridges: tuple[int, ...] | None = None
    """The tapes that are still to be read; None: those of the set and of the sets that it follows."""
    damaged: int = 0
    """How much a verification found damaged on the tapes that it has read."""
    in_spool: bool = False
    """Of a copy: files of the set may be in the spool folder of the drive's host."""
    spooled: int | None = None
    """Of a copy: all of the set is in the spool folder, so many bytes: it needs the tape to write to now."""
    copied_to: int | None = None
    """Of a copy: the tape on which it is whole, and in the catalogue."""
    next_tape: bool = False
    """It has read a tape and needs another one."""
    at_once: bool = False
    """A person has let it go on: the window of its schedule does not apply."""
