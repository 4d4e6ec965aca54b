"""``write_copy``: writes the set in the spool folder to another tape, seals it, and enters it as a copy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from backup.copying import CopySpool, CopyWriting
from backup.errors import SetExists, SpoolFailed
from backup.records import ArchiveRecord
from db import events
from db.models import ChainRun, TapeCartridge
from db.sets import catalog, copying
from db.states import Step
from db.tapes import cartridges, drives
from policy import units
from policy.errors import TapelineError
from policy.message import M
from policy.tapes import verdict
from tape.drive import Medium
from tape.errors import DriveError, TapeFull
from tasks.drive import condition, copy_target, lost
from tasks.drive.fill import note_fill
from tasks.drive.mounting import mounted
from tasks.drive.tape_rules import expected, local_now, policy_of
from tasks.step import Done, NextPart, step
from tasks.steps.run_backup import is_formatted_for, not_to_write, refuse_another
from tasks.work import Cancelled, Work, WrongTape
from tasks.writing import copy_spool


@dataclass(frozen=True, slots=True)
class SetToWrite:
    """The set of a copy, as its run has noted it."""

    set_id: str
    records: list[ArchiveRecord]
    is_read: bool
    copied_to: int | None


@step(Step.WRITE_COPY)
def write_copy(work: Work) -> Done | NextPart:
    """Entered again, it continues after the last archive that is whole on the tape. Nothing of it is in the
    catalogue before all of it is sealed.

    Raises WrongTape, TapeChanged, SetExists, SpoolFailed, DriveError.
    """
    wanted = work.db(_wanted)
    if wanted.copied_to is not None:
        return _done(work, wanted)
    spool = CopySpool(copy_spool.of(work))
    if not (wanted.is_read and spool.has_all(wanted.records)):
        work.db(_read_again)
        return NextPart(
            M("Set {set} is not in the spool folder any more: it is read again.", set=wanted.set_id)
        )
    drive = work.drive()
    medium = drive.look()
    work.db(lambda session, run: drives.looked(session, run.drive, medium.to_json()))
    refused = work.db(lambda session, run: _refusal(session, run, medium))
    if isinstance(refused, NextPart):
        return refused
    if refused is not None:
        raise refused
    work.writes_on = work.db(lambda session, _run: _cartridge(session, medium).id)
    try:
        free, capacity = _write(work, medium, wanted, spool)
    except TapeFull as error:
        condition.note(work, drive)
        return _full(work, error)
    except DriveError:
        condition.note(work, drive)
        raise
    work.db(lambda session, run: _enter(session, run, medium, spool.size))
    work.db(
        lambda session, run: note_fill(
            session, run, _cartridge(session, medium).id, capacity, free, step=Step.WRITE_COPY
        )
    )
    condition.note(work, drive)
    return _done(work, work.db(_wanted))


def _wanted(session: Session, run: ChainRun) -> SetToWrite:
    stored = catalog.get(session, run.set_id or "")
    records = [ArchiveRecord.from_json(archive.record) for archive in stored.archives]
    return SetToWrite(stored.id, records, run.notes.spooled is not None, run.notes.copied_to)


def _read_again(session: Session, run: ChainRun) -> None:
    plan = copying.plan(session, run.set_id or "")
    needed = tuple(tape.id for tape in plan.tapes)
    run.notes = replace(run.notes, spooled=None, cartridges=needed, next_tape=True)


def _cartridge(session: Session, medium: Medium) -> TapeCartridge:
    known = cartridges.recognise(session, medium.to_json())
    return known or cartridges.update_label(session, original=medium.label, medium=medium.to_json())[0]


def _refusal(session: Session, run: ChainRun, medium: Medium) -> NextPart | TapelineError | None:
    """Why nothing is written to this tape, or None."""
    report = medium.to_json()
    lost.note_volume(session, run, report, Step.WRITE_COPY)
    tape = cartridges.tape_facts(session, report)
    objection = copy_target.objection(session, run, tape, report)
    if objection is not None:
        return WrongTape(
            objection.told(expected(session, run)),
            M("With the right tape in the drive: tapeline runs retry {run}", run=run.id),
        )
    is_own = is_formatted_for(session, run, medium)
    if verdict.may_write(tape, policy_of(run), local_now(run), is_own=is_own):
        return None
    return not_to_write(session, run, report)


def _write(work: Work, medium: Medium, wanted: SetToWrite, spool: CopySpool) -> tuple[int, int | None]:
    """Returns how many bytes are free, and fit in total, after it. A copy that fails takes back what it has
    written."""
    tick = copy_spool.counted(work, spool.size, "written")
    with mounted(work) as volume:
        refuse_another(medium, volume.medium)
        writing = CopyWriting(volume, wanted.set_id, spool, tick)
        try:
            writing.run()
        except (TapeFull, Cancelled, SpoolFailed, SetExists):
            writing.withdraw()
            raise
        return volume.free(), volume.medium.capacity


def _enter(session: Session, run: ChainRun, medium: Medium, size: int) -> None:
    """Sealed before this; now the catalogue has it."""
    cartridge = _cartridge(session, medium)
    stored = copying.enter(session, run.set_id or "", cartridge)
    run.notes = replace(run.notes, spooled=None, copied_to=cartridge.id)
    events.record(
        session,
        run,
        M(
            "Set {set} is on tape {tape} too: {count} archives, {size}.",
            set=stored.id,
            tape=cartridge.tape_id,
            count=len(stored.archives),
            size=units.size(size),
        ),
        step=Step.WRITE_COPY,
    )


def _full(work: Work, error: TapeFull) -> NextPart:
    """Nothing more fits on this tape; the whole copy goes on another one."""

    def close(session: Session, _run: ChainRun) -> None:
        assert work.writes_on is not None
        cartridges.filled(session, work.writes_on)

    work.db(close)
    return NextPart(M("A copy does not go on on another tape: {error}", error=error.message.to_json()))


def _done(work: Work, wanted: SetToWrite) -> Done:
    is_gone = copy_spool.remove(work.held.run_id)

    def tell(session: Session, run: ChainRun) -> dict[str, Any]:
        run.notes = replace(run.notes, in_spool=not is_gone)
        tape = session.get_one(TapeCartridge, wanted.copied_to)
        return {
            "set_id": wanted.set_id,
            "tape": tape.tape_id,
            "archives": len(wanted.records),
            "bytes": sum(record.bytes for record in wanted.records),
            "summary": f"{wanted.set_id} on {tape.tape_id}",
        }

    return Done(work.db(tell))
