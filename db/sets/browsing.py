"""The folders of a set as a tree, as they were at its time: a page of one folder, however large it is."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import LargeBinary, Select, func, select, tuple_
from sqlalchemy.orm import Session

from db.bigint import exact
from db.models import BackupFile, BackupSet
from policy.paths import as_stored

A_PAGE = 100
WIDER = 10
"""If so much of a folder was deleted that a page is short, the next look is so many times as wide."""
FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """What is in a folder, in its newest version."""

    path: str
    key: bytes
    """Its exact path, by which a folder is in order."""
    type: str
    size: int
    mtime_ns: int | None
    """None: a folder on the way to the sources, which no set describes."""
    set_id: str | None
    """The set that has it."""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A place in a set, up to which its part of a folder was read."""

    set_id: str
    archive: int
    position: int


@dataclass(frozen=True, slots=True)
class FolderPage:
    """A page of a folder."""

    children: list[FolderEntry]
    after: bytes | None
    """The key after which the next page begins; None: this is the last one."""
    place: FolderPlace | None = None
    """Where the next page begins in the oldest set: so it reads none of the names before it."""


def top(sets: Iterable[BackupSet]) -> str:
    """The folder in which everything is that some sets have."""
    sources = {_source(each) or "/" for stored in sets for each in stored.sources}
    return posixpath.commonpath(sources) if sources else "/"


def folder(
    session: Session,
    sets: Sequence[BackupSet],
    path: str,
    after: bytes = b"",
    size: int = A_PAGE,
    *,
    place: FolderPlace | None = None,
) -> FolderPage:
    """What was in a folder at the time of the last set of a chain, by name, after a key. ``place``: that of
    the page before; one of another set counts for nothing."""
    prefix = path.rstrip("/") + "/"
    rows: list[FolderEntry] = []
    begin: bytes | None = after
    start = place if place is not None and place.set_id == sets[0].id else None
    places: dict[bytes, FolderPlace | None] = {after: start}
    wide = size + 1
    while len(rows) <= size and begin is not None:
        some, begin = _some(session, sets, prefix, begin, wide, places=places)
        rows += some
        wide *= WIDER
    known = {each.key for each in rows}
    above = [each for each in _above_the_sources(sets, prefix) if each.key > after and each.key not in known]
    found = sorted([*rows, *above], key=lambda each: each.key)
    page = found[:size]
    if len(found) <= size:
        return FolderPage(page, None)
    end = page[-1].key
    return FolderPage(page, end, places[max(key for key in places if key <= end)])


def _source(given: str) -> str:
    return as_stored(given).rstrip("/")


def _above_the_sources(sets: Iterable[BackupSet], prefix: str) -> list[FolderEntry]:
    """The folders on the way to a source, which have no row."""
    sources = {_source(each) for stored in sets for each in stored.sources}
    below = [each[len(prefix) :] for each in sources if each.startswith(prefix)]
    paths = {prefix + each.partition("/")[0] for each in below if "/" in each}
    return [FolderEntry(path, path.encode(), FOLDER, 0, None, None) for path in paths]


def _some(
    session: Session,
    sets: Sequence[BackupSet],
    prefix: str,
    after: bytes,
    wide: int,
    *,
    places: dict[bytes, FolderPlace | None],
) -> tuple[list[FolderEntry], bytes | None]:
    """What is in a folder after a key, and the key up to which that is everything; None: to the end.

    The oldest set, which has most of it, shows so many names; they limit what is read of the others. Adds the
    place of each of these names to ``places``, which has the place of ``after``.
    """
    oldest, *others = [stored.id for stored in sets]
    query = _in_folder([oldest], prefix, after, None).order_by(BackupFile.archive, BackupFile.position)
    place = places[after]
    if place is not None:
        query = query.where(
            tuple_(BackupFile.archive, BackupFile.position) > tuple_(place.archive, place.position)
        )
    rows = list(session.scalars(query.limit(wide)))
    places |= {_key(row): FolderPlace(oldest, row.archive, row.position) for row in rows}
    last = _key(rows[-1]) if len(rows) == wide else None
    newest = {_key(row): row for row in rows}
    if others:
        query = _in_folder(others, prefix, after, last)
        ages = {set_id: age for age, set_id in enumerate(others)}
        newest |= {_key(row): row for row in sorted(session.scalars(query), key=lambda row: ages[row.set_id])}
    live = [
        FolderEntry(row.path, key, row.type, exact(row, "size"), exact(row, "mtime_ns"), row.set_id)
        for key, row in sorted(newest.items())
        if row.type != "deleted"
    ]
    return live, last


KEY = func.coalesce(BackupFile.raw_path, func.convert_to(BackupFile.path, "UTF8", type_=LargeBinary))
"""The exact path: what a folder is in order by, in a set and here."""


def _key(row: BackupFile) -> bytes:
    return bytes(row.raw_path) if row.raw_path else row.path.encode()


def _in_folder(ids: Sequence[str], prefix: str, after: bytes, last: bytes | None) -> Select[BackupFile]:
    query = select(BackupFile).where(
        BackupFile.set_id.in_(ids), func.file_folder(BackupFile.path) == func.file_folder(f"{prefix}.")
    )
    # PostgreSQL asks in this order: the first of them says no most often.
    if last is not None:
        query = query.where(last >= KEY)
    if after:
        query = query.where(after < KEY)
    return query.where(func.left(BackupFile.path, len(prefix)) == prefix, BackupFile.type != "piece")
