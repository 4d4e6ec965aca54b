"""``run_backup``: checks the volume itself, writes the set, seals, catalogues. It never formats."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from backup.request import SetSummary
from backup.source import xattrs
from backup.write import write_set
from db import events
from db.models import BackupSet, ChainRun, TapeCartridge, now
from db.runs import lookup, times
from db.sets import catalog, lineage
from db.states import RecordState, Step
from db.tapes import (
    cartridges,
    drives,
    mount_backoff,
    permits,
)
from policy import units
from policy.errors import TapelineError
from policy.message import M
from policy.tapes import verdict
from policy.tapes.medium import MediumReport
from tape.drive import Medium, Volume
from tape.errors import DriveError, TapeChanged, TapeFull
from tasks.drive import condition, lost
from tasks.drive.fill import note_fill
from tasks.drive.mounting import mounted
from tasks.drive.tape_rules import (
    another_tape,
    begun_on,
    local_now,
    policy_of,
    refusal_of_all,
    wrong_tape,
)
from tasks.step import Done, NextPart, step
from tasks.steps.create_record import settle_type
from tasks.work import SourcesDoubted, Work, WrongTape
from tasks.writing import commands, dumps, guard, pace, snapshots
from tasks.writing.journal import CatalogueJournal
from tasks.writing.set_request import spool_of, with_dump, with_known_files
from tasks.writing.sources import for_step
from tasks.writing.target import (
    ParentGone,
    SetTarget,
    parent_gone,
    parent_is_whole,
    rows_of,
    target_of,
)


@step(Step.RUN_BACKUP)
def run_backup(work: Work) -> Done | NextPart:
    """Continues after the last sealed archive if it was interrupted, and on the next tape when this one is
    full.

    Raises Ended, WrongTape, ParentGone, SetGone, SourcesDoubted, TooLarge, TapeChanged, DriveError,
    CommandUnusable, CommandFailed, CommandBusy, DumpBroken, DumpTooLong, SnapshotUnusable, SnapshotFailed,
    SnapshotLost.
    """
    if work.db(commands.is_ending):
        return _ended(work)
    work.check_window()
    drive = work.drive()
    medium = drive.look()
    work.db(lambda session, run: drives.looked(session, run.drive, medium.to_json()))
    refused = work.db(lambda session, run: _refusal(session, run, medium))
    if isinstance(refused, NextPart):
        return refused
    if refused is not None:
        raise refused
    work.writes_on = work.db(lambda session, _run: _known(session, medium))
    commands.begin(work)
    try:
        target, summary, free, capacity = _mount_and_write(work, medium)
    except TapeFull as error:
        condition.note(work, drive)
        return _next_tape(work, error)
    except DriveError:
        condition.note(work, drive)
        raise
    work.db(lambda session, run: _complete(session, run, target, summary))
    work.db(lambda session, run: note_fill(session, run, target.cartridge_id, capacity, free))
    condition.note(work, drive)
    commands.end(work)
    return Done(_result(target, summary))


def _ended(work: Work) -> Done:
    """Its worker died after the set was complete, in the commands that follow it."""
    commands.end(work)
    return Done(work.db(lambda session, run: _result_of(rows_of(session, run)[1])))


def _known(session: Session, medium: Medium) -> int | None:
    cartridge = cartridges.recognise(session, medium.to_json())
    return cartridge.id if cartridge else None


def _mount_and_write(work: Work, medium: Medium) -> tuple[SetTarget, SetSummary, int, int | None]:
    """The set's summary, and how many bytes are free, and fit in total, on the volume after it.

    Nothing of it is in the catalogue before the volume is mounted: a tape that cannot be mounted has none of
    our sets.
    """
    with mounted(work) as volume, ExitStack() as stack:
        refuse_another(medium, volume.medium)
        _see_that_all_is_there(work, volume, medium)
        target = work.db(lambda session, run: target_of(session, run, medium))
        work.writes_on = target.cartridge_id
        reading = stack.enter_context(snapshots.Opened(work, commands.environment(work)))
        request = with_dump(work, with_known_files(work, target.request))
        request = replace(
            pace.fed(work, request, target.limit),
            before_first_byte=guard.judge(work, target.enter),
            dumps=dumps.of(work, guard.judge_dump(work)),
            elsewhere=reading.rules,
            still_whole=reading.check_whole,
        )
        try:
            summary = write_set(
                volume, request, _journal(work, target, reading), spool_of(work), for_step(work)
            )
        except SourcesDoubted:
            if not work.db(lambda session, run: rows_of(session, run)[1] is not None):
                # After an acceptance it continues as another set.
                shutil.rmtree(spool_of(work) / target.set_id, ignore_errors=True)
            raise
        return target, summary, volume.free(), volume.medium.capacity


def _see_that_all_is_there(work: Work, volume: Volume, medium: Medium) -> None:
    """Check that the tape has the sets that this one follows. Missing ones are reported, and the backup
    follows another set, or becomes a full one. Raises ParentGone, SetGone."""
    while True:
        own, expected = work.db(lambda session, run: _expected(session, run, medium))
        missing = lost.missing_on(volume, expected, own)
        if missing is None:
            return
        refused = work.db(partial(_without, medium=medium, missing=missing))
        if refused is not None:
            raise refused


def _expected(session: Session, run: ChainRun, medium: Medium) -> tuple[str | None, lost.Expected]:
    """The set of this run, and what should be on the tape of it and of the sets that it follows."""
    record, stored = rows_of(session, run)
    cartridge = cartridges.recognise(session, medium.to_json())
    sets = lineage.chain(session, record.parent_id) if record.parent_id else []
    if stored is not None and stored.archives:
        sets.append(stored)
    return run.set_id, lineage.expected_on(session, sets, cartridge) if cartridge else {}


def _without(
    session: Session, run: ChainRun, medium: Medium, missing: lost.MissingParts
) -> TapelineError | None:
    """Record what is gone; why the run cannot continue without it, or None: its parent is chosen again."""
    cartridge = cartridges.recognise(session, medium.to_json())
    assert cartridge is not None, "nothing is expected on a tape that nobody knows"
    lost.mark(session, run, cartridge, missing)
    return lost.set_gone(session, run) or _refused_parent(session, run)


def refuse_another(judged: Medium, mounted: Medium) -> None:
    """The drive is not locked between the inspection and the mount, and the database may have been waited
    for."""
    if not judged.is_same_as(mounted):
        raise TapeChanged(
            M(
                "The tape was changed just before it was mounted: {found} is in the drive now.",
                found=mounted.label or mounted.state.value,
            ),
            M("Nothing was written on it. Put the right tape in, then retry the run."),
        )


class TooLarge(TapelineError):
    """A tape that was formatted for it had no space for the first of its files."""


def _journal(work: Work, target: SetTarget, reading: snapshots.Opened) -> CatalogueJournal:
    return CatalogueJournal(
        work, target.set_id, target.cartridge_id, target.generation, watch=reading.check_now_and_then
    )


def _next_tape(work: Work, error: TapeFull) -> NextPart:
    """The data on the tape is sealed. The run continues with another one, under its own permit."""

    def close(session: Session, run: ChainRun) -> dict[str, Any] | None:
        assert work.writes_on is not None
        cartridges.filled(session, work.writes_on)
        stored = catalog.get(session, run.set_id or "")
        session.refresh(stored, ["archives"])
        here = [archive for archive in stored.archives if archive.cartridge_id == work.writes_on]
        if not here and permits.used(session, run.id, run.part) is not None:
            return None
        files, size = sum(each.files for each in here), sum(each.content_bytes for each in here)
        return {"set_id": stored.id, "files": files, "bytes": size}

    done = work.db(close)
    if done is None:
        raise TooLarge(
            M("A new tape was full before one archive was on it: {error}", error=error.message.to_json()),
            M("Use larger tapes, smaller archives (archive_size), or leave the file out."),
        ) from error
    return NextPart(error.message, done)


def _refusal(session: Session, run: ChainRun, medium: Medium) -> NextPart | TapelineError | None:
    """Why nothing is written to this tape, or None."""
    lost.note_volume(session, run, medium.to_json(), Step.RUN_BACKUP)
    gone = lost.set_gone(session, run)
    if gone is not None:
        return gone
    _, stored = rows_of(session, run)
    if not _may_write(session, run, medium, stored):
        return not_to_write(session, run, medium.to_json())
    return _refused_parent(session, run)


def _refused_parent(session: Session, run: ChainRun) -> ParentGone | None:
    """For a set that was begun: its parent is no longer whole. One that was not begun then follows another
    set, or is a full one."""
    record, stored = rows_of(session, run)
    if parent_is_whole(session, record):
        return None
    if stored is not None:
        return parent_gone(record)
    settle_type(session, run, record, step=Step.RUN_BACKUP)
    return None


def not_to_write(session: Session, run: ChainRun, medium: MediumReport) -> NextPart | WrongTape:
    """The tape is a wrong one, or its format failed: that is what an operator needs to know. After such a
    format another tape gets its own part, and its own permit."""
    wrong = refusal_of_all(session, run, medium)
    remedy = M("With the right tape in the drive: tapeline runs retry {run}", run=run.id)
    permit = permits.used(session, run.id, run.part)
    if permit is not None and permits.has_failed(permit):
        if wrong is None:
            return NextPart(
                M("The format of part {part} failed; the tape in the drive is another one.", part=permit.part)
            )
        if permits.is_spent_on(run, permit, medium):
            mount_backoff.failed(session, run)
            remedy = another_tape(run)
    return WrongTape(wrong or wrong_tape(session, run, cartridges.tape_facts(session, medium)), remedy)


def _may_write(session: Session, run: ChainRun, medium: Medium, stored: BackupSet | None) -> bool:
    """Only on the volume that this run formatted, began its set on, or may append to; never on a guess."""
    facts = cartridges.tape_facts(session, medium.to_json())
    is_own = _is_own(session, run, medium, stored)
    return verdict.may_write(facts, policy_of(run), local_now(run), is_own=is_own)


def _is_own(session: Session, run: ChainRun, medium: Medium, stored: BackupSet | None) -> bool | None:
    """Whether it is the volume that this run has begun its set on, or has formatted; None: it has none."""
    begun = begun_on(session, run)
    if stored is not None and begun is not None:
        return _is_volume(begun, medium) and begun.generation == stored.archives[-1].generation
    return is_formatted_for(session, run, medium)


def is_formatted_for(session: Session, run: ChainRun, medium: Medium) -> bool | None:
    """Whether it is the volume that this part of a run has formatted; None: it has formatted none."""
    permit = permits.used(session, run.id, run.part)
    if permit and permit.outcome and permit.outcome["ok"]:
        after = permit.outcome["after"]
        return bool((after["label"], after["volume_uuid"]) == (medium.label, medium.volume_uuid))
    return None


def _is_volume(cartridge: TapeCartridge, medium: Medium) -> bool:
    if medium.volume_uuid and cartridge.volume_uuid:
        return medium.volume_uuid == cartridge.volume_uuid
    return medium.label == cartridge.label


def _complete(session: Session, run: ChainRun, target: SetTarget, summary: SetSummary) -> None:
    """Sealed before this; now the catalogue records it, and then the run succeeds. Raises ParentGone if its
    parent is gone, or is being formatted, now: the set could not be restored."""
    record = lookup.record_made(session, run)
    if not parent_is_whole(session, record):
        raise parent_gone(record)
    catalog.complete(
        session,
        target.set_id,
        finished_at=summary.finished_at,
        warnings=summary.warnings,
        retention_days=target.retention_days,
    )
    record.state = RecordState.COMPLETED
    record.finished_at = now()
    worked = times.worked_seconds(run) or 0.0
    seconds = max(min(_elapsed(record.started_at, record.finished_at), worked), 0.001)
    run.progress = {**(run.progress or {}), "seconds": seconds, "phases": asdict(summary.seconds)}
    pace.tell(session, run, summary)
    events.record(
        session,
        run,
        M(
            "Set {set} is complete: {files} files, {size} in {archives} archives, {warnings} warnings.",
            set=target.set_id,
            files=summary.files,
            size=units.size(summary.size),
            archives=len(summary.archives),
            warnings=summary.warnings,
        )
        if target.request.parent is None
        else M(
            "Set {set} is complete: {files} files changed, {size}, {deleted} deleted; {warnings} warnings.",
            set=target.set_id,
            files=summary.files,
            size=units.size(summary.size),
            deleted=summary.deleted,
            warnings=summary.warnings,
        ),
        step=Step.RUN_BACKUP,
    )
    if (left_out := xattrs.left_out(summary.files)) is not None:
        events.record(session, run, left_out, step=Step.RUN_BACKUP)


def _elapsed(started: datetime | None, finished: datetime) -> float:
    return (finished - started).total_seconds() if started else 0.0


def _result(target: SetTarget, summary: SetSummary) -> dict[str, object]:
    return {
        "set_id": target.set_id,
        "files": summary.files,
        "deleted": summary.deleted,
        "bytes": summary.size,
        "archives": len(summary.archives),
        "warnings": summary.warnings,
        "summary": f"{summary.files} files, {units.size(summary.size)}",
    }


def _result_of(stored: BackupSet | None) -> dict[str, object]:
    """The same, from the catalogue."""
    assert stored is not None, "a complete set is in the catalogue"
    return {
        "set_id": stored.id,
        "files": stored.files,
        "deleted": stored.deleted,
        "bytes": stored.bytes,
        "archives": len(stored.archives),
        "warnings": stored.warnings,
        "summary": f"{stored.files} files, {units.size(stored.bytes)}",
    }
