"""Sets that need each other: an increment, its parent, and so on back to a full one."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar

from sqlalchemy import ARRAY, CTE, ColumnElement, Select, Text, and_, func, literal, select, text, true
from sqlalchemy.orm import Session, selectinload

from db.errors import NotFound
from db.models import BackupArchive, BackupFile, BackupSet, TapeCartridge
from db.sets import catalog
from db.sets.places import Places
from db.states import BackupType
from db.tapes import risk
from policy.message import M
from policy.paths import order
from policy.tapes.facts import SetState

R = TypeVar("R")

PIECE = "piece"
"""The type of a row that is a piece of a file; the row of the file itself follows."""
BLOCK = 10_000
"""Rows that the server sends at once."""
CURSORS = 64
"""How many streams of files are open at once at most."""


class Live(NamedTuple):
    """A file in its newest version of several sets."""

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
    before = ancestry(select(BackupSet.id).where(BackupSet.id == set_id))
    query = select(BackupSet).join(before, before.c.id == BackupSet.id)
    rows = {row.id: row for row in session.scalars(query)}
    sets = [rows.pop(set_id, None) or catalog.get(session, set_id)]
    while (parent := sets[-1].parent_id) is not None:
        if parent not in rows:
            raise NotFound(
                M("Set {set} follows itself: the catalogue is broken.", set=parent),
                M("Import its tape again: tapeline tape import"),
            )
        sets.append(rows.pop(parent))
    return sets[::-1]


def ancestry(of: Select[str]) -> CTE:
    """Some sets and all that they follow, by id, for a statement."""
    ancestors = of.cte("ancestry", recursive=True)
    # OFFSET keeps PostgreSQL from reading all sets for each link of a chain, however few it expects.
    parent = (
        select(BackupSet.parent_id.label("id"))
        .where(BackupSet.id == ancestors.c.id, BackupSet.parent_id.is_not(None))
        .offset(0)
        .lateral()
    )
    return ancestors.union(select(parent.c.id).select_from(ancestors.join(parent, true())))


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
    listed = list(sets)
    archives = _archives(session, listed)
    expected: dict[str, dict[str, int]] = {}
    for stored in listed:
        of_set = archives.get(stored.id, [])
        names = {a.name: a.bytes for a in of_set if (a.cartridge_id, a.generation) == here}
        if names or (not of_set and (stored.cartridge_id, stored.generation) == here):
            expected[stored.id] = names
    return expected


def _archives(session: Session, sets: Iterable[BackupSet]) -> dict[str, list[BackupArchive]]:
    """The archives of each of some sets, in their order, as the database has them now."""
    by_set: dict[str, list[BackupArchive]] = {}
    query = select(BackupArchive).where(BackupArchive.set_id.in_([stored.id for stored in sets]))
    rows = session.scalars(
        query.order_by(BackupArchive.number).options(selectinload(BackupArchive.cartridge)),
        execution_options={"populate_existing": True},
    )
    for archive in rows:
        by_set.setdefault(archive.set_id, []).append(archive)
    return by_set


FOLLOWED: tuple[ColumnElement[bool], ...] = (
    BackupSet.state == SetState.COMPLETE,
    BackupSet.expired_at.is_(None),
)
"""The conditions of a set that a new one may follow, if its chain is whole."""

NEWEST_FIRST = (BackupSet.started_at.desc(), BackupSet.id.desc())


def is_good() -> ColumnElement[bool]:
    """The condition that a set, as a part of a chain, does not break it."""
    return and_(
        BackupSet.state == SetState.COMPLETE, func.coalesce(BackupSet.damaged, 0) == 0, ~risk.at_risk()
    )


def parent_for(session: Session, template_id: int, wanted: BackupType) -> BackupSet | None:
    """The set that a new set of a type follows, or None: the newest set of the template, or its newest full
    one, whose whole chain is on tape and that is not marked as expired."""
    query = select(BackupSet.id).where(BackupSet.template_id == template_id, *FOLLOWED)
    if wanted is BackupType.DIFFERENTIAL:
        query = query.where(BackupSet.type == BackupType.FULL)
    newest_first = query.order_by(*NEWEST_FIRST)
    newest = session.scalar(newest_first.limit(1))
    if newest is None:
        return None
    sets = chain(session, newest)
    if is_whole(session, sets):
        return sets[-1]
    whole = whole_of(session, query)
    parent = next((set_id for set_id in session.scalars(newest_first) if whole[set_id]), None)
    return catalog.get(session, parent) if parent is not None else None


def whole_of(session: Session, ids: Select[str]) -> dict[str, bool]:
    """For some sets, and all that they follow, whether the whole chain is good. Loads no more of each than
    that needs."""
    before = ancestry(ids)
    rows = session.execute(
        select(BackupSet.id, BackupSet.parent_id, is_good()).join(before, before.c.id == BackupSet.id)
    )
    links = {set_id: (parent, good) for set_id, parent, good in rows}
    whole = Along({each: parent for each, (parent, _) in links.items()}, first=True, in_circle=False)
    return {
        each: whole.of(each, lambda set_id, parent_is_whole: links[set_id][1] and parent_is_whole)
        for each in links
    }


class Along(Generic[R]):
    """A value of sets that depends on that of the set that each follows; computed once for each set, for
    chains of any length."""

    def __init__(self, parents: Mapping[str, str | None], *, first: R, in_circle: R) -> None:
        """``first``: of what a set without a parent follows. ``in_circle``: of a set that follows itself."""
        self._parents = parents
        self._known: dict[str | None, R] = {None: first}
        self._in_circle = in_circle

    def of(self, set_id: str, step: Callable[[str, R], R]) -> R:
        """The value of a set. ``step``: the value of a set from that of the one that it follows."""
        path: list[str] = []
        ancestor: str | None = set_id
        while ancestor is not None and ancestor not in self._known:
            path.append(ancestor)
            self._known[ancestor] = self._in_circle
            ancestor = self._parents[ancestor]
        for follower in reversed(path):
            self._known[follower] = step(follower, self._known[self._parents[follower]])
        return self._known[set_id]


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


def archives_of(session: Session, sets: Iterable[BackupSet]) -> Iterator[BackupArchive]:
    """Every archive of a chain, in the order in which it was written."""
    listed = list(sets)
    archives = _archives(session, listed)
    for stored in listed:
        yield from archives.get(stored.id, [])


def tapes(session: Session, set_id: str, only: Collection[int] | None = None) -> list[TapeCartridge]:
    """The cartridges to read for the state of a set, the full one's first; ``only`` these, by their rows, be
    they the first choice or not."""
    sets = chain(session, set_id)
    archives = _archives(session, sets)
    places = Places(session, sets)
    begun = {stored.id: stored.cartridge_id for stored in sets if stored.id not in archives}
    query = select(TapeCartridge).where(TapeCartridge.id.in_({each for each in begun.values() if each}))
    rows = {row.id: row for row in session.scalars(query)}
    by_id: dict[int, TapeCartridge] = {}
    for stored in sets:
        for archive in archives.get(stored.id, []):
            for place in places.of(archive)[: None if only else 1]:
                by_id.setdefault(place.id, place)
        began = rows.get(begun.get(stored.id) or 0)
        if began is not None:
            by_id.setdefault(began.id, began)
    return [each for each in by_id.values() if only is None or each.id in only]


def instead_of(session: Session, set_id: str, wanted: Collection[int]) -> list[TapeCartridge]:
    """The cartridges with copies of what the state of a set has on the wanted ones."""
    sets = chain(session, set_id)
    return Places(session, sets).instead_of(archives_of(session, sets), wanted)


def tree(
    session: Session, sets: Iterable[BackupSet], condition: ColumnElement[bool] | None = None
) -> Iterator[Live]:
    """The state of a chain's sets, in the order of a set and in constant memory: the newest file of each
    path, unless it is deleted. ``condition``: on the columns of ``BackupFile``."""
    streams = [_keyed(_rows(session, group, condition), age) for age, group in enumerate(groups(sets))]
    last = None
    for key, _age, row in heapq.merge(*streams):
        if key != last and row.type != "deleted":
            yield row
        last = key


def groups(sets: Iterable[BackupSet]) -> list[list[str]]:
    """The sets of a chain, the newest first: each by itself; in a long chain several together, whose files
    the server sorts."""
    newest_first = [stored.id for stored in sets][::-1]
    size = max(-(-len(newest_first) // CURSORS), 1)
    return [newest_first[place : place + size] for place in range(0, len(newest_first), size)]


def known_files(session: Session, set_id: str) -> Iterator[Callable[[BinaryIO], None]]:
    """The rows that an increment compares with: a writer of files for each group of the sets that it
    follows."""
    for group in groups(chain(session, set_id)):
        yield partial(catalog.copy_known, session, group)


def pieces(
    session: Session, sets: Iterable[BackupSet], condition: ColumnElement[bool] | None = None
) -> dict[tuple[str, bytes], list[Live]]:
    """The pieces of cut files, by set and path, in order. A piece has some 4 GiB: there are few. They include
    those of a file that was begun again."""
    by_file: dict[tuple[str, bytes], list[Live]] = {}
    ids = [stored.id for stored in sets]
    query = _query(ids, BackupFile.type == PIECE, condition)
    for piece in _stream(session, query.order_by(BackupFile.set_id, BackupFile.archive, BackupFile.position)):
        by_file.setdefault((piece.set_id, piece.path), []).append(piece)
    return by_file


def pieces_of(file: Live, pieces: Sequence[Live]) -> list[Live]:
    """The pieces that make up a file: the last ones that add up to its size."""
    left, number = file.size, len(pieces)
    while left > 0 and number:
        number -= 1
        left -= pieces[number].size
    return list(pieces[number:]) if left == 0 else []


def _keyed(rows: Iterable[Live], age: int) -> Iterator[tuple[bytes, int, Live]]:
    for row in rows:
        yield order(row.path), age, row


def _rows(
    session: Session, newest_first: Sequence[str], condition: ColumnElement[bool] | None
) -> Iterator[Live]:
    """The files of some sets in the order of a set, for equal paths those of the newest first, by a
    server-side cursor. In each set that is the order of (archive, position)."""
    query = _query(newest_first, BackupFile.type != PIECE, condition)
    if len(newest_first) == 1:
        return _stream(session, query.order_by(BackupFile.archive, BackupFile.position))
    age = func.array_position(literal(list(newest_first), ARRAY(Text)), BackupFile.set_id)
    return _stream(
        session, query.order_by(text(catalog.IN_ORDER), age, BackupFile.archive, BackupFile.position)
    )


def _query(ids: Sequence[str], kind: ColumnElement[bool], condition: ColumnElement[bool] | None) -> Any:
    return (
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
        .where(BackupFile.set_id.in_(ids), kind)
        .where(condition if condition is not None else true())
    )


def _stream(session: Session, query: Select[Any]) -> Iterator[Live]:
    # For the statement, not for the connection: later statements of the transaction need no cursor.
    result = session.connection().execute(query.execution_options(stream_results=True, yield_per=BLOCK))
    for block in result.partitions():
        for row in block:
            yield _live(*row)


def _live(
    set_id: str, archive: int, position: int, path: str, raw_path: memoryview | bytes | None, *facts: Any
) -> Live:
    *known, digest, beyond = facts
    name = bytes(raw_path) if raw_path else path.encode()
    blake3 = bytes(digest) if digest else None
    live = Live._make((set_id, archive, position, name, *known, blake3))
    own = {name: number for name, number in (beyond or {}).items() if name in Live._fields}
    return live._replace(**own) if own else live
