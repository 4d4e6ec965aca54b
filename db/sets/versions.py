"""Versions of files: the catalogue's versions of a name, their times and tapes, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, literal, select, tuple_
from sqlalchemy.orm import Session

from db.bigint import exact
from db.models import BackupArchive, BackupFile, BackupSet, TapeCartridge
from db.sets import catalog
from policy.tapes.facts import SetState

COUNTED = 100_000
"""More are not counted: that would take longer than a narrower search."""


@dataclass(frozen=True, slots=True)
class FoundVersions:
    """The newest matching versions, in the form for scripts, and how many more there are."""

    versions: list[dict[str, Any]]
    more: int

    @property
    def is_counted(self) -> bool:
        """Whether ``more`` counts all of them, and not only up to the limit."""
        return self.more < COUNTED


def find(session: Session, set_id: str | None, pattern: str, limit: int) -> FoundVersions:
    """The matches in a set, or in all that are not destroyed. Raises NotFound: there is no such set."""
    if set_id:
        catalog.get(session, set_id)
    query = catalog.files(set_id, pattern)
    files = session.scalars(query.limit(limit)).all()
    beyond = query.with_only_columns(literal(1)).order_by(None).limit(limit + COUNTED).subquery()
    count = session.scalars(select(func.count()).select_from(beyond)).one() if len(files) == limit else 0
    sets = {stored.id: stored for stored in session.scalars(_sets(files))}
    tapes = _tapes(session, files)
    rows = [_as_json(file, sets[file.set_id], tapes) for file in files]
    return FoundVersions(rows, max(count - limit, 0))


def _sets(files: Sequence[BackupFile]) -> Any:
    return select(BackupSet).where(BackupSet.id.in_({file.set_id for file in files}))


def _tapes(session: Session, files: Sequence[BackupFile]) -> dict[tuple[str, str], list[str]]:
    """For each set and path the tapes to read, in their order: several if it is in pieces. A destroyed set is
    on none."""
    wanted = {(file.set_id, file.path) for file in files}
    rows = session.execute(
        select(BackupFile.set_id, BackupFile.path, TapeCartridge.tape_id)
        .join(
            BackupArchive,
            (BackupArchive.set_id == BackupFile.set_id) & (BackupArchive.number == BackupFile.archive),
        )
        .join(TapeCartridge, TapeCartridge.id == BackupArchive.cartridge_id)
        .join(BackupSet, BackupSet.id == BackupFile.set_id)
        .where(tuple_(BackupFile.set_id, BackupFile.path).in_(wanted), BackupSet.state != SetState.DESTROYED)
        .order_by(BackupFile.archive, BackupFile.position)
    )
    by_file: dict[tuple[str, str], dict[str, None]] = {}
    for set_id, path, tape_id in rows:
        by_file.setdefault((set_id, path), {})[tape_id] = None
    return {key: list(tapes) for key, tapes in by_file.items()}


def _as_json(file: BackupFile, stored: BackupSet, tapes: dict[tuple[str, str], list[str]]) -> dict[str, Any]:
    return {
        "set": file.set_id,
        "path": file.path,
        "type": file.type,
        "size": exact(file, "size"),
        "mtime_ns": exact(file, "mtime_ns"),
        "backed_up_at": stored.started_at.isoformat(),
        "tapes": tapes.get((file.set_id, file.path), []),
        "archive": file.archive,
        "blake3": file.blake3.hex() if file.blake3 else None,
    }
