"""Versions of files: which match a search, and all of one file, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Text,
    func,
    literal,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, aliased

from db import sqlstate
from db.bigint import exact
from db.models import PATH_INDEXED, BackupArchive, BackupFile, BackupSet, BackupTask, TapeCartridge
from db.sets import catalog, names
from policy.errors import UsageError
from policy.message import M
from policy.tapes.facts import SetState

COUNTED = 100_000
"""More are not counted: that would take longer than a narrower search."""
SETS_AT_ONCE = 500
"""How many sets a statement searches: PostgreSQL plans for each of them."""
UNSEEN = ("deleted", "piece")
"""Types of rows that are no version of a file."""


@dataclass(frozen=True, slots=True)
class FileSearch:
    """What a file must be like."""

    pattern: str
    set_id: str | None = None
    """None: in every set that is not destroyed."""
    at_least: int | None = None
    at_most: int | None = None
    """Bytes."""
    changed_since: datetime | None = None
    changed_until: datetime | None = None


class VersionPlace(NamedTuple):
    """Where a page of versions ends."""

    set_id: str
    archive: int
    position: int


@dataclass(frozen=True, slots=True)
class FoundVersions:
    """The newest matching versions, in the form for scripts, and how many more there are."""

    versions: list[dict[str, Any]]
    more: int
    counted: int = COUNTED
    end: VersionPlace | None = None
    """Where the next ones begin; None: these were the last."""

    @property
    def is_counted(self) -> bool:
        """Whether ``more`` counts all of them, and not only up to the limit."""
        return self.more < self.counted


def find(
    session: Session,
    search: FileSearch,
    limit: int,
    *,
    after: VersionPlace | None = None,
    counted: int = COUNTED,
    seconds: int | None = None,
) -> FoundVersions:
    """The matches of the newest sets first, in each in its order. ``seconds``: how long a statement may take.

    Raises NotFound: there is no such set. Raises UsageError: it takes longer.
    """
    if seconds is not None:
        session.execute(text(f"SET LOCAL statement_timeout = {seconds * 1000:d}"))
    try:
        return _find(session, search, limit, after, counted)
    except DBAPIError as error:
        if not sqlstate.is_too_long(error.orig):
            raise
        raise UsageError(
            M(
                "The search for '{pattern}' takes longer than {seconds} s.",
                pattern=search.pattern,
                seconds=seconds,
            ),
            M("Write more of the name, without a slash; or use 'tapeline sets find', which waits."),
        ) from error


def _find(
    session: Session, search: FileSearch, limit: int, after: VersionPlace | None, counted: int
) -> FoundVersions:
    ids = _searched(session, search, after)
    condition = _condition(session, search)
    files: list[BackupFile] = []
    for first in range(0, len(ids), SETS_AT_ONCE):
        some = ids[first : first + SETS_AT_ONCE]
        files += session.scalars(_newest(some, condition, after, limit + 1 - len(files))).all()
        if len(files) > limit:
            break
    shown, is_more = files[:limit], len(files) > limit
    last = shown[-1] if is_more else None
    end = VersionPlace(last.set_id, last.archive, last.position) if last else None
    more = _count(session, ids, condition, end, counted) if end else 0
    return FoundVersions(_rows(session, shown), more, counted, end)


def of_file(
    session: Session, path: str, template_id: int, before: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """The versions of a file in the newest sets of a template, its deletions too; and the set before which
    older ones are looked for, if there are any."""
    query = select(BackupSet.id).where(
        BackupSet.template_id == template_id, BackupSet.state != SetState.DESTROYED
    )
    if before:
        query = query.where(BackupSet.id < before)
    ids = session.scalars(query.order_by(BackupSet.id.desc()).limit(SETS_AT_ONCE + 1)).all()
    looked = ids[:SETS_AT_ONCE]
    files = session.scalars(
        select(BackupFile)
        .where(BackupFile.set_id.in_(looked), BackupFile.type != "piece", BackupFile.path == path)
        .where(func.left(BackupFile.path, PATH_INDEXED) == path[:PATH_INDEXED])
        .order_by(BackupFile.set_id.desc(), BackupFile.archive.desc(), BackupFile.position.desc())
    ).all()
    return _rows(session, files), looked[-1] if len(ids) > len(looked) else None


def _searched(session: Session, search: FileSearch, after: VersionPlace | None) -> Sequence[str]:
    """The sets to search, the newest first: their ids begin with their time."""
    if search.set_id:
        return [catalog.get(session, search.set_id).id]
    query = select(BackupSet.id).where(BackupSet.state != SetState.DESTROYED)
    if after:
        query = query.where(BackupSet.id <= after.set_id)
    return session.scalars(query.order_by(BackupSet.id.desc())).all()


def _condition(session: Session, search: FileSearch) -> ColumnElement[bool]:
    condition = BackupFile.type.not_in(UNSEEN) & names.matches(session, search.pattern)
    if search.at_least is not None:
        condition &= BackupFile.size >= search.at_least
    if search.at_most is not None:
        condition &= BackupFile.size <= search.at_most
    if search.changed_since:
        condition &= BackupFile.mtime_ns >= _ns(search.changed_since)
    if search.changed_until:
        condition &= BackupFile.mtime_ns <= _ns(search.changed_until)
    return condition


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


def _newest(
    ids: Sequence[str], condition: ColumnElement[bool], after: VersionPlace | None, limit: int
) -> Select[Any]:
    """Set after set, as far as needed: a join would read all of them before the first."""
    begins = [(after.archive, after.position) if after and each == after.set_id else (0, 0) for each in ids]
    wanted = (
        func.unnest(
            literal(list(ids), ARRAY(Text)),
            literal([archive for archive, _ in begins], ARRAY(Integer)),
            literal([position for _, position in begins], ARRAY(BigInteger)),
        )
        .table_valued("id", "archive", "position")
        .render_derived(name="wanted")
    )
    of_set = (
        select(BackupFile)
        .where(BackupFile.set_id == wanted.c.id, BackupFile.set_id.in_(ids), condition)
        .where(tuple_(BackupFile.archive, BackupFile.position) > tuple_(wanted.c.archive, wanted.c.position))
        .order_by(BackupFile.archive, BackupFile.position)
        .limit(limit)
        .lateral("of_set")
    )
    return select(aliased(BackupFile, of_set)).select_from(wanted.join(of_set, true())).limit(limit)


def _count(
    session: Session, ids: Sequence[str], condition: ColumnElement[bool], after: VersionPlace, counted: int
) -> int:
    """How many matches there are after a place, up to a limit."""
    found, ids = 0, [each for each in ids if each <= after.set_id]
    for first in range(0, len(ids), SETS_AT_ONCE):
        some = ids[first : first + SETS_AT_ONCE]
        beyond = _newest(some, condition, after, counted - found).with_only_columns(literal(1)).subquery()
        found += session.scalars(select(func.count()).select_from(beyond)).one()
        if found >= counted:
            break
    return found


def _rows(session: Session, files: Sequence[BackupFile]) -> list[dict[str, Any]]:
    query = (
        select(BackupSet, BackupTask.name)
        .outerjoin(BackupTask, BackupTask.id == BackupSet.template_id)
        .where(BackupSet.id.in_({file.set_id for file in files}))
    )
    sets = {stored.id: (stored, template) for stored, template in session.execute(query)}
    tapes = _tapes(session, files)
    return [_as_json(file, *sets[file.set_id], tapes) for file in files]


def _tapes(session: Session, files: Sequence[BackupFile]) -> dict[tuple[str, str], list[str]]:
    """For each set and path the tapes to read, in their order: several if it is in pieces. A destroyed set is
    on none."""
    if not files:
        return {}
    pairs = sorted({(file.set_id, file.path) for file in files})
    wanted = (
        func.unnest(
            literal([set_id for set_id, _ in pairs], ARRAY(Text)),
            literal([path for _, path in pairs], ARRAY(Text)),
        )
        .table_valued("id", "path")
        .render_derived(name="wanted")
    )
    head = func.left(BackupFile.path, PATH_INDEXED)
    # File after file, through the index of paths: a join would read every row of their sets.
    places = (
        select(BackupFile.archive)
        .where(BackupFile.set_id == wanted.c.id, BackupFile.set_id.in_({set_id for set_id, _ in pairs}))
        .where(head == func.left(wanted.c.path, PATH_INDEXED), BackupFile.path == wanted.c.path)
        .order_by(BackupFile.archive, BackupFile.position)
        .lateral("places")
    )
    rows = session.execute(
        select(wanted.c.id, wanted.c.path, TapeCartridge.tape_id)
        .select_from(wanted.join(places, true()))
        .join(
            BackupArchive,
            (BackupArchive.set_id == wanted.c.id) & (BackupArchive.number == places.c.archive),
        )
        .join(TapeCartridge, TapeCartridge.id == BackupArchive.cartridge_id)
        .join(BackupSet, BackupSet.id == wanted.c.id)
        .where(BackupSet.state != SetState.DESTROYED)
        .order_by(wanted.c.id, wanted.c.path, places.c.archive)
    )
    by_file: dict[tuple[str, str], dict[str, None]] = {}
    for set_id, path, tape_id in rows:
        by_file.setdefault((set_id, path), {})[tape_id] = None
    return {key: list(tapes) for key, tapes in by_file.items()}


def _as_json(
    file: BackupFile, stored: BackupSet, template: str | None, tapes: dict[tuple[str, str], list[str]]
) -> dict[str, Any]:
    return {
        "set": file.set_id,
        "template": template,
        "path": file.path,
        "type": file.type,
        "size": exact(file, "size"),
        "mtime_ns": exact(file, "mtime_ns"),
        "backed_up_at": stored.started_at.isoformat(),
        "tapes": tapes.get((file.set_id, file.path), []),
        "archive": file.archive,
        "blake3": file.blake3.hex() if file.blake3 else None,
    }
