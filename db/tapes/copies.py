"""Copies of archives on other tapes: a set is there as long as each of its archives is on one tape."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from db.models import ArchiveCopy, BackupArchive, BackupSet, TapeCartridge, now
from policy.tapes.facts import CartridgeState, SetState

UNSOUND = (CartridgeState.RETIRED, CartridgeState.ERROR, CartridgeState.UNKNOWN)
"""States of a cartridge that one of another state is read before."""

UNSYNCHRONIZED = {"synchronize_session": False}
"""For statements over several tables; the caller loads anew what it has loaded."""


def here(table: Any) -> ColumnElement[bool]:
    """The condition that a row of archives or copies is on the present generation of its cartridge, for a
    statement with ``TapeCartridge``."""
    return and_(TapeCartridge.id == table.cartridge_id, TapeCartridge.generation == table.generation)


def on(cartridge: TapeCartridge) -> Select[str]:
    """A query for the sets that have a copy on the present generation of a cartridge."""
    return select(ArchiveCopy.set_id).where(
        ArchiveCopy.cartridge_id == cartridge.id, ArchiveCopy.generation == cartridge.generation
    )


def tapes_of(session: Session, set_id: str) -> set[int]:
    """The cartridges that have something of a set, the original or a copy, by their rows."""
    own, copied = (
        select(table.cartridge_id).join(TapeCartridge, here(table)).where(table.set_id == set_id)
        for table in (BackupArchive, ArchiveCopy)
    )
    return set(session.scalars(own.union(copied)))


def enter(session: Session, archive: BackupArchive, cartridge: TapeCartridge) -> None:
    """A copy of an archive is on the present generation of a cartridge. Entered twice, it is there once; the
    archive itself is no copy."""
    place = {"cartridge_id": cartridge.id, "generation": cartridge.generation}
    if (archive.cartridge_id, archive.generation) == (cartridge.id, cartridge.generation):
        return
    row = {"set_id": archive.set_id, "number": archive.number, **place, "copied_at": now()}
    session.execute(insert(ArchiveCopy).values(row).on_conflict_do_nothing())


def drop_own(session: Session, sets: Collection[str]) -> None:
    """What was a copy, and is the archive itself now, is no copy any more."""
    is_itself = (
        ArchiveCopy.set_id == BackupArchive.set_id,
        ArchiveCopy.number == BackupArchive.number,
        ArchiveCopy.cartridge_id == BackupArchive.cartridge_id,
        ArchiveCopy.generation == BackupArchive.generation,
    )
    session.execute(
        delete(ArchiveCopy).where(ArchiveCopy.set_id.in_(sets), *is_itself), execution_options=UNSYNCHRONIZED
    )


def drop_earlier(session: Session, cartridge: TapeCartridge) -> None:
    """Copies on earlier generations of a cartridge are gone."""
    session.execute(
        delete(ArchiveCopy).where(
            ArchiveCopy.cartridge_id == cartridge.id, ArchiveCopy.generation < cartridge.generation
        )
    )


def drop(session: Session, cartridge: TapeCartridge, sets: Collection[str]) -> None:
    """The copies of some sets are not on a cartridge any more."""
    there = ArchiveCopy.cartridge_id == cartridge.id, ArchiveCopy.generation == cartridge.generation
    session.execute(delete(ArchiveCopy).where(*there, ArchiveCopy.set_id.in_(sets)))


def hand_over(session: Session, other: TapeCartridge, cartridge: TapeCartridge) -> None:
    """What two rows describe is one cartridge: the copies on ``other`` are on this one."""
    mine = aliased(ArchiveCopy)
    is_known = exists().where(
        mine.set_id == ArchiveCopy.set_id,
        mine.number == ArchiveCopy.number,
        mine.cartridge_id == cartridge.id,
        mine.generation == cartridge.generation,
    )
    on_other = ArchiveCopy.cartridge_id == other.id, ArchiveCopy.generation == other.generation
    session.execute(delete(ArchiveCopy).where(*on_other, is_known))
    session.execute(
        update(ArchiveCopy)
        .where(*on_other)
        .values(cartridge_id=cartridge.id, generation=cartridge.generation)
    )


def stand_in(session: Session, *gone: ColumnElement[bool]) -> None:
    """Where an archive is gone (a condition on ``BackupArchive``) and a copy of it is there, the copy takes
    its place; sets that are not destroyed yet therefore stay."""
    session.flush()
    rank = func.row_number().over(
        partition_by=(ArchiveCopy.set_id, ArchiveCopy.number),
        order_by=(TapeCartridge.state.in_(UNSOUND), ArchiveCopy.copied_at.desc(), ArchiveCopy.cartridge_id),
    )
    best = select(ArchiveCopy, rank.label("rank")).join(TapeCartridge, here(ArchiveCopy)).subquery()
    kept = select(BackupSet.id).where(BackupSet.state != SetState.DESTROYED)
    moved = (
        update(BackupArchive)
        .where(*gone, BackupArchive.set_id.in_(kept))
        .where(best.c.set_id == BackupArchive.set_id, best.c.number == BackupArchive.number)
        .where(best.c.rank == 1)
        .values(cartridge_id=best.c.cartridge_id, generation=best.c.generation)
        .returning(BackupArchive.set_id)
    )
    sets = set(session.scalars(moved, execution_options=UNSYNCHRONIZED))
    if sets:
        _settle(session, sets)


def _settle(session: Session, sets: Collection[str]) -> None:
    """After archives of sets have moved: what is the archive itself is no copy, and a set begins where its
    first archive is."""
    drop_own(session, sets)
    first = select(BackupArchive.set_id, func.min(BackupArchive.number).label("number"))
    first_of = first.where(BackupArchive.set_id.in_(sets)).group_by(BackupArchive.set_id).subquery()
    session.execute(
        update(BackupSet)
        .where(BackupSet.id == first_of.c.set_id)
        .where(BackupArchive.set_id == BackupSet.id, BackupArchive.number == first_of.c.number)
        .values(cartridge_id=BackupArchive.cartridge_id, generation=BackupArchive.generation),
        execution_options=UNSYNCHRONIZED,
    )
    session.expire_all()
