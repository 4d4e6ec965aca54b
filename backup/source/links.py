"""Which inodes with several names are stored already, and where: on disk, for sets of any size."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from backup.entry import Entry, Place, raw, text
from backup.spool import spooled

_SCHEMA = """
    PRAGMA journal_mode = DELETE;
    CREATE TABLE IF NOT EXISTS stored (
        dev, inode, facts, archive INTEGER, path BLOB, sparse INTEGER, blake3 BLOB, place TEXT,
        PRIMARY KEY (dev, inode)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS cut (dev, inode, path BLOB, PRIMARY KEY (dev, inode)) WITHOUT ROWID;
    CREATE TEMP TABLE counted (dev, inode, PRIMARY KEY (dev, inode)) WITHOUT ROWID;
"""


class First(NamedTuple):
    """The name under which an inode's content is stored."""

    path: str
    sparse: bool
    blake3: bytes
    place: Place


class LinkTable:
    """The names of this set that can be linked to. Only those of sealed archives survive a crash."""

    @spooled
    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")

    @spooled
    def keep(self, archives: set[int]) -> None:
        """Discard names in any other archive: those do not count."""
        for (number,) in self._db.execute("SELECT DISTINCT archive FROM stored").fetchall():
            if number not in archives:
                self._db.execute("DELETE FROM stored WHERE archive = ?", (number,))
        self.commit()

    @spooled
    def count(self, dev: int, inode: int) -> bool:
        """Whether the scan meets this inode for the first time."""
        key = (str(dev), str(inode))
        return self._db.execute("INSERT OR IGNORE INTO counted VALUES (?, ?)", key).rowcount == 1

    @spooled
    def find(self, dev: int, entry: Entry) -> First | None:
        """The stored name of the same inode, if the inode has not changed since. If two files only share its
        number, their other facts differ."""
        row = self._db.execute(
            "SELECT path, sparse, blake3, place FROM stored WHERE dev = ? AND inode = ? AND facts = ?",
            (str(dev), str(entry.inode), _facts(entry)),
        ).fetchone()
        if row is None:
            return None
        return First(text(row[0]), bool(row[1]), row[2], Place(*map(int, row[3].split())))

    @spooled
    def add(self, dev: int, entry: Entry) -> None:
        """Record that an inode with several names was stored under this one."""
        place = " ".join(map(str, entry.place))
        self._db.execute(
            "INSERT OR REPLACE INTO stored VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                str(dev),
                str(entry.inode),
                _facts(entry),
                entry.place.archive,
                raw(entry.path),
                entry.sparse,
                entry.blake3,
                place,
            ),
        )

    @spooled
    def is_first_cut(self, dev: int, entry: Entry) -> bool:
        """Whether this is the first name of a file that is stored in pieces under each of its names."""
        key = (str(dev), str(entry.inode))
        self._db.execute("INSERT OR IGNORE INTO cut VALUES (?, ?, ?)", (*key, raw(entry.path)))
        row = self._db.execute("SELECT path FROM cut WHERE dev = ? AND inode = ?", key).fetchone()
        return bool(row[0] == raw(entry.path))

    @spooled
    def commit(self) -> None:
        """The names added so far are in sealed archives."""
        self._db.execute("COMMIT")
        self._db.execute("BEGIN")

    @spooled
    def close(self) -> None:
        self._db.close()


def _facts(entry: Entry) -> str:
    """What all names of one inode have in common."""
    return f"{entry.ctime_ns} {entry.mtime_ns} {entry.size} {entry.mode} {entry.uid} {entry.gid}"
