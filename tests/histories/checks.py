"""The invariants of a history: what holds after every step, and what holds when it has come to rest."""

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
from celery_app import wiring
from db.models import BackupArchive, BackupSet, ChainRun, FormatPermit, Notification, TapeCartridge
from db.states import ENDED, RunState
from notify.facts import Facts
from notify.notice import compose
from policy.tapes import CartridgeState, SetState
from tape.virtual_record import VOLUME
from tests.histories import shelf
from tests.histories.world import World

ENDINGS = {
    "SUCCEEDED": ("success", "warnings"),
    "FAILED": ("failed",),
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


def check(world: World) -> None:
    """What holds after every step. Raises AssertionError, which tells the story of the runs."""
    wrong = list(world.ledger.violations)
    with world.session() as session:
        wrong += [f"two active runs: {name}" for name in session.scalars(_TWICE_ACTIVE)]
        wrong += _not_announced_once(session)
        wrong += [
            f"run {number} succeeded without a complete set" for number in session.scalars(_EMPTY_SUCCESS)
        ]
        wrong += _claims(session, _folders(world))
    _stop_if(world, wrong)


def check_end(world: World) -> None:
    """What holds when the world is mended and time has moved on."""
    wrong = []
    with world.session() as session:
        wrong += _not_sent_once(session, world)
        folders = _folders(world)
        for stored in session.scalars(select(BackupSet).where(BackupSet.state == SetState.COMPLETE)):
            wrong += _not_restored(session, world, folders, stored)
        active = select(ChainRun.id).where(ChainRun.state.not_in(ENDED))
        wrong += [f"run {number} has not ended" for number in session.scalars(active)]
    _stop_if(world, wrong)


def _stop_if(world: World, wrong: list[str]) -> None:
    if wrong:
        raise AssertionError("\n".join([*wrong, "", *story(world)]))


def story(world: World) -> list[str]:
    """What the runs tell of themselves, and what lies in each drive."""
    lines = text(
        "SELECT 'run ' || run_id || '.' || part || ' ' || coalesce(step, '-') || ': ' || message::text"
        " FROM run_events ORDER BY id"
    )
    with world.session() as session:
        return list(session.scalars(lines))


def _not_announced_once(session: Any) -> list[str]:
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


def _folders(world: World) -> dict[str, Path]:
    """The folder of each cartridge, by its own serial."""
    found = {}
    for folder in world.parts.folder.glob("drives/*/cartridges/*"):
        found[shelf.medium_serial(folder)] = folder
    return found


def _claims(session: Any, folders: dict[str, Path]) -> list[str]:
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
            row = session.get_one(TapeCartridge, stored.cartridge_id)
            if f"sets/{stored.id}/complete.json" not in shelf.sealed(folders[row.medium_serial]):
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
    if shelf.sealed(folder).get(name) != archive.bytes:
        return False
    status = (folder / VOLUME / name).stat()
    return _sha256(folder / VOLUME / name, status.st_mtime_ns, status.st_ino) == archive.sha256


@cache
def _sha256(path: Path, _modified: int, _inode: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _not_sent_once(session: Any, world: World) -> list[str]:
    """Each notification went out once; twice only if its sender was struck before it had noted that."""
    due: Counter[str] = Counter()
    for notification in session.scalars(select(Notification)):
        due[compose(Facts.from_json(notification.facts), wiring.words()).title] += 1
    sent, doubtful = world.parts.mailbox.sent, world.parts.mailbox.doubtful
    return [
        f"'{title}' was sent {sent[title]} times instead of {due[title]}"
        for title in due | sent
        if not due[title] <= sent[title] <= due[title] + doubtful[title]
    ]


def _not_restored(session: Any, world: World, folders: dict[str, Path], stored: BackupSet) -> list[str]:
    """A kept set comes back from the tape alone, equal in every byte."""
    if not stored.archives:
        return []
    row = session.get_one(TapeCartridge, stored.cartridge_id)
    folder = folders[row.medium_serial]
    drive = world.plain_drive(folder)
    with drive.mount(read_only=True) as volume:
        if not documents.is_complete(volume, stored.id):
            return [f"set {stored.id} is not complete on its tape"]
        target = world.parts.folder / "checked"
        try:
            report = restore(volume, stored.id, manifest.entries_on(volume, stored.id), target)
            different = list(report.failures)
            for source in stored.sources:
                different += compare_trees(Path(source), target / Path(source).relative_to("/"))
        finally:
            shutil.rmtree(target, ignore_errors=True)
    world.counts["restored"] += 1
    return [f"set {stored.id} does not restore: {different}"] if different else []
