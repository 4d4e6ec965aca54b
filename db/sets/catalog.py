"""The catalogue: which set has which files, in which archive, on which cartridge and generation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

from psycopg2 import sql
from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, text, update
from sqlalchemy.orm import Session, aliased

from db.bigint import MAX_BIGINT, MIN_BIGINT, exact, nearest
from db.copying import copy_in
from db.errors import NotFound
from db.models import PATH_INDEXED, BackupArchive, BackupFile, BackupSet, BackupTask, TapeCartridge
from db.sets import names
from policy.message import M
from policy.sources import DUMPS
from policy.tapes import retention
from policy.tapes.facts import SetState

_SET_ID = re.compile(r"[0-9TZ]+-[0-9a-f]+")


class FileRow(NamedTuple):
    """One file of an archive. A number that its column cannot store is kept beside it (``beyond``)."""

    position: int
    path: str
    raw_path: bytes | None
    type: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    blake3: bytes | None
    partial: bool = False
    whole: int | None = None
    """Of a piece: the size of its file, as it was when the piece was read."""


def get(session: Session, set_id: str) -> BackupSet:
    """A set by its id. Raises NotFound."""
    stored = session.get(BackupSet, set_id)
    if stored is None:
        raise NotFound(M("There is no backup set '{set}'.", set=set_id), M("'tapeline sets' lists them."))
    return stored


def these(session: Session, ids: Sequence[str]) -> list[BackupSet]:
    """Sets by their ids, in this order, loaded at once. Raises NotFound."""
    rows = {stored.id: stored for stored in session.scalars(select(BackupSet).where(BackupSet.id.in_(ids)))}
    return [rows.get(set_id) or get(session, set_id) for set_id in ids]


def newest(session: Session, limit: int) -> Sequence[BackupSet]:
    """The newest so many sets, destroyed ones too."""
    return session.scalars(select(BackupSet).order_by(BackupSet.started_at.desc()).limit(limit)).all()


def newest_finished(session: Session, template_id: int) -> BackupSet | None:
    """The set of a template that was finished last, even if its tape was formatted since."""
    return session.scalar(
        select(BackupSet)
        .where(BackupSet.template_id == template_id, BackupSet.finished_at.is_not(None))
        .order_by(BackupSet.finished_at.desc())
        .limit(1)
    )


def keys_in_use(session: Session, is_key: Callable[[str], bool]) -> tuple[str, ...]:
    """The public keys that templates with sets encrypt to now, those of removed schedules too; if there are
    none, those that sets were encrypted to.

    Invalid keys are left out: nothing was ever encrypted to them, and the runs of their template report them.
    """
    for of_template in (True, False):
        query = select(BackupTask.encrypt_to).where(BackupTask.is_template.is_(of_template))
        keys_found = sorted(
            {key for keys in session.scalars(query.distinct()) for key in keys if is_key(key)}
        )
        if keys_found:
            return tuple(keys_found)
    return ()


def has_encrypted(session: Session) -> bool:
    """Whether the catalogue has sets whose names must stay secret."""
    return session.scalar(select(BackupSet.id).where(BackupSet.encrypted).limit(1)) is not None


def add_set(session: Session, new: BackupSet) -> None:
    """Put a new set into the catalogue, with a partition for its files."""
    session.add(new)
    session.flush()
    # The tables' owner creates it: the user of a drive host may not create any.
    session.execute(text("SELECT add_partition_of_files(:of_set)"), {"of_set": new.id})


def _partition(set_id: str) -> str:
    """The name of a set's partition; only ids that we made get into a statement."""
    if not _SET_ID.fullmatch(set_id):
        raise NotFound(M("'{set}' is not the id of a backup set.", set=set_id))
    return f'"backup_files_{set_id.lower()}"'


def add_archive(
    session: Session, archive: BackupArchive, files: Iterable[FileRow], *, deleted: int = 0
) -> None:
    """Enter a sealed archive and its files at once; the caller has sealed the volume before.

    ``deleted``: so many of the rows record that a file of the parent was deleted.
    """
    copy_files(session, archive.set_id, archive.number, files)
    note_archive(session, archive, deleted=deleted)


