"""A catalogue of one large folder tree: a full set and the increments that follow it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.models import BackupArchive, BackupFile, BackupSet, TapeCartridge
from db.sets import catalog
from db.states import BackupType
from policy.tapes.facts import SetState

BEGAN = datetime(2026, 1, 1, 20, tzinfo=UTC)
IN_A_FOLDER, CHANGED = 250, 2_000
"""Files of a folder, and of an increment."""
SETS = 200
FLAT, FOLDER = "/data/flat", "/data/d0000/s001"
"""A folder with a fifth of all files, and one as people have them."""
FILE = f"{FOLDER}/IMG-401.csv"
PAGES = {
    "the top of the tree": "/files?path=/data",
    "a folder of 200": f"/files?path={FOLDER}",
    "a folder with a fifth of all": f"/files?path={FLAT}",
    "versions of a file": f"/files/versions?template=tree&path={FILE}",
    "search: a whole name": "/files/search?name=IMG-401.csv",
    "search: 合同-1234": "/files/search?name=合同-1234",
    "search: report, with a seventh of all": "/files/search?name=report",
    "search: *.pdf of at least 80 MB": "/files/search?name=*.pdf&larger=80MB",
    "search: nothing like it": "/files/search?name=zzzz",
}
PARTS = {
    "rows": r"backup\_files\_2026%-____",
    "paths": r"backup\_files\_2026%left\_idx",
    "places": r"backup\_files\_2026%pkey",
    "folders": r"ix\_folders\_of\_%",
    "names": r"ix\_names\_of\_%",
}
"""The names of the tables and indexes of the files, for LIKE."""

_TREE = """
CREATE UNLOGGED TABLE made AS
SELECT path, kind, size, row_number() OVER (ORDER BY replace(path, '/', chr(1)) COLLATE "C") AS position
FROM (
    SELECT CASE WHEN n % 5 = 0 THEN '/data/flat/'
        ELSE '/data/d' || lpad((n / 25000)::text, 4, '0') || '/s' || lpad((n / 250 % 100)::text, 3, '0')
        || '/' END
        || (ARRAY['report', 'invoice', 'IMG', '合同', 'scan', 'mail', 'backup'])[1 + n % 7] || '-' || n
        || (ARRAY['.pdf', '.jpg', '.xlsx', '.docx', '.txt', '.csv'])[1 + n % 6] AS path,
        'file' AS kind, (n * 7919::bigint) % 90000000 + 100 AS size
    FROM generate_series(0, :files - 1) n
    UNION ALL SELECT unnest(ARRAY['/data', '/data/flat']), 'folder', 0
    UNION ALL SELECT '/data/d' || lpad(n::text, 4, '0'), 'folder', 0
    FROM generate_series(0, (:files - 1) / 25000) n
    UNION ALL SELECT '/data/d' || lpad((n / 100)::text, 4, '0') || '/s' || lpad((n % 100)::text, 3, '0'),
        'folder', 0
    FROM generate_series(0, (:files - 1) / 250) n
) AS each
"""
_FILES = """
INSERT INTO backup_files (set_id, archive, position, path, type, size, mtime_ns, ctime_ns, inode, blake3)
SELECT :set, 1, position, path, kind, size, 1760000000000000000 + position * 1000000000, 0, position,
    decode(repeat(md5(path), 2), 'hex')
FROM made WHERE :share = 1 OR hashtext(path || :set) % :share = 0 OR (kind = 'folder' AND position < 100)
ORDER BY position
"""


def middle(session: Session) -> str:
    """The address of a page in the middle of the largest folder, as the page before it links to it."""
    key = f"{FLAT}/mail-2"
    oldest = session.scalar(select(func.min(BackupSet.id)))
    before = select(func.max(BackupFile.position)).where(
        BackupFile.set_id == oldest, BackupFile.path < key, BackupFile.path > f"{FLAT}/"
    )
    return f"/files?path={FLAT}&after={key.encode().hex()},{oldest},1,{session.scalar(before)}"


def fill(session: Session, template: int, tape: TapeCartridge, files: int) -> None:
    """A full set of so many files and, each a day later, the increments that follow it."""
    session.execute(text(_TREE), {"files": files})
    parent = None
    for number in range(SETS):
        at = BEGAN + timedelta(days=number)
        set_id = f"{at:%Y%m%dT%H%M%SZ}-{number:04x}"
        share = max(files // CHANGED, 2) if parent else 1
        stored = BackupSet(
            id=set_id, template_id=template, cartridge_id=tape.id, generation=tape.generation,
            parent_id=parent,
            type=BackupType.INCREMENTAL if parent else BackupType.FULL, state=SetState.COMPLETE,
            sources=["/data"], files=files // share, bytes=10**12 // share, started_at=at, finished_at=at,
        )  # fmt: skip
        catalog.add_set(session, stored)
        session.add(
            BackupArchive(
                set_id=set_id, number=1, cartridge_id=tape.id, generation=tape.generation,
                name="data-000001.tar", bytes=10**12 // share, sha256="0", files=files // share,
                content_bytes=10**12 // share, record={},
            )
        )  # fmt: skip
        session.flush()
        session.execute(text(_FILES), {"set": set_id, "share": share})
        session.execute(text(f'ANALYZE "backup_files_{set_id.lower()}"'))
        parent = set_id
    session.execute(text("DROP TABLE made"))
