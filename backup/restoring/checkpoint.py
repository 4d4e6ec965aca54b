"""How far a restore has come, on the drive host's disk: it survives an interruption and a change of tapes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from backup.entry import Entry, Place, from_json, raw, to_line
from backup.spool import spooled, spooling
from policy.message import Message
from policy.paths import order

_SCHEMA = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS folders (key BLOB PRIMARY KEY, line BLOB) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS done
        (set_id TEXT, archive INTEGER, files INTEGER, size INTEGER, kept INTEGER, differing INTEGER,
         PRIMARY KEY (set_id, archive)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS there
        (set_id TEXT, archive INTEGER, path BLOB, kind INTEGER, size INTEGER, mtime_ns TEXT);
    CREATE INDEX IF NOT EXISTS there_of ON there (set_id, archive);
    CREATE TABLE IF NOT EXISTS named
        (place TEXT PRIMARY KEY, path BLOB, set_id TEXT, archive INTEGER) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS twins
        (inode TEXT PRIMARY KEY, path BLOB, set_id TEXT, archive INTEGER) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS pieces
        (of_file TEXT, position INTEGER, path BLOB, size INTEGER, whole INTEGER, blake3 BLOB, fate TEXT,
         set_id TEXT, archive INTEGER, PRIMARY KEY (of_file, position)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS wholes
        (of_file TEXT PRIMARY KEY, line BLOB, set_id TEXT, archive INTEGER,
         with_set TEXT, with_archive INTEGER) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS failures
        (path TEXT PRIMARY KEY, reason TEXT, set_id TEXT, archive INTEGER) WITHOUT ROWID;
"""
_OF_ARCHIVES = ("done", "there", "named", "twins", "pieces", "wholes", "failures")
_ROWS = 1000
"""So many are written at once."""


class There(NamedTuple):
    """What is in the target under a path, and is counted."""

    path: bytes
    kind: int
    """Its type bits."""
    size: int
    mtime_ns: int


class Fate(StrEnum):
    """The result of a piece of a file."""

    WRITTEN = "written"
    """It is in the file that gets the real name when all pieces are there."""
    SAME = "same"
    """A file of that name existed, and has the same content at this position."""
    DIFFERS = "differs"
    """That file has other content there."""


class Piece(NamedTuple):
    """A piece of a file, and its result."""

    offset: int
    path: bytes
    """Where the file will be, from the target."""
    size: int
    whole: int
    """The size of the file; 0: not known when the piece was written."""
    blake3: bytes
    fate: str


class RestoredCount(NamedTuple):
    """The results of the finished archives."""

    files: int
    size: int
    kept: int
    """Existed before, and is as in the backup."""
    differing: int
    """Existed before, differs from the backup, and stayed."""


