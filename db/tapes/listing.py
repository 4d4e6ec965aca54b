"""Cartridges for a page of them: found, counted and summed up by the database."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, or_, select, union, union_all
from sqlalchemy.orm import Session, joinedload

from db.models import ArchiveCopy, BackupArchive, BackupSet, TapeCartridge, TapePool
from db.tapes import copies
from policy.tapes.facts import CartridgeState, SetState


@dataclass(frozen=True, slots=True)
class Kept:
    """The sets on the present generation of a cartridge that are not destroyed."""

    sets: int = 0
    ever: bool = False
    """One of them is kept for ever."""
    newest: bool = False
    """One is kept while it is among the newest."""
    until: datetime | None = None
    damaged: int = 0


def page(
    session: Session, state: str, pool: str, name: str, *, first: Collection[int], number: int, size: int
) -> tuple[list[TapeCartridge], int]:
    """The cartridges of a page, those of ``first`` before all others, then the one that was formatted last;
    and how many there are of all pages. An empty ``state``, ``pool`` or ``name`` means any."""
    matching = _wanted(state, pool, name)
    count = session.scalars(select(func.count()).select_from(matching.subquery())).one()
    order = (
        TapeCartridge.id.in_(first).desc(),
        TapeCartridge.formatted_at.desc().nulls_last(),
        TapeCartridge.id,
    )
    query = matching.options(joinedload(TapeCartridge.pool)).order_by(*order)
    return list(session.scalars(query.offset((number - 1) * size).limit(size))), count


def _wanted(state: str, pool: str, name: str) -> Select[TapeCartridge]:
    query = select(TapeCartridge)
    if state:
        query = query.where(TapeCartridge.state == state)
    if pool:
        query = query.where(TapeCartridge.pool.has(TapePool.name == pool))
    if name:
        names = (TapeCartridge.tape_id, TapeCartridge.label, TapeCartridge.barcode)
        query = query.where(or_(*(each.icontains(name, autoescape=True) for each in names)))
    return query


def pools(session: Session) -> list[str]:
    """The pools that have a cartridge."""
    used = select(TapeCartridge.id).where(TapeCartridge.pool_id == TapePool.id)
    return list(session.scalars(select(TapePool.name).where(used.exists()).order_by(TapePool.name)))


def kept(session: Session, ids: Collection[int]) -> dict[int, Kept]:
    """What keeps each of some cartridges."""
    here = (
        TapeCartridge.id == BackupArchive.cartridge_id,
        TapeCartridge.generation == BackupArchive.generation,
    )
    begun: ColumnElement[bool] = (BackupSet.cartridge_id == TapeCartridge.id) & (
        BackupSet.generation == TapeCartridge.generation
    )
    columns = (
        TapeCartridge.id.label("tape"),
        BackupSet.id,
        BackupSet.retention_until,
        BackupSet.keep_sets,
        BackupSet.damaged,
    )
    wanted = TapeCartridge.id.in_(ids), BackupSet.state != SetState.DESTROYED
    begun_here = select(*columns).join_from(TapeCartridge, BackupSet, begun).where(*wanted)
    # Most sets lie on the tape on which they were begun: those of others are few.
    gone_on_here = (
        select(*columns)
        .join_from(TapeCartridge, BackupArchive, here[0] & here[1])
        .join(BackupSet, BackupSet.id == BackupArchive.set_id)
        .where(*wanted, ~func.coalesce(begun, False))
    )
    copied_here = (
        select(*columns)
        .join_from(TapeCartridge, ArchiveCopy, copies.here(ArchiveCopy))
        .join(BackupSet, BackupSet.id == ArchiveCopy.set_id)
        .where(*wanted, ~func.coalesce(begun, False))
    )
    on = union_all(begun_here, union(gone_on_here, copied_here)).subquery()
    is_numbered = on.c.keep_sets.is_not(None)
    rows = session.execute(
        select(
            on.c.tape,
            func.count(),
            func.bool_or(on.c.retention_until.is_(None) & ~is_numbered),
            func.bool_or(is_numbered),
            func.max(on.c.retention_until),
            func.coalesce(func.sum(on.c.damaged), 0),
        ).group_by(on.c.tape)
    )
    return {tape: Kept(*facts) for tape, *facts in rows}


def new(session: Session) -> list[TapeCartridge]:
    """The cartridges that are in use, and on which nothing is yet, by tape_id."""
    wanted = select(TapeCartridge).where(
        TapeCartridge.state == CartridgeState.ACTIVE, TapeCartridge.bytes_used == 0
    )
    return list(session.scalars(wanted.order_by(TapeCartridge.tape_id)))
