"""The bracket of a run's commands: opened before ``before``, closed when nothing of ``after`` is owed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select, text
from sqlalchemy.orm import Session

from db.models import BackupArchive, ChainRun, CommandBracket, now
from db.states import ENDED, RunState

INTERRUPTED = "INTERRUPTED"
"""The outcome of a bracket whose ``before`` was cut off: ``after`` runs, and the bracket begins anew."""


def of(session: Session, run_id: int) -> CommandBracket | None:
    """The open bracket of a run; None: nothing is begun, or nothing is owed any more."""
    bracket = session.get(CommandBracket, run_id, populate_existing=True)
    return bracket if bracket is not None and bracket.closed_at is None else None


def begin(
    session: Session, run: ChainRun, *, host: str, after: Sequence[str], exclusive: Collection[str]
) -> int | None:
    """Open the bracket of a run, unless another run on this host has one of the same exclusive commands.

    Returns that run's number; None: it is open.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key(host)})
    others = select(CommandBracket).where(
        CommandBracket.host == host, CommandBracket.closed_at.is_(None), CommandBracket.run_id != run.id
    )
    for other in session.scalars(others.order_by(CommandBracket.run_id)):
        if set(other.exclusive) & set(exclusive):
            return other.run_id
    former = session.get(CommandBracket, run.id)
    values = {
        "drive": run.drive,
        "host": host,
        "exclusive": sorted(exclusive),
        "owed": list(after),
        "snapshots": former.snapshots if former else [],
        "begun_at": now(),
        "ready_at": None,
        "outcome": None,
        "tries": 0,
        "closed_at": None,
    }
    session.merge(CommandBracket(run_id=run.id, **values))
    session.flush()
    return None


def _key(host: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"commands:{host}".encode(), digest_size=8).digest(), signed=True)


def ready(session: Session, run_id: int) -> None:
    """Every command of ``before`` has succeeded."""
    session.get_one(CommandBracket, run_id).ready_at = now()


def ending(session: Session, run_id: int, outcome: str) -> list[dict[str, Any]]:
    """Begin the end of a bracket, with the outcome of its run, which stays as it is from now on. Returns the
    snapshots to remove first."""
    bracket = session.get(CommandBracket, run_id, with_for_update=True, populate_existing=True)
    if bracket is None or bracket.closed_at is not None:
        return []
    bracket.outcome = bracket.outcome or outcome
    return list(bracket.snapshots)


def snapshot_begins(session: Session, run_id: int, snapshot: Mapping[str, Any]) -> None:
    """Enter a snapshot, before it is made."""
    bracket = session.get_one(CommandBracket, run_id, with_for_update=True, populate_existing=True)
    bracket.snapshots = [*bracket.snapshots, dict(snapshot)]


def snapshot_is_gone(session: Session, run_id: int, name: str) -> None:
    """It was removed, or was never made."""
    bracket = session.get_one(CommandBracket, run_id, with_for_update=True, populate_existing=True)
    bracket.snapshots = [each for each in bracket.snapshots if each["name"] != name]


def snapshot_is_stuck(session: Session, run_id: int, name: str) -> None:
    """It could not be removed: it stays, and is not that of the run any more."""
    bracket = session.get_one(CommandBracket, run_id, with_for_update=True, populate_existing=True)
    bracket.snapshots = [
        {**each, "stuck": True} if each["name"] == name else each for each in bracket.snapshots
    ]


def left_behind(session: Session, host: str) -> list[tuple[int, dict[str, Any]]]:
    """The snapshots of a host that could not be removed when their runs ended, with these runs."""
    query = select(CommandBracket).where(
        CommandBracket.host == host,
        CommandBracket.snapshots != [],
        CommandBracket.closed_at.is_not(None),
    )
    rows = session.scalars(query.order_by(CommandBracket.run_id))
    return [(row.run_id, snapshot) for row in rows for snapshot in row.snapshots]


def is_open() -> ColumnElement[bool]:
    """The condition for a bracket with something left to do: a command, or a snapshot that could not be
    removed when the run ended."""
    return CommandBracket.closed_at.is_(None) | (CommandBracket.snapshots != [])


def home(session: Session) -> str:
    """Eight hexadecimal digits for this database, so that no other one's snapshots look like its own."""
    whole = session.scalar(select(func.database_home())) or ""
    return hashlib.blake2b(whole.encode(), digest_size=4).hexdigest()


def next_owed(session: Session, run_id: int, outcome: str) -> tuple[str, int, str] | None:
    """Begin the next command that a run owes: its name, how often it was begun before, and the outcome of
    the run, which stays as it was when ``after`` began. None: nothing is owed, and the bracket is closed."""
    bracket = session.get(CommandBracket, run_id, with_for_update=True, populate_existing=True)
    if bracket is None or bracket.closed_at is not None:
        return None
    bracket.outcome = bracket.outcome or outcome
    if not bracket.owed:
        bracket.closed_at = now()
        return None
    tries, bracket.tries = bracket.tries, bracket.tries + 1
    return bracket.owed[0], tries, bracket.outcome


def ended(session: Session, run_id: int, name: str) -> None:
    """A command of ``after`` has ended, in any way."""
    bracket = session.get(CommandBracket, run_id, with_for_update=True, populate_existing=True)
    if bracket is not None and bracket.owed[:1] == [name]:
        bracket.owed, bracket.tries = bracket.owed[1:], 0


_HAS_WRITTEN = exists().where(BackupArchive.set_id == ChainRun.set_id)


def owed(session: Session, drive: str | None = None) -> list[tuple[int, str]]:
    """The runs whose ``after`` is due, and their drives: the run has ended, is held, waits for a tape before
    it has written anything, or pauses: until the next night nothing stays quiesced, and no snapshot grows."""
    is_paused = (ChainRun.state == RunState.QUEUED) & ChainRun.opens_at.is_not(None)
    is_over = (
        ChainRun.state.in_([*ENDED, RunState.HELD])
        | is_paused
        | ((ChainRun.state == RunState.WAITING_FOR_TAPE) & ~_HAS_WRITTEN)
    )
    query = select(CommandBracket.run_id, CommandBracket.drive).join(ChainRun)
    query = query.where(CommandBracket.closed_at.is_(None), is_over, ~ChainRun.is_held)
    if drive is not None:
        query = query.where(CommandBracket.drive == drive)
    return [(number, at) for number, at in session.execute(query.order_by(CommandBracket.run_id))]
