"""What has to be true of database and tapes at any moment. Each question answers with what is wrong."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text

from backup import documents, manifest
from backup.compare import compare_trees
from backup.restore import restore
from db.models import BackupArchive, BackupSet, ChainRun, FormatPermit, Notification, TapeCartridge
from db.states import RunState
from policy.tapes import CartridgeState, SetState
from tape.drive import Drive
from tape.virtual_record import VOLUME
from tests import cartridges

ENDINGS = {
    "SUCCEEDED": ("success", "warnings"),
    "FAILED": ("failed", "tape_error"),
    "SKIPPED": ("skipped",),
    "CANCELLED": ("cancelled",),
}
"""How the end of a run is announced."""

_TWICE_ACTIVE = text(
    "SELECT 'schedule ' || schedule_id FROM chain_runs"
    " WHERE state IN ('QUEUED', 'RUNNING', 'WAITING_FOR_TAPE')"
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


def not_on_tape(session: Any, folders: dict[str, Path]) -> list[str]:
    """Whatever the catalogue has is on the tape, of this generation, sealed, with its size and hash."""
    wrong = []
    doubtful = _doubtful(session)
    for stored in session.scalars(select(BackupSet).where(BackupSet.state != SetState.DESTROYED)):
        for archive in stored.archives:
            row = archive.cartridge
            if row.id in doubtful:
                continue
            if archive.generation != row.generation:
                wrong.append(f"set {stored.id} is not destroyed, and its cartridge is formatted since")
            elif not _is_on(folders[row.medium_serial], f"sets/{stored.id}/{archive.name}", archive):
                wrong.append(f"archive {archive.number} of set {stored.id} is not on {row.tape_id}")
        if stored.state is SetState.COMPLETE and stored.cartridge_id not in doubtful:
            # Of a set that spans cartridges it is on the last one, which may hold nothing else of it.
            name = f"sets/{stored.id}/complete.json"
            if not any(name in cartridges.sealed(folder) for folder in folders.values()):
                wrong.append(f"set {stored.id} is complete in the catalogue and not on the tape")
    return wrong


def _doubtful(session: Any) -> set[int]:
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


def not_restored(drive: Drive, stored: BackupSet, target: Path) -> list[str]:
    """A complete set comes back from the tape in the drive alone, equal in every byte and fact."""
    with drive.mount(read_only=True) as volume:
        if not documents.is_complete(volume, stored.id):
            return [f"set {stored.id} is not complete on its tape"]
        try:
            report = restore(volume, stored.id, manifest.entries_on(volume, stored.id), target)
            different = list(report.failures)
            for source in stored.sources:
                different += compare_trees(Path(source), target / Path(source).relative_to("/"))
        finally:
            shutil.rmtree(target, ignore_errors=True)
    return [f"set {stored.id} does not restore: {different}"] if different else []


def active_twice(session: Any) -> list[str]:
    """A schedule has one active run, a drive one that is running."""
    return [f"two active runs: {name}" for name in session.scalars(_TWICE_ACTIVE)]


def empty_successes(session: Any) -> list[str]:
    """A backup is a success only with a complete set."""
    return [f"run {number} succeeded without a complete set" for number in session.scalars(_EMPTY_SUCCESS)]


def folders_below(path: Path) -> dict[str, Path]:
    """The folder of each cartridge in the drives below a path, by the cartridge's own serial."""
    return {cartridges.medium_serial(folder): folder for folder in path.glob("*/cartridges/*")}
