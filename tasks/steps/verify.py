"""``verify``: reads a set back from the tape in the drive, and compares it with its hashes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from backup.errors import Ended
from backup.records import ArchiveRecord
from backup.verify import Verification, VerifyReport
from db import events
from db.models import ChainRun, RunNotes, now
from db.sets import catalog, copying, lineage
from db.sets.places import Places
from db.states import Step
from db.tapes import cartridges
from policy import units
from policy.errors import TapelineError
from policy.message import M
from policy.tapes.facts import SetState
from tape.drive import Volume
from tasks.drive.mounting import mounted
from tasks.drive.on_tape import see_that_it_has
from tasks.step import Done, step
from tasks.work import Work, WrongTape
from tasks.writing.journal import Meter

MAX_TOLD = 100
"""How many damaged files the story lists."""


class SetDamaged(TapelineError):
    """The data on the tape differs from what was written."""


@dataclass(frozen=True, slots=True)
class WantedPart:
    """The part of the set on the tape in the drive."""

    set_id: str
    percent: int
    archives: list[ArchiveRecord]
    has_manifest: bool


@step(Step.VERIFY)
def verify(work: Work) -> Done:
    """One cartridge of the set; then the next. Raises SetDamaged, WrongTape, DriveError."""
    with mounted(work, read_only=True) as volume:
        wanted = work.db(lambda session, run: _wanted(session, run, volume))
        if wanted.archives:
            see_that_it_has(work, volume, [wanted.set_id])
        report = _verify(work, volume, wanted)
    left, damaged = work.db(lambda session, run: _record(session, run, volume, report))
    if left:
        raise WrongTape(
            M("The rest of the set is on other tapes: {tapes}.", tapes=", ".join(left)),
            M("Insert {tapes}, then: tapeline runs retry {run}", tapes=left[0], run=work.held.run_id),
        )
    if damaged:
        raise SetDamaged(
            M("Set {set}: {count} files are damaged on the tape.", set=wanted.set_id, count=damaged),
            M("'tapeline runs show {run}' names them. Back up again on another tape.", run=work.held.run_id),
        )
    return Done(
        {
            "files": report.files,
            "bytes": report.read,
            "damaged": damaged,
            "summary": f"{report.files} files are as they were written",
        }
    )


def _wanted(session: Session, run: ChainRun, volume: Volume) -> WantedPart:
    stored = catalog.get(session, run.set_id or "")
    cartridge = cartridges.recognise(session, volume.medium.to_json())
    places = Places(session, [stored])
    here = [archive for archive in stored.archives if places.are_on(archive, cartridge)]
    last_is_here = not stored.archives or stored.archives[-1] in here
    return WantedPart(
        stored.id,
        run.options.percent,
        [ArchiveRecord.from_json(archive.record) for archive in here],
        has_manifest=stored.state is SetState.COMPLETE and last_is_here,
    )


def _verify(work: Work, volume: Volume, wanted: WantedPart) -> VerifyReport:
    meter = Meter()
    meter.plan(0, sum(archive.bytes for archive in wanted.archives) * wanted.percent // 100)
    done = 0

    def on_read(count: int) -> None:
        nonlocal done
        done += count
        shown = meter.update(-1, done)
        if shown:
            work.show_progress(shown, f"{done} bytes read back")

    def check() -> None:
        work.check()
        if work.is_ending():
            raise Ended(M("Asked to end."), M("It begins again when its worker is back."))

    verification = Verification(
        volume, wanted.set_id, percent=wanted.percent, seed=work.held.run_id, on_read=on_read, check=check
    )
    verification.documents(complete=wanted.has_manifest)
    if wanted.has_manifest:
        verification.database()
    for archive in wanted.archives:
        verification.archive(archive)
    return verification.report


def _record(session: Session, run: ChainRun, volume: Volume, report: VerifyReport) -> tuple[list[str], int]:
    """The story; the set's row when all of its cartridges are read. Returns the remaining tapes, and how much
    is damaged on all that were read."""
    events.record(
        session,
        run,
        M(
            "Read back {size}: {files} files are as they were written, {damaged} damaged.",
            size=units.size(report.read),
            files=report.files,
            damaged=len(report.damaged),
        ),
        step=Step.VERIFY,
    )
    for name, reason in report.damaged[:MAX_TOLD]:
        message = M("{path}: {reason}", path=name, reason=reason.to_json())
        events.record(session, run, message, step=Step.VERIFY, level="error")
    cartridge = cartridges.recognise(session, volume.medium.to_json())
    left = [each for each in run.notes.cartridges or () if cartridge is None or each != cartridge.id]
    damaged = run.notes.damaged + len(report.damaged)
    stored = catalog.get(session, run.set_id or "")
    if not left and copying.verified(session, stored, cartridge, damaged):
        return [], damaged
    if left:
        run.notes = RunNotes(cartridges=tuple(left), damaged=damaged, next_tape=True)
        run.wait_until = None
        return [tape.tape_id for tape in lineage.tapes(session, stored.id, only=left)], damaged
    stored.verified_at, stored.verified_percent = now(), run.options.percent
    stored.damaged = damaged
    # A retry begins again with the first tape.
    run.notes = RunNotes(cartridges=tuple(tape.id for tape in catalog.tapes(session, stored.id)))
    return [], damaged
