"""Sets that need each other: an increment, its parent, and so on back to a full one."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import Session

from db.models import BackupArchive, BackupFile, BackupSet, TapeCartridge
from db.sets import catalog
from db.states import BackupType
from db.tapes import risk
from policy.paths import order
from policy.tapes.facts import SetState

PIECE = "piece"
"""The type of a row that is a part of a file; the row of the file itself follows."""
BLOCK = 10_000
"""Rows that the server sends at once."""


class Live(NamedTuple):
    """A file as the newest of several sets has it."""

    set_id: str
    archive: int
    position: int
    path: bytes
    type: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    partial: bool
    blake3: bytes | None


def chain(session: Session, set_id: str) -> list[BackupSet]:
    """The sets that make up the state of a set, the full one first. Raises NotFound."""
    found = [catalog.get(session, set_id)]
    while (parent := found[-1].parent_id) is not None:
        found.append(catalog.get(session, parent))
    return found[::-1]


def is_whole(session: Session, sets: Collection[BackupSet]) -> bool:
    """Whether every set of a chain is complete, on a tape that nobody is formatting, and was not found
    damaged."""
    if not all(stored.state is SetState.COMPLETE and not stored.damaged for stored in sets):
        return False
    return not risk.any_of(session, [stored.id for stored in sets])


def expected_on(
    session: Session, sets: Iterable[BackupSet], cartridge: TapeCartridge
) -> dict[str, dict[str, int]]:
    """Those of some sets that should be on a cartridge now: the names of their archives on it, with bytes."""
    here = cartridge.id, cartridge.generation
    found: dict[str, dict[str, int]] = {}
    for stored in sets:
        session.refresh(stored, ["archives"])
        names = {a.name: a.bytes for a in stored.archives if (a.cartridge_id, a.generation) == here}
        if names or (not stored.archives and (stored.cartridge_id, stored.generation) == here):
            found[stored.id] = names
    return found


def parent_for(session: Session, template_id: int, wanted: BackupType) -> BackupSet | None:
    """What a new set of a type is taken against, or None: the newest set of the template, or its newest full
    one, whose whole chain is on tape and that is not marked as expired."""
    # Their names alone: years of sets are not loaded to find the newest.
    query = select(BackupSet.id).where(
        BackupSet.template_id == template_id,
        BackupSet.state == SetState.COMPLETE,
        BackupSet.expired_at.is_(None),
    )
    if wanted is BackupType.DIFFERENTIAL:
        query = query.where(BackupSet.type == BackupType.FULL)
    for set_id in session.scalars(query.order_by(BackupSet.started_at.desc())):
        sets = chain(session, set_id)
        if is_whole(session, sets):
            return sets[-1]
    return None


def at(session: Session, template_id: int, moment: datetime) -> BackupSet | None:
    """The newest complete set of a template that was begun by then: the sources as they were."""
    return session.scalar(
        select(BackupSet)
        .where(
            BackupSet.template_id == template_id,
            BackupSet.state == SetState.COMPLETE,
            BackupSet.started_at <= moment,
        )
        .order_by(BackupSet.started_at.desc())
        .limit(1)
    )


def archives_of(sets: Iterable[BackupSet]) -> Iterator[BackupArchive]:
    """Every archive of a chain, in the order in which it was written."""
    for stored in sets:
        yield from stored.archives


def tapes(session: Session, set_id: str, only: Collection[int] | None = None) -> list[TapeCartridge]:
    """The cartridges that the state of a set is on, the full one's first; ``only`` these, by their rows."""
    found = {
        cartridge.id: cartridge
        for stored in chain(session, set_id)
        for cartridge in catalog.tapes(session, stored.id)
        if only is None or cartridge.id in only
    }
    return list(found.values())


def tree(
    session: Session, sets: Iterable[BackupSet], condition: ColumnElement[bool] | None = None
) -> Iterator[Live]:
    """What the sets of a chain make up, in the order of a set and in constant memory: of each path the newest
    file, unless it is deleted. ``condition``: on the columns of ``BackupFile``."""
    newest_first = list(sets)[::-1]
    streams = [_keyed(_rows(session, stored.id, condition), age) for age, stored in enumerate(newest_first)]
    last = None
    for key, _age, row in heapq.merge(*streams):
        if key != last and row.type != "deleted":
            yield row
        last = key


def pieces(
    session: Session, sets: Iterable[BackupSet], condition: ColumnElement[bool] | None = None
) -> dict[tuple[str, bytes], list[Live]]:
    """The pieces of the files that were cut, by set and path, in order. A piece is of some 4 GiB: there are
    few. Those of a file that was begun anew are among them."""
    found: dict[tuple[str, bytes], list[Live]] = {}
    for stored in sets:
        for piece in _select(session, stored.id, BackupFile.type == PIECE, condition):
            found.setdefault((piece.set_id, piece.path), []).append(piece)
    return found


def pieces_of(file: Live, found: Sequence[Live]) -> list[Live]:
    """Those that make up a file: the last ones that come to its size."""
    left, number = file.size, len(found)
    while left > 0 and number:
        number -= 1
        left -= found[number].size
    return list(found[number:]) if left == 0 else []


def _keyed(rows: Iterable[Live], age: int) -> Iterator[tuple[bytes, int, Live]]:
    for row in rows:
        yield order(row.path), age, row


def _rows(session: Session, set_id: str, condition: ColumnElement[bool] | None) -> Iterator[Live]:
    """The files of a set in its order, which is that of (archive, position), by a cursor of the server."""
    return _select(session, set_id, BackupFile.type != PIECE, condition)


def _select(
    session: Session, set_id: str, kind: ColumnElement[bool], condition: ColumnElement[bool] | None
) -> Iterator[Live]:
    query = (
        select(
            BackupFile.set_id,
            BackupFile.archive,
            BackupFile.position,
            BackupFile.path,
            BackupFile.raw_path,
            BackupFile.type,
            BackupFile.size,
            BackupFile.mtime_ns,
            BackupFile.ctime_ns,
            BackupFile.inode,
            BackupFile.partial,
            BackupFile.blake3,
            BackupFile.beyond,
        )
        .where(BackupFile.set_id == set_id, kind)
        .where(condition if condition is not None else true())
        .order_by(BackupFile.archive, BackupFile.position)
    )
    result = session.connection().execution_options(stream_results=True, yield_per=BLOCK).execute(query)
    for block in result.partitions():
        for row in block:
            yield _live(*row)


def _live(
    set_id: str, archive: int, position: int, path: str, raw_path: memoryview | bytes | None, *facts: Any
) -> Live:
    *known, digest, beyond = facts
    name = bytes(raw_path) if raw_path else path.encode()
    blake3 = bytes(digest) if digest else None
    found = Live._make((set_id, archive, position, name, *known, blake3))
    return found._replace(**beyond) if beyond else found
