"""The request to the engine, from the rows of a run."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

from sqlalchemy.orm import Session

from backup.format.age import is_recipient
from backup.request import Excludes, SetRequest
from backup.source.changes import KnownFiles
from db.admin import dump
from db.errors import DatabaseUnavailable, DumpFailed
from db.models import BackupSet, BackupTask, ChainRun
from db.sets import catalog, lineage
from policy.message import M, Message
from policy.sources import Survey
from tape.drive import Medium
from tasks.work import Work
from tasks.writing.journal import resume_point


def spool_of(work: Work) -> Path:
    """The folder on the drive's host for data that does not fit into memory."""
    spool = work.settings.state_dir / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    return spool


LARGEST_RESERVE = 64 << 20
"""Bytes; space for documents and for what a file system needs beside its files."""


def request_for(
    session: Session, run: ChainRun, record: BackupTask, stored: BackupSet, medium: Medium
) -> SetRequest:
    """The request from the record of a run; if it is resumed, with the progress of its set. Raises
    BadRequest."""
    return SetRequest(
        set_id=stored.id,
        type=record.type.value,
        sources=tuple(record.sources),
        compression="zstd" if record.compression == "zstd" else "none",
        level=record.compression_level,
        archive_bytes=record.archive_bytes,
        label=medium.label or "",
        reserve_bytes=min(LARGEST_RESERVE, (medium.capacity or LARGEST_RESERVE * 100) // 100),
        started_at=stored.started_at,
        encrypt_to=tuple(record.encrypt_to),
        excludes=_excludes(record, stored.started_at),
        about={
            "run": run.id,
            "schedule": run.schedule.name if run.schedule else None,
            "template": record.name,
            "period": run.period,
            "host": socket.gethostname(),
            "tapeline": version("tapeline"),
            "retention_days": record.retention_days,
            "keep_sets": record.keep_sets,
        },
        resume=resume_point(session, stored),
        parent=stored.parent_id,
        detect=record.detect,
        detect_of={
            path: options["detect"] for path, options in record.source_options.items() if "detect" in options
        },
        followed=_followed(session, stored),
    )


def _followed(session: Session, stored: BackupSet) -> tuple[Mapping[str, str], ...]:
    """By what the sets that this one follows compared files."""
    if stored.parent_id is None:
        return ()
    surveys = [each.survey for each in lineage.chain(session, stored.parent_id)]
    return tuple(Survey.from_json(survey).detected_by if survey else {} for survey in surveys)


def _excludes(record: BackupTask, started_at: datetime) -> Excludes:
    """The rules of the record; an age counts from when the set was begun, even if it is resumed."""
    days = record.max_file_age_days
    oldest = started_at - timedelta(days=days) if days is not None else None
    return Excludes(
        patterns=tuple(record.excludes),
        caches=record.exclude_caches,
        one_file_system=record.one_file_system,
        max_bytes=record.max_file_bytes,
        older_than_ns=int(oldest.timestamp()) * 10**9 if oldest else None,
    )


def with_dump(work: Work, request: SetRequest) -> SetRequest:
    """The request with the database's own dump, unless the settings want none."""
    limit = work.settings.database_dump_bytes
    if not limit:
        return request
    keys, is_closed = work.database.attempt(
        lambda session: (catalog.keys_in_use(session, is_recipient), catalog.has_encrypted(session)),
        patience=work.settings.database_patience_seconds,
    )
    if is_closed and not keys and not request.encrypt_to:
        return replace(request, dump=_no_key)
    return replace(request, dump=partial(_dump, work, limit), encrypt_dump_to=keys)


def _no_key(_path: Path, _check: Callable[[], None]) -> Message:
    return M(
        "It holds the names of encrypted sets, and the keys of none are known here:"
        " give a template encrypt_to."
    )


def _dump(work: Work, limit: int, path: Path, check: Callable[[], None]) -> Message | None:
    """Write it; an unavailable database is waited for, as in the rest of the step."""
    patience = work.settings.database_patience_seconds
    try:
        dump.write(work.database, path, with_history=False, limit=limit, patience=patience, check=check)
    except (DumpFailed, DatabaseUnavailable) as error:
        return error.message
    return None


def with_known_files(work: Work, request: SetRequest) -> SetRequest:
    """Write the state of the parent and its own parents to disk, before the tape begins to move."""
    parent = request.parent
    if parent is None:
        return request
    known = KnownFiles(spool_of(work) / request.set_id)

    def write(session: Session) -> None:
        known.write(lineage.known_files(session, parent))

    work.database.attempt(write, patience=work.settings.database_patience_seconds)
    return replace(request, known=known)
