"""The set that a run writes: its row, its cartridge, and what the engine is asked for."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from backup.request import SetRequest
from db import events
from db.models import BackupSet, BackupTask, ChainRun, TapeCartridge, now
from db.runs import lookup
from db.sets import catalog, lineage
from db.states import RecordState, Step
from db.tapes import (
    cartridges,
)
from policy import detection
from policy.detection import Followed
from policy.errors import TapelineError
from policy.message import M
from policy.schedule.rate import SourceRate
from policy.sources import DUMPS, Survey
from policy.tapes import retention
from policy.tapes.facts import SetState
from tape.drive import Medium
from tasks.writing import pace
from tasks.writing.set_request import request_for


@dataclass(frozen=True, slots=True)
class SetTarget:
    """The target of the set, and its request."""

    set_id: str
    cartridge_id: int
    generation: int
    retention_days: int | None
    request: SetRequest
    new: dict[str, Any] | None
    """The row of a set that is not in the catalogue yet: it enters before its first byte."""
    limit: SourceRate | None
    """How fast the sources may be read."""

    def enter(self, session: Session, run: ChainRun, survey: Survey, accepted: list[Any]) -> None:
        """Put the set into the catalogue, unless it is there; with its record of its sources."""
        stored = session.get(BackupSet, self.set_id)
        if stored is None:
            assert self.new is not None, "what is not new is in the catalogue"
            stored = _enter(session, run, self.new)
        if self.request.parent is not None:
            _note_rules(session, run, survey, Followed(self.request.followed))
        stored.survey, stored.accepted = survey.to_json(), accepted


def _note_rules(session: Session, run: ChainRun, survey: Survey, followed: Followed) -> None:
    """The story names each file system on which not every field counts."""
    for path, rule in survey.detected_by.items():
        wanted = detection.named(rule)
        counts = wanted.both(followed.at(path.encode()))
        if counts == detection.EVERY:
            continue
        text = M(
            "Below {path}, these fields show that a file has changed: {fields}.",
            path=path,
            fields=str(counts),
        )
        if counts != wanted:
            text = M(
                "Below {path}, these fields show that a file has changed: {fields}. {wanted} counts from the"
                " next full backup on.",
                path=path,
                fields=str(counts),
                wanted=rule,
            )
        events.record(session, run, text, step=Step.RUN_BACKUP)


class ParentGone(TapelineError):
    """The set that the increment was to follow is no longer whole."""


def rows_of(session: Session, run: ChainRun) -> tuple[BackupTask, BackupSet | None]:
    """The record of a run, and its set if the catalogue has it."""
    record = lookup.record_made(session, run)
    return record, session.get(BackupSet, run.set_id) if run.set_id else None


def target_of(session: Session, run: ChainRun, medium: Medium) -> SetTarget:
    """The set that this run writes on what is in the drive: its own that is not complete, or a new one."""
    record, stored = rows_of(session, run)
    cartridge = cartridges.recognise(session, medium.to_json())
    if cartridge is None:
        cartridge, _ = cartridges.update_label(session, original=medium.label, medium=medium.to_json())
    new = None
    if stored is None:
        new = _new_set(run, record, cartridge)
        stored = BackupSet(**new)
        run.set_id = stored.id
    else:
        if not stored.archives:
            stored.cartridge_id, stored.generation = cartridge.id, cartridge.generation
        stored.state = SetState.WRITING
    record.state = RecordState.RUNNING
    record.started_at = record.started_at or now()
    record.error = None
    return SetTarget(
        stored.id,
        cartridge.id,
        cartridge.generation,
        record.retention_days,
        request_for(session, run, record, stored, medium),
        new,
        pace.rate_limit(session, run),
    )


def parent_is_whole(session: Session, record: BackupTask) -> bool:
    """Whether the set that an increment follows can be restored."""
    parent = record.parent_id
    return parent is None or lineage.is_whole(session, lineage.chain(session, parent))


def parent_gone(record: BackupTask) -> ParentGone:
    """The error for an increment whose parent cannot be restored any more."""
    return ParentGone(
        M(
            "Set {parent}, which this backup was to follow, is not whole any more.",
            parent=record.parent_id,
        ),
        M("Start a new run."),
    )


def _new_set(run: ChainRun, record: BackupTask, cartridge: TapeCartridge) -> dict[str, Any]:
    """The row of a new set. A run whose worker died before the first byte keeps its name."""
    started = now()
    return {
        "id": run.set_id or f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
        "run_id": run.id,
        "template_id": record.template_id,
        "template_name": record.name,
        "cartridge_id": cartridge.id,
        "generation": cartridge.generation,
        "type": record.type,
        "parent_id": record.parent_id,
        "keep_sets": record.keep_sets,
        "encrypted": bool(record.encrypt_to),
        "state": SetState.WRITING,
        "period": run.period,
        "sources": [*record.sources, *(DUMPS + each["name"] for each in record.dumps)],
        "started_at": started,
        # Set again when it is complete; an unfinished set is kept as long.
        "retention_until": retention.until(started, record.retention_days),
    }


def _enter(session: Session, run: ChainRun, new: dict[str, Any]) -> BackupSet:
    """Raises ParentGone if its parent vanished while the sources were inspected."""
    record, _ = rows_of(session, run)
    if not parent_is_whole(session, record):
        raise parent_gone(record)
    stored = BackupSet(**new)
    catalog.add_set(session, stored)
    cartridge = session.get_one(TapeCartridge, stored.cartridge_id)
    events.record(
        session,
        run,
        M("Writing set {set} on tape {tape}.", set=stored.id, tape=cartridge.tape_id),
        step=Step.RUN_BACKUP,
    )
    return stored
