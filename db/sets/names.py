"""The names of files: what a pattern matches, and the indexes of each set that find it.

A set gets them after it is complete, from a process that has time: that takes a third of what an index costs
that grows with each row, and none of the backup's time. Every answer is right without them, and slower.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Text, and_, func, literal, select, text, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from db.models import BackupFile, BackupSet
from policy.tapes.facts import SetState

INDEXED_FROM = 1_000
"""Files of a set from which on its names get an index: fewer are read in a millisecond."""
INDEX_LIMIT = "2h"
"""How long an index may take: two minutes for five million names."""
_GRAM = 3
_TABLE, _FOLDERS, _INDEX = "backup_files_", "ix_folders_of_", "ix_names_of_"
_LOCK = 0x7A9F

NAME = func.lower(func.split_part(BackupFile.path, "/", -1))
"""The last part of a path in small letters."""


def matches(session: Session, pattern: str) -> ColumnElement[bool]:
    """The condition that a file's name contains ``pattern``, or matches it if it has ``*`` or ``?``; one with
    a slash is compared with the whole path. Case is ignored: people remember a name, not its spelling."""
    if "/" in pattern:
        return BackupFile.path.ilike(like(pattern), escape="!")
    small = session.scalar(select(func.lower(literal(pattern)))) or ""
    condition = NAME.like(like(small), escape="!")
    found = _grams(small)
    if not found:
        return condition
    indexed = type_coerce(func.file_name_grams(BackupFile.path), ARRAY(Text))
    return and_(indexed.contains(literal(found, ARRAY(Text))), condition)


def like(pattern: str) -> str:
    """A pattern of people for LIKE, with the escape character ``!``."""
    escaped = verbatim(pattern)
    if re.search(r"[*?]", pattern):
        return escaped.replace("*", "%").replace("?", "_")
    return f"%{escaped}%"


def verbatim(text_: str) -> str:
    """Text escaped for LIKE with the escape character ``!``."""
    return re.sub(r"([!%_])", r"!\1", text_)


def _grams(pattern: str) -> list[str]:
    """What the index has of every name that matches: as ``file_name_grams`` of the migrations."""
    if "\x01" in pattern:
        return []
    found: dict[str, None] = {}
    for piece in re.split(r"[*?]", pattern):
        found |= dict.fromkeys(piece[at : at + _GRAM] for at in range(len(piece) - _GRAM + 1))
        found |= dict.fromkeys(each for each in piece if not " " <= each <= "~")
    return list(found)


def unindexed(session: Session) -> Sequence[str]:
    """The complete sets that have no indexes yet, the newest first."""
    index = func.quote_ident(func.concat(_INDEX, func.lower(BackupSet.id)))
    table = func.quote_ident(func.concat(_TABLE, func.lower(BackupSet.id)))
    query = (
        select(BackupSet.id)
        .where(BackupSet.state == SetState.COMPLETE, BackupSet.files >= INDEXED_FROM)
        .where(func.to_regclass(index).is_(None), func.to_regclass(table).is_not(None))
    )
    return session.scalars(query.order_by(BackupSet.id.desc())).all()


def index(session: Session, set_id: str) -> bool:
    """Make the indexes of a set, to which nobody writes any more. False: another process is making some."""
    if not session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))):
        return False
    names = (f"{kind}{set_id.lower()}" for kind in (_TABLE, _FOLDERS, _INDEX))
    table, folders, grams = session.execute(select(*map(func.quote_ident, names))).one()
    session.execute(text(f"SET LOCAL statement_timeout = '{INDEX_LIMIT}'"))
    for name, method, columns in (
        (folders, "btree", "file_folder(path), archive, position"),
        (grams, "gin", "file_name_grams(path)"),
    ):
        session.execute(text(f"CREATE INDEX IF NOT EXISTS {name} ON {table} USING {method} ({columns})"))
    # Without it PostgreSQL does not know which letters are rare.
    session.execute(text(f"ANALYZE {table}"))
    return True
