"""Rebuilds the catalogue from tapes. Importing the same data twice changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from db.errors import NotAllowed
from db.models import BackupArchive, BackupFile, BackupSet, ChainRun, TapeCartridge, now
from db.sets import catalog, templates
from db.sets.catalog import FileRow
from db.states import BackupType, RunState
from db.tapes import cartridges, copies, kin, volumes
from policy.message import M
from policy.tapes import retention
from policy.tapes.facts import SetState
from policy.tapes.medium import MediumReport


@dataclass(frozen=True, slots=True)
class ImportedSet:
    """A set as a tape describes it."""

    id: str
    type: BackupType
    parent: str | None
    sources: list[str]
    started_at: datetime
    finished_at: datetime | None
    """None: this tape does not prove that the set is complete."""
    warnings: int | None
    encrypted: bool
    about: Mapping[str, Any]


def add_set(session: Session, on_tape: ImportedSet, cartridge: TapeCartridge) -> BackupSet:
    """The row of a set, created if it is missing. The catalogue knows more of a set that a run writes
    here."""
    stored = session.get(BackupSet, on_tape.id)
    if stored is None:
        stored = _place_for(session, on_tape.id, on_tape.type)
    if stored.state is SetState.DESTROYED:
        _found_again(stored, cartridge)
    if _is_of_a_run(session, stored):
        return stored
    stored.type, stored.sources, stored.started_at = on_tape.type, on_tape.sources, on_tape.started_at
    stored.encrypted = on_tape.encrypted
    if stored.cartridge_id is None:
        stored.cartridge_id, stored.generation = cartridge.id, cartridge.generation
    if on_tape.parent is not None:
        parent = session.get(BackupSet, on_tape.parent) or _place_for(
            session, on_tape.parent, BackupType.FULL
        )
        stored.parent_id = parent.id
    if on_tape.finished_at is not None:
        stored.finished_at, stored.warnings = on_tape.finished_at, on_tape.warnings or 0
    _tell_of(session, stored, on_tape)
    session.flush()
    return stored


def _tell_of(session: Session, stored: BackupSet, on_tape: ImportedSet) -> None:
    """Its template, and how long it is kept. Without the key of an encrypted set its tape does not show that,
    and known values stay; if the tape does not show how long, the set is kept for ever."""
    if not on_tape.about:
        return
    about = on_tape.about
    stored.period = about.get("period")
    stored.template_name = about.get("template") or stored.template_name
    # A template that was renamed meanwhile is known only by its row.
    stored.template_id = templates.named(session, stored.template_name) or stored.template_id
    is_told = {"retention_days", "keep_sets"} <= about.keys()
    days, stored.keep_sets = (about["retention_days"], about["keep_sets"]) if is_told else (None, None)
    stored.retention_until = retention.until(stored.finished_at or on_tape.started_at, days)


def _found_again(stored: BackupSet, cartridge: TapeCartridge) -> None:
    """It counted as destroyed, and is on this tape: its archives are entered where they are found."""
    stored.state, stored.destroyed_at = SetState.INCOMPLETE, None
    stored.cartridge_id, stored.generation = cartridge.id, cartridge.generation


def _is_of_a_run(session: Session, stored: BackupSet) -> bool:
    """Whether a run has finished the set, or may yet. A cancelled run never will, and a run that had
    succeeded was done with a set that is found again: then the tape's data counts, which may be newer than a
    database restored from a dump."""
    run = session.get(ChainRun, stored.run_id) if stored.run_id is not None else None
    if run is None or run.state is RunState.CANCELLED:
        return False
    return not (run.state is RunState.SUCCEEDED and stored.state is SetState.INCOMPLETE)


def _place_for(session: Session, set_id: str, kind: BackupType) -> BackupSet:
    """A row for a set that another one follows, until its own tape is imported."""
    stored = BackupSet(
        id=set_id, type=kind, state=SetState.INCOMPLETE, sources=[], started_at=datetime.fromtimestamp(0, UTC)
    )
    catalog.add_set(session, stored)
    return stored


def add_archive(
    session: Session, archive: BackupArchive, files: Iterable[FileRow], *, deleted: int = 0
) -> bool:
    """Enter an archive with its files; False, and nothing is read, if it is known or a run is writing its
    set."""
    if catalog.get(session, archive.set_id).state in {SetState.WRITING, SetState.DESTROYED}:
        return False
    known = session.get(BackupArchive, (archive.set_id, archive.number))
    if known is not None:
        _found_too(session, known, archive)
        return False
    catalog.add_archive(session, archive, files, deleted=deleted)
    return True


def _found_too(session: Session, known: BackupArchive, on_tape: BackupArchive) -> None:
    """An archive whose place was formatted over, according to the catalogue, is where it was found; of any
    other one, what was found is a copy."""
    cartridge = session.get_one(TapeCartridge, on_tape.cartridge_id)
    if known.generation < session.get_one(TapeCartridge, known.cartridge_id).generation:
        known.cartridge_id, known.generation = on_tape.cartridge_id, on_tape.generation
        session.flush()
        copies.drop_own(session, [known.set_id])
    elif (known.sha256, known.bytes) == (on_tape.sha256, on_tape.bytes):
        copies.enter(session, known, cartridge)


def check_label(session: Session, medium: MediumReport, on_tape: Collection[str]) -> None:
    """Raises NotAllowed for a tape that only its label identifies, and that has nothing that the catalogue
    expects on the tape of this label: it may be another site's."""
    known = cartridges.recognise(session, medium)
    if known is None or any(medium.get(name) for name in ("medium_serial", "volume_uuid", "barcode")):
        return
    expected = set(session.scalars(select(BackupSet.id).where(*_there(known))))
    if expected and not expected & set(on_tape):
        raise NotAllowed(
            M(
                "Tape {label} in the drive has none of the sets of tape {tape}, and this drive knows tapes by"
                " their labels only.",
                label=medium["label"],
                tape=known.tape_id,
            ),
            M("If it is another tape, give it a label of its own first: tapeline tape label NAME"),
        )


