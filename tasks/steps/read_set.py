"""``read_set``: reads a set that is to be copied from its tapes into the spool folder of the drive's host."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from backup import copying as engine
from backup.copying import CopySpool
from backup.records import ArchiveRecord
from db import events
from db.models import ChainRun
from db.sets import copying, lineage
from db.states import Step
from db.tapes import cartridges
from policy import units
from policy.message import M
from policy.units import MIB
from tape.drive import Volume
from tasks.drive.mounting import mounted
from tasks.drive.on_tape import see_that_it_has
from tasks.step import Done, NextPart, NotNeeded, step
from tasks.work import Work, WrongTape
from tasks.writing import copy_spool

BESIDE = 64 * MIB
"""Room for indexes and documents, whose sizes only the tape shows."""


@dataclass(frozen=True, slots=True)
class SetToRead:
    """A set, and what of it is on the tape in the drive."""

    set_id: str
    records: list[ArchiveRecord]
    here: list[ArchiveRecord]
    last_is_here: bool


@step(Step.READ_SET)
def read_set(work: Work) -> Done | NotNeeded | NextPart:
    """One tape of the set; then the next. Files that are in the spool whole are not read again.

    Raises SetUnreadable, SpoolFailed, WrongTape, DriveError.
    """
    if work.db(lambda _session, run: run.notes.spooled is not None or run.notes.copied_to is not None):
        return NotNeeded(M("The set is in the spool folder already."))
    spool = CopySpool(copy_spool.of(work))
    with mounted(work, read_only=True) as volume:
        wanted = work.db(lambda session, run: _wanted(session, run, volume))
        see_that_it_has(work, volume, [wanted.set_id])
        _read(work, volume, wanted, spool)
    if not spool.has_all(wanted.records):
        raise _next_tape(work, wanted, spool)
    work.db(lambda session, run: _note(session, run, spool))
    return NextPart(
        M("Set {set} is read.", set=wanted.set_id),
        {"bytes": spool.size, "summary": f"{units.size(spool.size)} read"},
    )


def _wanted(session: Session, run: ChainRun, volume: Volume) -> SetToRead:
    plan = copying.plan(session, run.set_id or "")
    cartridge = cartridges.recognise(session, volume.medium.to_json())
    here = [archive for archive in plan.archives if plan.places.are_on(archive, cartridge)]
    return SetToRead(
        plan.stored.id,
        [ArchiveRecord.from_json(archive.record) for archive in plan.archives],
        [ArchiveRecord.from_json(archive.record) for archive in here],
        last_is_here=plan.archives[-1] in here,
    )


def _read(work: Work, volume: Volume, wanted: SetToRead, spool: CopySpool) -> None:
    missing = [record for record in wanted.here if not spool.has_archive(record)]
    total = sum(record.bytes for record in missing)
    copy_spool.check_room(copy_spool.of(work), total + BESIDE)
    tick = copy_spool.counted(work, total, "read")
    for record in missing:
        engine.read_archive(volume, wanted.set_id, record, spool, tick)
    if wanted.last_is_here:
        engine.read_documents(volume, wanted.set_id, spool, tick)


def _note(session: Session, run: ChainRun, spool: CopySpool) -> None:
    run.notes = replace(run.notes, spooled=spool.size, cartridges=None)
    events.record(
        session,
        run,
        M(
            "Set {set} is in the spool folder, and as it was written: {size}.",
            set=run.set_id,
            size=units.size(spool.size),
        ),
        step=Step.READ_SET,
    )


def _next_tape(work: Work, wanted: SetToRead, spool: CopySpool) -> WrongTape:
    """The tape in the drive is read; the rest of the set is on others."""

    def note(session: Session, run: ChainRun) -> list[str]:
        plan = copying.plan(session, wanted.set_id)
        open_ = [
            archive
            for archive in plan.archives
            if not spool.has_archive(ArchiveRecord.from_json(archive.record))
        ]
        needed = tuple({plan.places.first(archive).id: None for archive in open_ or plan.archives[-1:]})
        run.notes = replace(run.notes, cartridges=needed, next_tape=True)
        run.wait_until = None
        return [tape.tape_id for tape in lineage.tapes(session, wanted.set_id, only=needed)]

    tapes = work.db(note)
    return WrongTape(
        M("The rest of the set is on other tapes: {tapes}.", tapes=", ".join(tapes)),
        M("Insert {tapes}, then: tapeline runs retry {run}", tapes=tapes[0], run=work.held.run_id),
    )
