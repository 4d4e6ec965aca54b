"""What has to be true of database and tapes at any moment. Each question answers with what is wrong."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text

from backup.compare import compare_trees
from backup.entry import Entry, FileType
from backup.format import manifest
from backup.restore import Restoration
from db.models import (
    ArchiveCopy,
    BackupArchive,
    BackupSet,
    ChainRun,
    FormatPermit,
    Notification,
    TapeCartridge,
)
from db.states import RunState
from db.tapes import copies
from policy.tapes.facts import CartridgeState, SetState
from tape.drive import Drive
from tape.virtual.record import VOLUME
from tests import cartridges

ENDINGS = {
    "SUCCEEDED": ("success", "warnings"),
    "FAILED": ("failed", "tape_error"),
    "SKIPPED": ("skipped", "missed"),
    "CANCELLED": ("cancelled",),
}
"""How the end of a run is announced."""

_TWICE_ACTIVE = text(
    "SELECT 'schedule ' || schedule_id FROM chain_runs"
    " WHERE state IN ('QUEUED', 'RUNNING', 'WAITING_FOR_TAPE', 'HELD')"
    " GROUP BY schedule_id HAVING schedule_id IS NOT NULL AND count(*) > 1"
    " UNION ALL SELECT 'drive ' || drive FROM chain_runs"
    " WHERE state = 'RUNNING' GROUP BY drive HAVING count(*) > 1"
)
_EMPTY_SUCCESS = text(
    "SELECT r.id FROM chain_runs r LEFT JOIN backup_sets s ON s.id = r.set_id WHERE r.kind = 'backup'"
    " AND r.state = 'SUCCEEDED' AND coalesce(s.state, '') NOT IN ('complete', 'destroyed')"
)
_ENTERED = text(
    "SELECT run_id, message->'params'->>'after', count(*) FROM run_events"
    " WHERE message->>'id' LIKE '{before} → {after}%' GROUP BY 1, 2"
)


def not_announced_once(session: Any) -> list[str]:
    """Every ended run is in the outbox once for each time that it came to an end."""
    entered: Counter[tuple[int, str]] = Counter()
    for run_id, state, times in session.execute(_ENTERED):
        entered[run_id, state] = times
    skipped = select(ChainRun.id).where(ChainRun.state == RunState.SKIPPED, ChainRun.started_at.is_(None))
    for run_id in session.scalars(skipped):
        entered[run_id, "SKIPPED"] = 1
    said: Counter[tuple[int, str]] = Counter()
    for run_id, event, times in session.execute(
        select(Notification.run_id, Notification.event, func.count()).group_by(
            Notification.run_id, Notification.event
        )
    ):
        said[run_id, event] = times
    return [
        f"run {run_id} came {times} times to {state}, and was announced {announced} times"
        for (run_id, state), times in entered.items()
        if state in ENDINGS and (announced := sum(said[run_id, event] for event in ENDINGS[state])) != times
    ]


def held_sets(session: Any) -> list[str]:
    """Nothing of a run that is held is on tape."""
    held = select(BackupSet.id).join(ChainRun, ChainRun.id == BackupSet.run_id)
    held = held.where(ChainRun.state == RunState.HELD, BackupSet.archives.any())
    return [f"set {each} is of a run that is held" for each in session.scalars(held)]


def not_on_tape(session: Any, folders: dict[str, Path], excused: Collection[str] = ()) -> list[str]:
    """Whatever the catalogue has is on the tape, of this generation, sealed, with its size and hash.

    ``excused``: sets that were erased where the catalogue could not see it.
    """
    wrong = []
    in_doubt = doubtful(session)
    for stored in session.scalars(select(BackupSet).where(BackupSet.state != SetState.DESTROYED)):
        if stored.id in excused:
            continue
        for archive in stored.archives:
            row = archive.cartridge
            if row.id in in_doubt:
                continue
            if archive.generation != row.generation:
                wrong.append(f"set {stored.id} is not destroyed, and its cartridge is formatted since")
            elif not _is_on(folders[row.medium_serial], f"sets/{stored.id}/{archive.name}", archive):
                wrong.append(f"archive {archive.number} of set {stored.id} is not on {row.tape_id}")
        wrong += _not_copied(session, stored, folders, in_doubt)
        if stored.state is SetState.COMPLETE and stored.cartridge_id not in in_doubt:
            # Of a set that spans cartridges it is on the last one, which may hold nothing else of it.
            name = f"sets/{stored.id}/complete.json"
            if not any(name in cartridges.sealed(folder) for folder in folders.values()):
                wrong.append(f"set {stored.id} is complete in the catalogue and not on the tape")
    return wrong


def _not_copied(
    session: Any, stored: BackupSet, folders: dict[str, Path], in_doubt: Collection[int]
) -> list[str]:
    """The copies of a set that a cartridge should have, and has not."""
    there = select(BackupArchive, TapeCartridge).join(
        ArchiveCopy,
        (ArchiveCopy.set_id == BackupArchive.set_id) & (ArchiveCopy.number == BackupArchive.number),
    )
    rows = session.execute(
        there.join(TapeCartridge, copies.here(ArchiveCopy)).where(BackupArchive.set_id == stored.id)
    )
    return [
        f"the copy of archive {archive.number} of set {stored.id} is not on {row.tape_id}"
        for archive, row in rows
        if row.id not in in_doubt
        and not _is_on(folders[row.medium_serial], f"sets/{stored.id}/{archive.name}", archive)
    ]


def doubtful(session: Any) -> set[int]:
    """Cartridges of which the catalogue claims nothing now: a format is at work, or was cut off."""
    unknown = select(TapeCartridge.id).where(TapeCartridge.state == CartridgeState.UNKNOWN)
    at_work = select(FormatPermit.cartridge_id).where(
        FormatPermit.consumed_at.is_not(None), FormatPermit.outcome.is_(None)
    )
    return {*session.scalars(unknown), *session.scalars(at_work)}


def _is_on(folder: Path, name: str, archive: BackupArchive) -> bool:
    if cartridges.sealed(folder).get(name) != archive.bytes:
        return False
    status = (folder / VOLUME / name).stat()
    return _sha256(folder / VOLUME / name, status.st_mtime_ns, status.st_ino) == archive.sha256


@cache
def _sha256(path: Path, _modified: int, _inode: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def not_restored(
    stored: BackupSet,
    folders: dict[str, Path],
    load: Callable[[Path], Drive],
    target: Path,
    *,
    follows: Sequence[BackupSet] = (),
    tree: Callable[[Path], Path | None] = lambda source: source,
) -> list[str]:
    """A complete set comes back from its tapes alone, equal in every byte and fact.

    ``load``: puts a cartridge into its drive. The catalogue says which one is wanted for which archives; the
    tape that the set ends on says whether that is all of it. ``follows``: the sets whose changes it holds,
    the full one first. ``tree``: what a source was when the set was made; None if nobody knows.
    """
    told = [archive.number for archive in stored.archives]
    if _numbers_at_its_end(stored, folders, load) != told:
        return [f"set {stored.id} does not say on its last tape that archives {told} are all of it"]
    different: list[object] = []
    with Restoration(target) as restoration:
        try:
            for set_id, serial, entries in _live([*follows, stored], folders, load):
                with load(folders[serial]).mount(read_only=True) as volume:
                    restoration.take(volume, set_id, entries)
            different += restoration.finish().failures
            for source in map(Path, stored.sources):
                if expected := tree(source):
                    different += compare_trees(expected, target / source.relative_to("/"))
        finally:
            shutil.rmtree(target, ignore_errors=True)
    return [f"set {stored.id} does not restore: {different}"] if different else []


def _live(
    sets: Sequence[BackupSet], folders: dict[str, Path], load: Callable[[Path], Drive]
) -> list[tuple[str, str, list[Entry]]]:
    """What a chain of sets makes up: for each set and cartridge the entries that no later set replaces."""
    newest: dict[str, tuple[str, str]] = {}
    found = []
    for stored in sets:
        for serial, numbers in _by_cartridge(stored).items():
            with load(folders[serial]).mount(read_only=True) as volume:
                entries = list(manifest.entries_on(volume, stored.id, archives=numbers))
            newest |= {entry.path: (stored.id, serial) for entry in entries}
            found.append((stored.id, serial, entries))
    return [
        (set_id, serial, [entry for entry in entries if _is_live(entry, newest, (set_id, serial))])
        for set_id, serial, entries in found
    ]


def _is_live(entry: Entry, newest: dict[str, tuple[str, str]], here: tuple[str, str]) -> bool:
    return entry.type is not FileType.DELETED and newest[entry.path] == here


def _numbers_at_its_end(
    stored: BackupSet, folders: dict[str, Path], load: Callable[[Path], Drive]
) -> list[int] | None:
    """The archives of a set as the tape that it ends on has them; None: no tape says that it is complete."""
    name = f"sets/{stored.id}/complete.json"
    for folder in folders.values():
        if name in cartridges.sealed(folder):
            with load(folder).mount(read_only=True) as volume:
                return [archive.number for archive in manifest.read_manifest(volume, stored.id).archives]
    return None


def _by_cartridge(stored: BackupSet) -> dict[str, list[int]]:
    """The archives on each cartridge of a set, in the order in which they were written."""
    found: dict[str, list[int]] = {}
    for archive in stored.archives:
        found.setdefault(str(archive.cartridge.medium_serial), []).append(archive.number)
    return found


def spans(stored: BackupSet) -> bool:
    """Whether a set lies on more than one cartridge."""
    return len(_by_cartridge(stored)) > 1


def active_twice(session: Any) -> list[str]:
    """A schedule has one active run, a drive one that is running."""
    return [f"two active runs: {name}" for name in session.scalars(_TWICE_ACTIVE)]


def empty_successes(session: Any) -> list[str]:
    """A backup is a success only with a complete set."""
    return [f"run {number} succeeded without a complete set" for number in session.scalars(_EMPTY_SUCCESS)]


def folders_below(path: Path) -> dict[str, Path]:
    """The folder of each cartridge in the drives below a path, by the cartridge's own serial."""
    return {cartridges.medium_serial(folder): folder for folder in path.glob("*/cartridges/*")}
