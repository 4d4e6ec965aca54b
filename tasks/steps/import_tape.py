"""``import_tape``: rebuilds the catalogue of the tape in the drive, from the tape only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy.orm import Session

from backup.entry import shown
from backup.format import index, manifest
from backup.format.age import Identities, identities
from backup.format.documents import folder_of
from backup.format.manifest import Manifest
from backup.format.sealed import numbers
from backup.records import ArchiveRecord
from db import events
from db.models import ChainRun, TapeCartridge
from db.sets import imports
from db.sets.imports import ImportedSet
from db.states import BackupType, Step
from db.tapes import cartridges
from policy.errors import TapelineError
from policy.message import M, Message
from tape.drive import Volume
from tasks.drive import lost
from tasks.drive.mounting import mounted
from tasks.step import Done, step
from tasks.work import Work
from tasks.writing.journal import Meter, row_of, rows


class ImportIncomplete(TapelineError):
    """Some sets of the tape could not be read; all others are in the catalogue."""


@step(Step.IMPORT_TAPE)
def import_tape(work: Work) -> Done:
    """Done again, it adds what is missing; sets in the catalogue that the tape no longer has become
    destroyed.

    Raises ImportIncomplete, NotAllowed, DriveError.
    """
    with mounted(work, read_only=True) as volume:
        on_it = [each.set_id for each in manifest.sets_on(volume)]
        cartridge = work.db(lambda session, run: _cartridge(session, run, volume, on_it))
        identity = work.db(lambda _session, run: run.options.identity)
        keys = identities(Path(identity)) if identity else []
        meter = Meter()
        meter.plan(len(on_it), 0)
        unread = []
        for done, set_id in enumerate(on_it):
            work.check()
            if not _import_set(ImportedTape(work, volume, cartridge, keys), set_id):
                unread.append(set_id)
            shown_now = meter.update(done + 1, 0)
            if shown_now:
                work.show_progress(shown_now, f"{done + 1} of {len(on_it)} sets")
        free, capacity = volume.free(), volume.medium.capacity
    work.db(lambda session, _run: cartridges.used(session, cartridge, capacity, free))
    if unread:
        raise ImportIncomplete(
            M(
                "{count} sets of the tape could not be read whole: {sets}.",
                count=len(unread),
                sets=", ".join(unread),
            ),
            M("'tapeline runs show {run}' says why. All others are in the catalogue.", run=work.held.run_id),
        )
    return Done({"sets": len(on_it), "summary": f"{len(on_it)} sets"})


def _cartridge(session: Session, run: ChainRun, volume: Volume, on_it: list[str]) -> int:
    """The row of the tape in the drive, updated from what it shows. Raises NotAllowed."""
    medium = volume.medium.to_json()
    imports.check_label(session, medium, on_it)
    lost.note_volume(session, run, medium, Step.IMPORT_TAPE)
    row, _before = cartridges.update_label(session, original=volume.medium.label, medium=medium)
    gone = imports.destroy_missing(session, row, on_it)
    if gone:
        lost.report(session, run, row.tape_id, gone, Step.IMPORT_TAPE)
    return row.id


@dataclass(frozen=True, slots=True)
class ImportedTape:
    """The tape that is imported, and who imports it."""

    work: Work
    volume: Volume
    cartridge: int
    keys: Identities


def _import_set(source: ImportedTape, set_id: str) -> bool:
    """Whether all of a set on the tape could be read; unreadable parts are reported."""
    work, volume = source.work, source.volume
    try:
        with manifest.naming_keys(volume, set_id):
            on_tape = manifest.read_manifest(volume, set_id, source.keys)
        work.db(lambda session, _run: _add_set(session, on_tape, source.cartridge))
    except TapelineError as error:
        work.tell(_unreadable(set_id, error), level="error")
        return False
    added, whole = 0, True
    present = numbers(volume, set_id)
    for record in on_tape.archives:
        if record.number in present:
            outcome = _import_archive(source, set_id, record)
            added += outcome is True
            whole = whole and outcome is not None
    work.db(partial(_settle, set_id=set_id, added=added))
    return whole


def _add_set(session: Session, manifest: Manifest, cartridge: int) -> None:
    stored = ImportedSet(
        id=manifest.set_id,
        type=BackupType(manifest.type),
        parent=manifest.parent,
        sources=[shown(source) for source in manifest.sources],
        started_at=manifest.started_at,
        finished_at=manifest.finished_at,
        warnings=manifest.warnings,
        encrypted=manifest.encrypted,
        about=manifest.about,
    )
    row = session.get(TapeCartridge, cartridge)
    assert row is not None
    imports.add_set(session, stored, row)


def _import_archive(source: ImportedTape, set_id: str, record: ArchiveRecord) -> bool | None:
    """Whether an archive was added; None if its index could not be read."""
    work, folder = source.work, folder_of(set_id)

    def add(session: Session) -> bool:
        row = session.get(TapeCartridge, source.cartridge)
        assert row is not None
        archive = row_of(record, set_id, row.id, row.generation)
        entries = index.Again(partial(index.on_volume, source.volume, folder, record.number, source.keys))
        return imports.add_archive(session, archive, rows(entries), deleted=record.deleted)

    try:
        # Without a lock on the run: heartbeats must continue meanwhile. If it is entered twice, it finds
        # itself.
        return work.database.attempt(add, patience=work.settings.database_patience_seconds)
    except FileNotFoundError:
        name = f"{folder}/{index.name_of(record.number)}"
        work.tell(_unreadable(set_id, index.damaged(name)), level="error")
    except TapelineError as error:
        work.tell(_unreadable(set_id, error), level="error")
    return None


def _settle(session: Session, run: ChainRun, *, set_id: str, added: int) -> None:
    stored = imports.settle(session, set_id)
    message = M(
        "Set {set}: {added} archives are new; {files} files, it is {state}.",
        set=set_id,
        added=added,
        files=stored.files,
        state=stored.state.value,
    )
    events.record(session, run, message, step=Step.IMPORT_TAPE)


def _unreadable(set_id: str, error: TapelineError) -> Message:
    return M("Set {set}: {reason}", set=set_id, reason=error.message.to_json())
