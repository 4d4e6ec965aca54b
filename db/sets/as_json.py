"""Sets in the form for scripts (docs/operations.md, For scripts), with a fixed number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import ArchiveCopy, BackupArchive, BackupSet, BackupTask, TapeCartridge
from db.sets import catalog, lineage
from db.tapes import copies
from policy.tapes.facts import SetState


@dataclass(slots=True)
class _Place:
    """The position of a set."""

    archives: int = 0
    tapes: list[str] = field(default_factory=list)
    copies: list[dict[str, Any]] = field(default_factory=list)


def sets_json(session: Session, sets: Sequence[BackupSet]) -> list[dict[str, Any]]:
    """Sets, each with its tapes and the destroyed set that it needs."""
    ids = [stored.id for stored in sets]
    names: Mapping[int | None, str] = dict(
        session.execute(select(BackupTask.id, BackupTask.name).where(BackupTask.is_template)).all()
    )
    places, lost = _places(session, sets), _lost_parents(session, ids)
    return [_as_json(stored, names, places[stored.id], lost[stored.id]) for stored in sets]


def set_json(session: Session, stored: BackupSet) -> dict[str, Any]:
    """One set, with the sets that it needs, the nearest first, and its archives with their tapes."""
    [facts] = sets_json(session, [stored])
    needed = [each.id for each in lineage.chain(session, stored.id) if each.id != stored.id]
    archives = (
        select(BackupArchive, TapeCartridge.tape_id)
        .join(TapeCartridge, TapeCartridge.id == BackupArchive.cartridge_id)
        .where(BackupArchive.set_id == stored.id)
        .order_by(BackupArchive.number)
    )
    contents = [
        {
            "number": archive.number,
            "name": archive.name,
            "tape": tape_id,
            "generation": archive.generation,
            "bytes": archive.bytes,
            "files": archive.files,
            "sealed_at": archive.sealed_at.isoformat(),
        }
        for archive, tape_id in session.execute(archives)
    ]
    broken = catalog.broken_dumps(session, stored.id)
    return {**facts, "follows": needed[::-1], "broken_dumps": broken, "contents": contents}


def _places(session: Session, sets: Sequence[BackupSet]) -> dict[str, _Place]:
    """How many archives each has, and the cartridges that it needs in their order."""
    places = {stored.id: _Place() for stored in sets}
    names = dict(session.execute(select(TapeCartridge.id, TapeCartridge.tape_id)).all())
    archives = (
        select(BackupArchive.set_id, BackupArchive.cartridge_id, func.count())
        .where(BackupArchive.set_id.in_(places))
        .group_by(BackupArchive.set_id, BackupArchive.cartridge_id)
        .order_by(func.min(BackupArchive.number))
    )
    for set_id, cartridge_id, count in session.execute(archives):
        places[set_id].archives += count
        places[set_id].tapes.append(names[cartridge_id])
    copied = (
        select(ArchiveCopy.set_id, ArchiveCopy.cartridge_id, func.count(), func.max(ArchiveCopy.copied_at))
        .join(TapeCartridge, copies.here(ArchiveCopy))
        .where(ArchiveCopy.set_id.in_(places))
        .group_by(ArchiveCopy.set_id, ArchiveCopy.cartridge_id)
        .order_by(func.max(ArchiveCopy.copied_at))
    )
    for set_id, cartridge_id, count, moment in session.execute(copied):
        copy = {"tape": names[cartridge_id], "archives": count, "copied_at": moment.isoformat()}
        places[set_id].copies.append(copy)
    for stored in sets:
        if not places[stored.id].archives and stored.cartridge_id in names:
            places[stored.id].tapes = [names[stored.cartridge_id]]
    return places


def _lost_parents(session: Session, ids: Sequence[str]) -> dict[str, str | None]:
    """For each set the destroyed set that it needs, directly or further back; None: all exist."""
    before = lineage.ancestry(select(BackupSet.id).where(BackupSet.id.in_(ids)))
    rows = session.execute(
        select(BackupSet.id, BackupSet.parent_id, BackupSet.state).join(before, before.c.id == BackupSet.id)
    )
    links = {set_id: (parent, state) for set_id, parent, state in rows}

    def step(set_id: str, lost_before: str | None) -> str | None:
        parent = links[set_id][0]
        is_lost = parent is not None and links[parent][1] is SetState.DESTROYED
        return parent if is_lost else lost_before

    lost = lineage.Along[str | None](
        {set_id: parent for set_id, (parent, _) in links.items()}, first=None, in_circle=None
    )
    return {set_id: lost.of(set_id, step) for set_id in ids}


def _as_json(
    stored: BackupSet, names: Mapping[int | None, str], place: _Place, lost: str | None
) -> dict[str, Any]:
    return {
        "id": stored.id,
        "template": names.get(stored.template_id),
        "type": stored.type.value,
        "state": stored.state.value,
        "tapes": place.tapes,
        "copies": place.copies,
        "parent": stored.parent_id,
        "lost_parent": lost,
        "files": stored.files,
        "deleted": stored.deleted,
        "bytes": stored.bytes,
        "archives": place.archives,
        "warnings": stored.warnings,
        "encrypted": stored.encrypted,
        "run": stored.run_id,
        "sources": stored.sources,
        "started_at": stored.started_at.isoformat(),
        "finished_at": stored.finished_at.isoformat() if stored.finished_at else None,
        "retention_until": stored.retention_until.isoformat() if stored.retention_until else None,
        "keep_sets": stored.keep_sets,
        "expired_at": stored.expired_at.isoformat() if stored.expired_at else None,
        "destroyed_at": stored.destroyed_at.isoformat() if stored.destroyed_at else None,
        "verified_at": stored.verified_at.isoformat() if stored.verified_at else None,
        "verified_percent": stored.verified_percent,
        "damaged": stored.damaged,
        "accepted": stored.accepted,
    }