def copy_files(session: Session, set_id: str, archive: int, files: Iterable[FileRow]) -> None:
    """Enter the files of an archive, which may take minutes. It locks nothing that others wait for: a client
    that stops in the middle of it delays nobody."""
    head = f"{set_id}\t{archive}\t"
    cursor = session.connection().connection.cursor()
    copy_in(cursor, _COPY, (head + _line(file) for file in files))


def note_archive(session: Session, archive: BackupArchive, *, deleted: int) -> None:
    """Enter a sealed archive whose files were entered before, in the same transaction."""
    session.add(archive)
    session.execute(
        update(BackupSet)
        .where(BackupSet.id == archive.set_id)
        .values(
            files=BackupSet.files + archive.files,
            bytes=BackupSet.bytes + archive.content_bytes,
            deleted=BackupSet.deleted + deleted,
        )
    )
    session.flush()


_COPY = (
    "COPY backup_files (set_id, archive, position, path, raw_path, type, size, mtime_ns, ctime_ns, inode,"
    " beyond, partial, blake3) FROM STDIN"
)


def _line(file: FileRow) -> str:
    position, path, raw_path, kind, size, mtime_ns, ctime_ns, inode, blake3, partial, whole = file
    beyond = "\\N" if whole is None else json.dumps({WHOLE: whole})
    if min(mtime_ns, ctime_ns, inode) < MIN_BIGINT or max(size, mtime_ns, ctime_ns, inode) > MAX_BIGINT:
        numbers = {"size": size, "mtime_ns": mtime_ns, "ctime_ns": ctime_ns, "inode": inode}
        fitting, rest = nearest(numbers)
        size, mtime_ns, ctime_ns, inode = fitting.values()
        beyond = json.dumps(rest if whole is None else rest | {WHOLE: whole})
    return (
        f"{position}\t{_escape(path)}\t{_bytes(raw_path)}\t{kind}\t{size}\t{mtime_ns}\t{ctime_ns}\t{inode}"
        f"\t{beyond}\t{'t' if partial else 'f'}\t{_bytes(blake3)}\n"
    )


def _escape(value: str) -> str:
    if value.isprintable() and "\\" not in value:
        return value
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _bytes(value: bytes | None) -> str:
    return "\\N" if value is None else "\\\\x" + value.hex()


IN_ORDER = (
    "string_to_array(rtrim(convert_from(coalesce(raw_path, convert_to(path, 'UTF8')), 'LATIN1'), '/'), '/')"
    ' COLLATE "C"'
)
"""``policy.paths.order`` in SQL: name by name, a character for each byte. In one set it is the order of
(archive, position)."""

_COPY_KNOWN = sql.SQL(
    "COPY (SELECT path, raw_path, CASE type WHEN 'hardlink' THEN 'file' ELSE type END,"
    " CASE WHEN type IN ('file', 'hardlink') THEN coalesce(beyond->>'size', size::text) ELSE '0' END,"
    " coalesce(beyond->>'mtime_ns', mtime_ns::text), coalesce(beyond->>'ctime_ns', ctime_ns::text),"
    " coalesce(beyond->>'inode', inode::text), partial"
    " FROM backup_files WHERE set_id = ANY({sets}) AND type <> 'piece' ORDER BY {order}archive, position)"
    " TO STDOUT"
)
_NEWEST_FIRST = sql.SQL(IN_ORDER + ", array_position({sets}, set_id), ")


def copy_known(session: Session, newest_first: Sequence[str], sink: BinaryIO) -> None:
    """Write the rows that an increment compares with: one for each file of some sets, in the order of a set,
    in COPY's format; if several sets have a path, the newest first.

    Its columns are path, raw_path, type, size, mtime_ns, ctime_ns, inode, partial. For an increment, one more
    name of a file is a file like any other, and only files have a size.
    """
    sets = sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(map(sql.Literal, newest_first)))
    order = _NEWEST_FIRST.format(sets=sets) if len(newest_first) > 1 else sql.SQL("")
    query = _COPY_KNOWN.format(sets=sets, order=order)
    session.connection().connection.cursor().copy_expert(query, sink)


