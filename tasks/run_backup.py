"""``run_backup``: checks the volume by itself, writes the set, seals, catalogues. It never formats."""

from __future__ import annotations

import secrets
import socket
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version

from sqlalchemy import select
from sqlalchemy.orm import Session

from backup.request import SetRequest, SetSummary
from backup.write import write_set
from db import cartridges, catalog, drives, events, permits
from db.models import BackupSet, BackupTask, ChainRun, TapeCartridge, now
from db.states import RecordState, Step
from policy import retention, units
from policy.message import M
from policy.tapes import CartridgeState, SetState
from tape.drive import Drive, Medium, Volume
from tape.errors import DriveError, TapeFull
from tasks import condition
from tasks.journal import Journal, resume_point
from tasks.step import Done, step
from tasks.tape_rules import local_now, policy_of, wrong_tape
from tasks.work import Work, WrongTape


@dataclass(frozen=True, slots=True)
class Target:
    """Where the set goes, and what is asked of it."""

    set_id: str
    cartridge_id: int
    generation: int
    retention_days: int | None
    request: SetRequest


@step(Step.RUN_BACKUP)
def run_backup(work: Work) -> Done:
    """Goes on after the last sealed archive if it was cut off. Raises WrongTape, DriveError."""
    drive = work.drive()
    medium = drive.look()
    work.db(lambda session, run: drives.looked(session, run.drive, medium.to_json()))
    target = work.db(lambda session, run: _target(session, run, medium))
    if isinstance(target, WrongTape):
        raise target
    try:
        summary, free, capacity = _mount_and_write(work, drive, target)
    except DriveError:
        condition.note(work, drive)
        raise
    work.db(lambda session, run: _complete(session, run, target, summary))
    work.db(lambda session, _run: cartridges.used(session, target.cartridge_id, capacity, free))
    condition.note(work, drive)
    return Done(_result(target, summary))


def _mount_and_write(work: Work, drive: Drive, target: Target) -> tuple[SetSummary, int, int | None]:
    """The set's summary, and how many bytes are free, and fit in all, on the volume after it."""
    with drive.mount() as volume:
        for note in volume.notes:
            work.tell(note, level="warning")
        summary = _write(work, volume, target)
        return summary, volume.free(), volume.medium.capacity


def _write(work: Work, volume: Volume, target: Target) -> SetSummary:
    journal = Journal(work, target.set_id, target.cartridge_id, target.generation)
    spool = work.settings.state_dir / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    try:
        return write_set(volume, target.request, journal, spool)
    except TapeFull:
        work.db(lambda session, _run: cartridges.mark(session, target.cartridge_id, CartridgeState.FULL))
        raise


def _target(session: Session, run: ChainRun, medium: Medium) -> Target | WrongTape:
    record = session.scalars(select(BackupTask).where(BackupTask.run_id == run.id)).one()
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    if not _may_write(session, run, medium, stored):
        tape = cartridges.tape_facts(session, medium.to_json())
        return WrongTape(wrong_tape(run, tape), M("Then: tapeline runs retry {run}", run=run.id))
    cartridge = cartridges.recognise(session, medium.to_json())
    if cartridge is None:
        cartridge, _ = cartridges.update_label(session, original=medium.label, medium=medium.to_json())
    stored = stored or _new_set(session, run, record, cartridge)
    if not stored.archives:
        stored.cartridge_id, stored.generation = cartridge.id, cartridge.generation
    stored.state = SetState.WRITING
    record.state = RecordState.RUNNING
    record.started_at = record.started_at or now()
    record.error = None
    return Target(
        stored.id,
        cartridge.id,
        cartridge.generation,
        record.retention_days,
        _request(session, run, record, stored, medium),
    )


def _may_write(session: Session, run: ChainRun, medium: Medium, stored: BackupSet | None) -> bool:
    """Only on the volume that this run formatted, began its set on, or may append to; never on a guess."""
    if medium.state.value != "formatted" or medium.write_protected:
        return False
    facts = cartridges.tape_facts(session, medium.to_json())
    if facts.known and facts.known.state not in {CartridgeState.ACTIVE, CartridgeState.FULL}:
        return False
    if stored is not None and stored.archives:
        cartridge = stored.archives[-1].cartridge
        return _is_volume(cartridge, medium) and cartridge.generation == stored.archives[-1].generation
    permit = permits.used(session, run.id, run.part)
    if permit and permit.outcome and permit.outcome["ok"]:
        after = permit.outcome["after"]
        return bool((after["label"], after["volume_uuid"]) == (medium.label, medium.volume_uuid))
    return policy_of(run).may_append(facts, local_now(run))


def _is_volume(cartridge: TapeCartridge, medium: Medium) -> bool:
    if medium.volume_uuid and cartridge.volume_uuid:
        return medium.volume_uuid == cartridge.volume_uuid
    return medium.label == cartridge.label


def _new_set(session: Session, run: ChainRun, record: BackupTask, cartridge: TapeCartridge) -> BackupSet:
    started = now()
    stored = BackupSet(
        id=f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
        run_id=run.id,
        template_id=record.template_id,
        cartridge_id=cartridge.id,
        generation=cartridge.generation,
        type=record.type,
        state=SetState.WRITING,
        period=run.period,
        sources=record.sources,
        started_at=started,
        # Set again when it is complete; an unfinished set is kept as long.
        retention_until=retention.until(started, record.retention_days),
    )
    catalog.add_set(session, stored)
    run.set_id = stored.id
    events.record(
        session,
        run,
        M("Writing set {set} on tape {tape}.", set=stored.id, tape=cartridge.tape_id),
        step=Step.RUN_BACKUP,
    )
    return stored


def _request(
    session: Session, run: ChainRun, record: BackupTask, stored: BackupSet, medium: Medium
) -> SetRequest:
    return SetRequest(
        set_id=stored.id,
        type=record.type.value,
        sources=tuple(record.sources),
        compression="zstd" if record.compression == "zstd" else "none",
        level=record.compression_level,
        archive_bytes=record.archive_bytes,
        label=medium.label or "",
        started_at=stored.started_at,
        about={
            "run": run.id,
            "schedule": run.schedule.name if run.schedule else None,
            "template": record.name,
            "period": run.period,
            "host": socket.gethostname(),
            "tapeline": version("tapeline"),
            "retention_days": record.retention_days,
        },
        resume=resume_point(session, stored),
    )


def _complete(session: Session, run: ChainRun, target: Target, summary: SetSummary) -> None:
    """Sealed before this; the catalogue says so now, and the run's success comes after."""
    catalog.complete(session, target.set_id, warnings=summary.warnings, retention_days=target.retention_days)
    record = session.scalars(select(BackupTask).where(BackupTask.run_id == run.id)).one()
    record.state = RecordState.COMPLETED
    record.finished_at = now()
    seconds = max((_elapsed(record.started_at, record.finished_at)), 0.001)
    run.progress = {**(run.progress or {}), "seconds": seconds, "phases": asdict(summary.seconds)}
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
        ),
        step=Step.RUN_BACKUP,
    )


def _elapsed(started: datetime | None, finished: datetime) -> float:
    return (finished - started).total_seconds() if started else 0.0


def _result(target: Target, summary: SetSummary) -> dict[str, object]:
    return {
        "set_id": target.set_id,
        "files": summary.files,
        "bytes": summary.size,
        "archives": len(summary.archives),
        "warnings": summary.warnings,
        "summary": f"{summary.files} files, {units.size(summary.size)}",
    }
