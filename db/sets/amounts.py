"""How much was written: in each month, and on each tape."""

from __future__ import annotations

from datetime import datetime
from itertools import dropwhile, pairwise
from zoneinfo import ZoneInfo

from sqlalchemy import ARRAY, ColumnElement, CompoundSelect, func, literal, select
from sqlalchemy.orm import Session

from db.models import ArchiveCopy, BackupArchive, BackupSet, TapeCartridge


def by_month(session: Session, zone: ZoneInfo, newest: int) -> list[tuple[str, int]]:
    """The bytes that were written in each of so many months (``2026-12``) up to the newest with any, oldest
    first, from the first one with any. Reads an index, not the rows."""
    last = session.scalar(select(func.max(BackupArchive.sealed_at)))
    if last is None:
        return []
    local = last.astimezone(zone)
    numbers = [local.year * 12 + local.month - 1 - back for back in reversed(range(-1, newest))]
    firsts = [datetime(each // 12, each % 12 + 1, 1, tzinfo=zone) for each in numbers]
    months = list(pairwise(firsts))
    asked = (
        func.unnest(
            literal([begin for begin, _ in months], ARRAY(BackupArchive.sealed_at.type)),
            literal([end for _, end in months], ARRAY(BackupArchive.sealed_at.type)),
        )
        .table_valued("begin", "end")
        .render_derived(name="months")
    )
    written = (
        select(func.coalesce(func.sum(BackupArchive.bytes), 0))
        .where(BackupArchive.sealed_at >= asked.c.begin, BackupArchive.sealed_at < asked.c.end)
        .scalar_subquery()
    )
    rows = session.execute(select(asked.c.begin, written).order_by(asked.c.begin))
    amounts = [(f"{first.astimezone(zone):%Y-%m}", int(size)) for first, size in rows]
    return list(dropwhile(lambda month: not month[1], amounts))


def on_tape_by_month(session: Session, tape: TapeCartridge, zone: ZoneInfo) -> list[tuple[str, int]]:
    """The bytes that were written to the present generation of a tape in each month, oldest first."""
    on = _written(tape).subquery()
    month = _month(zone, on.c.at)
    rows = session.execute(
        select(month, func.sum(on.c.bytes))
        .where(on.c.generation == tape.generation)
        .group_by(month)
        .order_by(month)
    )
    return [(name, int(size)) for name, size in rows]


def _month(zone: ZoneInfo, at: ColumnElement[datetime]) -> ColumnElement[str]:
    """The month of an archive by this clock: the one that the labels of the tapes have."""
    return func.to_char(func.timezone(zone.key, at), "YYYY-MM")


def _written(tape: TapeCartridge) -> CompoundSelect[str, int, int, datetime]:
    """A query for the archives and the copies that were written to a tape."""
    archived = select(
        BackupArchive.set_id,
        BackupArchive.generation,
        BackupArchive.bytes,
        BackupArchive.sealed_at.label("at"),
    ).where(BackupArchive.cartridge_id == tape.id)
    copied = (
        select(ArchiveCopy.set_id, ArchiveCopy.generation, BackupArchive.bytes, ArchiveCopy.copied_at)
        .join(
            BackupArchive,
            (BackupArchive.set_id == ArchiveCopy.set_id) & (BackupArchive.number == ArchiveCopy.number),
        )
        .where(ArchiveCopy.cartridge_id == tape.id)
    )
    return archived.union_all(copied)


def ever_on(
    session: Session, tape: TapeCartridge, newest: int
) -> list[tuple[BackupSet, int | None, int | None]]:
    """The newest so many sets that ever were on a tape, newest first: each with the generation that it is
    on, and its bytes there; None where it has no archive on the tape."""
    on = _written(tape).subquery()
    on_tape = (
        select(
            on.c.set_id,
            func.max(on.c.generation).label("generation"),
            func.sum(on.c.bytes).label("bytes"),
        )
        .group_by(on.c.set_id)
        .subquery()
    )
    rows = session.execute(
        select(BackupSet, on_tape.c.generation, on_tape.c.bytes)
        .outerjoin(on_tape, on_tape.c.set_id == BackupSet.id)
        .where((BackupSet.cartridge_id == tape.id) | on_tape.c.set_id.is_not(None))
        .order_by(BackupSet.started_at.desc())
        .limit(newest)
    )
    return [(stored, generation, size) for stored, generation, size in rows]
