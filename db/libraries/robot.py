"""The robot of a library is one: one move at a time over all drives and hosts, entered before it is made."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from sqlalchemy import Connection, func, select, text
from sqlalchemy.orm import Session

from db.models import RobotMove, TapeLibrary, now
from policy.message import Message

ABANDONED = timedelta(minutes=15)
"""After this time a move that nobody has closed is not under way any more."""


def try_lock(connection: Connection, name: str) -> bool:
    """Take the robot of a library for as long as the transaction of this connection lasts."""
    key = int.from_bytes(hashlib.blake2b(f"robot:{name}".encode(), digest_size=8).digest(), signed=True)
    return bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": key}))


def begin(
    session: Session,
    library: str,
    verb: str,
    source: int,
    target: int,
    *,
    barcode: str | None,
    run_id: int | None,
    asked_by: str,
) -> int:
    """Enter a move that is about to be made; the caller commits before the robot starts."""
    row = RobotMove(
        library=library,
        verb=verb,
        source=source,
        target=target,
        barcode=barcode,
        run_id=run_id,
        asked_by=asked_by,
        begun_at=now(),
    )
    session.add(row)
    session.flush()
    return row.id


def end(session: Session, number: int, outcome: Message | None = None) -> None:
    """Close a move. ``outcome``: why it did not end well."""
    row = session.get_one(RobotMove, number)
    row.ended_at, row.outcome = now(), outcome.to_json() if outcome else None


def is_served_by_hand(session: Session, drive: str) -> bool:
    """Whether a person's command loads or unloads a drive now; one that died counts for a while."""
    since = now() - ABANDONED
    by_hand = RobotMove.run_id.is_(None) & RobotMove.ended_at.is_(None) & (RobotMove.begun_at > since)
    rows = session.execute(
        select(RobotMove.verb, RobotMove.source, RobotMove.target, TapeLibrary.drives)
        .join(TapeLibrary, TapeLibrary.name == RobotMove.library)
        .where(by_hand, RobotMove.verb.in_(("load", "unload")))
    )
    numbers = ((source if verb == "unload" else target, drives) for verb, source, target, drives in rows)
    return any(drives.get(str(number)) == drive for number, drives in numbers)


def unfinished(session: Session, library: str) -> RobotMove | None:
    """The move that nobody has closed: its worker died, or it is under way."""
    open_ = (RobotMove.library == library) & RobotMove.ended_at.is_(None)
    return session.scalar(select(RobotMove).where(open_))


def last_of(session: Session, library: str, count: int = 10) -> list[RobotMove]:
    """The newest moves of a library, the newest first."""
    mine = select(RobotMove).where(RobotMove.library == library)
    return list(session.scalars(mine.order_by(RobotMove.id.desc()).limit(count)))


def exported(session: Session, library: str) -> frozenset[str]:
    """The barcodes that were moved last to be taken out."""
    made = (RobotMove.library == library) & RobotMove.barcode.is_not(None) & RobotMove.outcome.is_(None)
    newest = select(func.max(RobotMove.id)).where(made).group_by(RobotMove.barcode)
    rows = session.execute(select(RobotMove.barcode, RobotMove.verb).where(RobotMove.id.in_(newest)))
    return frozenset(barcode for barcode, verb in rows if barcode and verb == "export")