def destroy_missing(
    session: Session, cartridge: TapeCartridge, on_tape: Collection[str]
) -> Sequence[BackupSet]:
    """Sets that should be on a tape and are not become DESTROYED, unless they are on another; returns those
    sets."""
    gone = select(BackupSet.id).where(*_there(cartridge), BackupSet.id.not_in(on_tape))
    return volumes.destroy_missing(session, cartridge, session.scalars(gone).all(), now())


def _there(cartridge: TapeCartridge) -> tuple[ColumnElement[bool], ...]:
    return BackupSet.id.in_(kin.on(cartridge)), BackupSet.state != SetState.DESTROYED


def settle(session: Session, set_id: str) -> BackupSet:
    """Update the state of a set from the tapes that were imported so far.

    It is complete if a tape proves that, and its archives follow one another back to the first and are on
    tape. Archives outside this chain were written again, and do not count.
    """
    stored = catalog.get(session, set_id)
    if stored.finished_at is None or _is_of_a_run(session, stored):
        return stored
    session.refresh(stored, ["archives"])
    known = {archive.number: archive for archive in stored.archives}
    counted, number = set(), max(known, default=None)
    while number is not None and number in known:
        counted.add(number)
        number = known[number].record["follows"]
    for archive in [known[each] for each in known.keys() - counted]:
        _forget(session, stored, archive)
    is_gone = any(known[each].generation < known[each].cartridge.generation for each in counted)
    stored.state = SetState.INCOMPLETE if number is not None or is_gone else SetState.COMPLETE
    session.flush()
    return stored


def _forget(session: Session, stored: BackupSet, archive: BackupArchive) -> None:
    stored.files -= archive.files
    stored.bytes -= archive.content_bytes
    stored.deleted -= archive.record["deleted"]
    session.execute(
        delete(BackupFile).where(BackupFile.set_id == stored.id, BackupFile.archive == archive.number)
    )
    session.delete(archive)
