"""How far a restore has come, on the drive host's disk: it outlives a break and a change of tapes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from backup.entry import Entry, Place, from_json, raw, to_line
from backup.spool import spooled, spooling
from policy.message import Message
from policy.paths import order

_SCHEMA = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS folders (key BLOB PRIMARY KEY, line BLOB) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS named (place TEXT PRIMARY KEY, path BLOB) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS twins (inode TEXT PRIMARY KEY, path BLOB) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS failures (path TEXT PRIMARY KEY, reason TEXT) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS done
        (set_id TEXT, archive INTEGER, PRIMARY KEY (set_id, archive)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS totals (files INTEGER, size INTEGER, kept INTEGER);
"""


class Restored:
    """What a process that ends leaves for the next one; a loss of power may cost it. Raises SpoolFailed."""

    @spooled
    def __init__(self, path: Path | None) -> None:
        """``path`` None: for one restore alone, in a file that has no name."""
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = sqlite3.connect(path or "", isolation_level=None)
        self._db.executescript(_SCHEMA)

    @spooled
    def close(self) -> None:
        self._db.close()

    @spooled
    def makes(self, path: bytes) -> None:
        """A folder is about to be made, on the way to what is in it: its own entry may come later."""
        self._db.execute("INSERT OR IGNORE INTO folders VALUES (?, NULL)", (order(path),))

    @spooled
    def made(self, path: bytes) -> bool:
        """Whether this restore made a folder, so that its metadata are to be set."""
        found = self._db.execute("SELECT 1 FROM folders WHERE key = ?", (order(path),))
        return found.fetchone() is not None

    @spooled
    def folder(self, entry: Entry) -> None:
        """The metadata of a folder, which come last; given twice, the later ones count."""
        self._db.execute(
            "INSERT OR REPLACE INTO folders VALUES (?, ?)", (order(raw(entry.path)), to_line(entry))
        )

    def folders(self) -> Iterator[Entry]:
        """The folders, what is deeper first."""
        with spooling():
            cursor = self._db.execute("SELECT line FROM folders WHERE line IS NOT NULL ORDER BY key DESC")
        while True:
            with spooling():
                row = cursor.fetchone()
            if row is None:
                return
            yield from_json(json.loads(row[0]))

    @spooled
    def name(self, set_id: str, entry: Entry, parts: tuple[bytes, ...]) -> None:
        """A file with several names is there under this one."""
        path = b"/".join(parts)
        self._db.execute("INSERT OR REPLACE INTO named VALUES (?, ?)", (_key(set_id, entry.place), path))
        self._db.execute("INSERT OR REPLACE INTO twins VALUES (?, ?)", (_inode(set_id, entry), path))

    @spooled
    def twin_of(self, set_id: str, entry: Entry) -> tuple[bytes, ...] | None:
        """Another name of the same file, restored from a cartridge that has its content too; or None."""
        key = (_inode(set_id, entry),)
        found = self._db.execute("SELECT path FROM twins WHERE inode = ?", key).fetchone()
        return tuple(found[0].split(b"/")) if found else None

    @spooled
    def name_of(self, set_id: str, place: Place) -> tuple[bytes, ...] | None:
        """The name under which the content of this place was restored, or None."""
        found = self._db.execute("SELECT path FROM named WHERE place = ?", (_key(set_id, place),)).fetchone()
        return tuple(found[0].split(b"/")) if found else None

    @spooled
    def failed(self, path: str, reason: Message) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO failures VALUES (?, ?)", (path, json.dumps(reason.to_json()))
        )

    @spooled
    def failures(self) -> int:
        """How many files could not be restored so far, on whatever tape."""
        return int(self._db.execute("SELECT count(*) FROM failures").fetchone()[0])

    @spooled
    def done(self, set_id: str, archive: int, files: int, size: int, kept: int) -> None:
        """All that is wanted of an archive is there, or has failed; the totals so far."""
        self._db.execute("BEGIN")
        self._db.execute("INSERT OR REPLACE INTO done VALUES (?, ?)", (set_id, archive))
        self._db.execute("DELETE FROM totals")
        self._db.execute("INSERT INTO totals VALUES (?, ?, ?)", (files, size, kept))
        self._db.execute("COMMIT")

    @spooled
    def is_done(self, set_id: str, archive: int) -> bool:
        found = self._db.execute("SELECT 1 FROM done WHERE set_id = ? AND archive = ?", (set_id, archive))
        return found.fetchone() is not None

    @spooled
    def totals(self) -> tuple[int, int, int]:
        """Files, bytes, and what was kept, when an archive was done last."""
        found = self._db.execute("SELECT files, size, kept FROM totals").fetchone()
        return (found[0], found[1], found[2]) if found else (0, 0, 0)


def _inode(set_id: str, entry: Entry) -> str:
    """What two names of one file have in common: also the content, whatever the numbers say."""
    content = entry.blake3.hex() if entry.blake3 else ""
    return f"{set_id} {entry.inode} {entry.ctime_ns} {entry.mtime_ns} {content}"


def _key(set_id: str, place: Place) -> str:
    return f"{set_id} {place.archive} {place.offset}"