class Restored:
    """The state that a process leaves for the next one. Raises SpoolFailed.

    Every note belongs to the archive that was begun last, and is discarded if that archive is not done when
    the file is opened again.
    """

    @spooled
    def __init__(self, path: Path | None) -> None:
        """``path`` None: for one restore only, in a file without a name."""
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = sqlite3.connect(path or "", isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._under_way = ("", 0)
        self._there: list[There] = []
        done = "SELECT set_id, archive FROM done"
        for table in _OF_ARCHIVES[1:]:
            self._db.execute(f"DELETE FROM {table} WHERE (set_id, archive) NOT IN ({done})")  # noqa: S608
        self._db.execute(f"{_WAITS_AGAIN} WHERE (with_set, with_archive) NOT IN ({done})")

    @spooled
    def close(self) -> None:
        self._db.close()

    @spooled
    def begin(self, set_id: str, archive: int) -> None:
        """The following notes belong to this archive."""
        self._under_way = set_id, archive

    @spooled
    def makes(self, path: bytes) -> None:
        """A folder is about to be made, on the way to its contents: its own entry may come later."""
        self._db.execute("INSERT OR IGNORE INTO folders VALUES (?, NULL)", (order(path),))

    @spooled
    def made(self, path: bytes) -> bool:
        """Whether this restore made a folder, so that its metadata must be set."""
        rows = self._db.execute("SELECT 1 FROM folders WHERE key = ?", (order(path),))
        return rows.fetchone() is not None

    @spooled
    def folder(self, entry: Entry) -> None:
        """The metadata of a folder, which are set last; if given twice, the later ones count."""
        self._db.execute(
            "INSERT OR REPLACE INTO folders VALUES (?, ?)", (order(raw(entry.path)), to_line(entry))
        )

    def folders(self) -> Iterator[Entry]:
        """The folders, deeper ones first."""
        with spooling():
            cursor = self._db.execute("SELECT line FROM folders WHERE line IS NOT NULL ORDER BY key DESC")
        while True:
            with spooling():
                row = cursor.fetchone()
            if row is None:
                return
            yield from_json(json.loads(row[0]))

    @spooled
    def there(self, restored: There) -> None:
        """This is in the target now, and counts."""
        self._there.append(restored)
        if len(self._there) == _ROWS:
            self._write_down()

    @spooled
    def name(self, set_id: str, entry: Entry, parts: tuple[bytes, ...]) -> None:
        """A file with several names is there under this one."""
        path = b"/".join(parts)
        for table, key in (("named", _key(set_id, entry.place)), ("twins", _inode(set_id, entry))):
            row = (key, path, *self._under_way)
            self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)", row)  # noqa: S608

    @spooled
    def twin_of(self, set_id: str, entry: Entry) -> tuple[bytes, ...] | None:
        """Another name of the same file, restored from a cartridge that has its content too; or None."""
        key = (_inode(set_id, entry),)
        row = self._db.execute("SELECT path FROM twins WHERE inode = ?", key).fetchone()
        return tuple(row[0].split(b"/")) if row else None

    @spooled
    def name_of(self, set_id: str, place: Place) -> tuple[bytes, ...] | None:
        """The name under which the content of this place was restored, or None."""
        row = self._db.execute("SELECT path FROM named WHERE place = ?", (_key(set_id, place),)).fetchone()
        return tuple(row[0].split(b"/")) if row else None

    @spooled
    def piece(self, set_id: str, entry: Entry, path: bytes, fate: Fate) -> None:
        """A piece of a file is done."""
        assert entry.part
        key = _file(set_id, entry)
        row = (key, entry.part.offset, path, entry.size, entry.part.whole, entry.blake3, fate.value)
        marks = ", ".join("?" * 9)
        self._db.execute(f"INSERT OR REPLACE INTO pieces VALUES ({marks})", (*row, *self._under_way))  # noqa: S608

    @spooled
    def pieces(self, set_id: str, entry: Entry) -> list[Piece]:
        """The finished pieces of a file, in order."""
        query = f"SELECT {_PIECE} FROM pieces WHERE of_file = ? ORDER BY position"  # noqa: S608
        return [Piece(*row) for row in self._db.execute(query, (_file(set_id, entry),))]

    @spooled
    def begins_anew(self, set_id: str, first: Entry) -> None:
        """The first piece of a file: pieces in earlier archives are from a former state of the file, before
        the backup was interrupted."""
        before = "DELETE FROM pieces WHERE of_file = ? AND archive <= ?"
        self._db.execute(before, (_file(set_id, first), self._under_way[1]))

    @spooled
    def together(self, set_id: str, entry: Entry) -> None:
        """All pieces of a file are in the file with its real name now. It no longer waits for one of the
        current archive, unless that archive must be done again."""
        key = _file(set_id, entry)
        fates = (Fate.SAME.value, key, Fate.WRITTEN.value)
        self._db.execute("UPDATE pieces SET fate = ? WHERE of_file = ? AND fate = ?", fates)
        put = "UPDATE wholes SET with_set = ?, with_archive = ? WHERE of_file = ?"
        self._db.execute(put, (*self._under_way, key))

    @spooled
    def wait(self, set_id: str, whole: Entry) -> None:
        """A file with missing pieces: they are on another tape."""
        row = (_file(set_id, whole), to_line(whole), *self._under_way)
        self._db.execute("INSERT OR REPLACE INTO wholes VALUES (?, ?, ?, ?, NULL, NULL)", row)

    @spooled
    def waiting(self, set_id: str, piece: Entry) -> Entry | None:
        """The file that waits for this piece, or for others of it."""
        query = "SELECT line FROM wholes WHERE of_file = ? AND with_archive IS NULL"
        row = self._db.execute(query, (_file(set_id, piece),)).fetchone()
        return from_json(json.loads(row[0])) if row else None

    @spooled
    def all_waiting(self) -> list[Entry]:
        """The files that wait for pieces, of any set."""
        query = "SELECT line FROM wholes WHERE with_archive IS NULL ORDER BY of_file"
        return [from_json(json.loads(row[0])) for row in self._db.execute(query)]

    @spooled
    def pieces_of(self, set_id: str, archive: int) -> list[Piece]:
        """The pieces of files in an archive."""
        query = f"SELECT {_PIECE} FROM pieces WHERE set_id = ? AND archive = ?"  # noqa: S608
        return [Piece(*row) for row in self._db.execute(query, (set_id, archive))]

    @spooled
    def in_pieces(self) -> list[bytes]:
        """The paths from the target of the files that come in pieces."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT path FROM pieces")]

    @spooled
    def has_failed(self, path: str) -> bool:
        """Whether part of a file could not be restored."""
        rows = self._db.execute("SELECT 1 FROM failures WHERE path = ?", (path,))
        return rows.fetchone() is not None

    @spooled
    def failed(self, path: str, reason: Message) -> None:
        row = (path, json.dumps(reason.to_json()), *self._under_way)
        self._db.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)", row)

    @spooled
    def failures(self) -> int:
        """How many files could not be restored so far, on any tape."""
        return int(self._db.execute("SELECT count(*) FROM failures").fetchone()[0])

    @spooled
    def done(self, count: RestoredCount) -> None:
        """All wanted entries of the current archive are in the target, and on its disk, or have failed."""
        self._db.execute("BEGIN")
        self._write_down()
        self._db.execute("INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?, ?, ?)", (*self._under_way, *count))
        self._db.execute("COMMIT")

    @spooled
    def is_done(self, set_id: str, archive: int) -> bool:
        rows = self._db.execute("SELECT 1 FROM done WHERE set_id = ? AND archive = ?", (set_id, archive))
        return rows.fetchone() is not None

    @spooled
    def all_done(self) -> list[tuple[str, int]]:
        """The archives that are done: set and number."""
        return self._db.execute("SELECT set_id, archive FROM done").fetchall()

    def of_archive(self, set_id: str, archive: int) -> Iterator[There]:
        """What counts, from an archive, as being in the target."""
        query = "SELECT path, kind, size, mtime_ns FROM there WHERE set_id = ? AND archive = ?"
        with spooling():
            cursor = self._db.execute(query, (set_id, archive))
        while True:
            with spooling():
                row = cursor.fetchone()
            if row is None:
                return
            path, kind, size, mtime_ns = row
            yield There(path, kind, size, int(mtime_ns))

    @spooled
    def undo(self, set_id: str, archive: int) -> None:
        """Part of an archive's result is missing now."""
        self._db.execute("BEGIN")
        for table in _OF_ARCHIVES:
            self._db.execute(f"DELETE FROM {table} WHERE set_id = ? AND archive = ?", (set_id, archive))  # noqa: S608
        self._db.execute(f"{_WAITS_AGAIN} WHERE with_set = ? AND with_archive = ?", (set_id, archive))
        self._db.execute("COMMIT")

    @spooled
    def forget_folder(self, path: bytes) -> None:
        """A folder that this restore made is missing: another one of its name is not ours."""
        self._db.execute("DELETE FROM folders WHERE key = ?", (order(path),))

    def made_folders(self) -> Iterator[bytes]:
        """The paths of the folders that this restore makes or fills."""
        last = b""
        while True:
            with spooling():
                query = "SELECT key FROM folders WHERE key > ? ORDER BY key LIMIT ?"
                keys = [row[0] for row in self._db.execute(query, (last, _ROWS))]
            if not keys:
                return
            last = keys[-1]
            yield from (key.replace(b"\0", b"/") for key in keys)

    @spooled
    def totals(self) -> RestoredCount:
        """The results of all finished archives."""
        sums = "coalesce(sum(files), 0), coalesce(sum(size), 0), coalesce(sum(kept), 0)"
        query = f"SELECT {sums}, coalesce(sum(differing), 0) FROM done"  # noqa: S608
        return RestoredCount(*self._db.execute(query).fetchone())

    def _write_down(self) -> None:
        # No number of SQLite can store the nanoseconds of the year 2300.
        rows = [(*self._under_way, *restored[:-1], str(restored.mtime_ns)) for restored in self._there]
        self._db.executemany("INSERT INTO there VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._there.clear()


_PIECE = "position, path, size, whole, blake3, fate"
_WAITS_AGAIN = "UPDATE wholes SET with_set = NULL, with_archive = NULL"


def _file(set_id: str, entry: Entry) -> str:
    return f"{set_id} {raw(entry.path).hex()}"


def _inode(set_id: str, entry: Entry) -> str:
    """What two names of one file have in common: also the content, regardless of the inode numbers."""
    content = entry.blake3.hex() if entry.blake3 else ""
    return f"{set_id} {entry.inode} {entry.ctime_ns} {entry.mtime_ns} {content}"


def _key(set_id: str, place: Place) -> str:
    return f"{set_id} {place.archive} {place.offset}"