def complete(
    session: Session, set_id: str, *, finished_at: datetime, warnings: int, retention_days: int | None
) -> None:
    """The set is whole, on tape and sealed: since ``finished_at``, which is the time on the tape."""
    session.execute(
        update(BackupSet)
        .where(BackupSet.id == set_id)
        .values(
            state=SetState.COMPLETE,
            finished_at=finished_at,
            warnings=warnings,
            retention_until=retention.until(finished_at, retention_days),
        )
    )
    # Without it PostgreSQL estimates badly how to find a path until autovacuum runs. A drive host's own user
    # does not own the table: PostgreSQL then skips it with a notice.
    session.execute(text(f"ANALYZE {_partition(set_id)}"))


def last_file(session: Session, set_id: str) -> BackupFile | None:
    """The last file of the last sealed archive of a set: an interrupted backup continues after it."""
    return session.scalar(_backwards(set_id).where(BackupFile.type != "piece").limit(1))


def last_pieces(session: Session, set_id: str) -> list[BackupFile]:
    """The pieces after that file: the part on tape, of one state, of the file in whose middle the backup was
    interrupted."""
    pieces: list[BackupFile] = []
    for row in session.scalars(_backwards(set_id).execution_options(yield_per=100)):
        if row.type != "piece" or (pieces and not _is_of_one_state(row, pieces[0])):
            break
        pieces.append(row)
    return pieces[::-1]


def _is_of_one_state(row: BackupFile, last: BackupFile) -> bool:
    wholes = {each for each in (whole_of(row), whole_of(last)) if each is not None}
    return len(wholes) < 2 and _state(row) == _state(last)


def _state(row: BackupFile) -> tuple[Any, ...]:
    return row.path, row.raw_path, *(exact(row, name) for name in ("mtime_ns", "ctime_ns", "inode"))


WHOLE = "whole"
"""Among the numbers beside the columns of a piece: the size of its file."""


def whole_of(piece: BackupFile) -> int | None:
    """The size of the file of a piece; None if it is not known."""
    return (piece.beyond or {}).get(WHOLE) or None


def _backwards(set_id: str) -> Select[BackupFile]:
    query = select(BackupFile).where(BackupFile.set_id == set_id)
    return query.order_by(BackupFile.archive.desc(), BackupFile.position.desc())


def tapes(session: Session, set_id: str) -> list[TapeCartridge]:
    """The cartridges that a set needs, in the order of its archives."""
    stored = get(session, set_id)
    by_id = {archive.cartridge_id: archive.cartridge for archive in stored.archives}
    if not by_id and stored.cartridge_id:
        began = session.get(TapeCartridge, stored.cartridge_id)
        return [began] if began else []
    return list(by_id.values())


def broken_dumps(session: Session, set_id: str) -> list[str]:
    """The dumps of a set that broke off: pieces of them are on tape, and no file."""
    row, whole = aliased(BackupFile), aliased(BackupFile)
    is_dump = func.left(row.path, PATH_INDEXED).like(f"{DUMPS}%")
    there = exists().where(whole.set_id == set_id, whole.path == row.path, whole.type == "file")
    query = select(row.path).where(row.set_id == set_id, is_dump, row.type == "piece", ~there)
    return list(session.scalars(query.distinct().order_by(row.path)))


def wanted(paths: Iterable[str], patterns: Iterable[str] = ()) -> ColumnElement[bool] | None:
    """The condition that a file is, or is below, one of these paths or a match of one of these patterns;
    None, that is every file, if none is named. Paths are given as people read them."""
    conditions = [_at_or_below(path.rstrip("/")) for path in paths]
    conditions += [_matches(pattern) for pattern in patterns]
    return or_(*conditions) if conditions else None


def _matches(pattern: str) -> ColumnElement[bool]:
    like = names.like(pattern)
    return or_(BackupFile.path.like(like, escape="!"), BackupFile.path.like(f"{like}/%", escape="!"))


def _at_or_below(path: str) -> ColumnElement[bool]:
    """The condition that a file is this path or is below it, in a form that uses the index."""
    indexed = func.left(BackupFile.path, PATH_INDEXED)
    below = f"{path}/"
    return or_(
        and_(indexed == path[:PATH_INDEXED], BackupFile.path == path),
        and_(
            indexed.like(names.verbatim(below[:PATH_INDEXED]) + "%", escape="!"),
            BackupFile.path.like(names.verbatim(below) + "%", escape="!"),
        ),
    )
