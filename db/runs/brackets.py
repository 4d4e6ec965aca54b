"""The bracket of a run's commands: opened before ``before``, closed when nothing of ``after`` is owed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from sqlalchemy import exists, select, text
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
    values = {
        "drive": run.drive,
        "host": host,
        "exclusive": sorted(exclusive),
        "owed": list(after),
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
    """The runs whose ``after`` is due, and their drives: the run has ended, is held, or waits for a tape
    before it has written anything."""
    is_over = ChainRun.state.in_([*ENDED, RunState.HELD]) | (
        (ChainRun.state == RunState.WAITING_FOR_TAPE) & ~_HAS_WRITTEN
    )
    query = select(CommandBracket.run_id, CommandBracket.drive).join(ChainRun)
    query = query.where(CommandBracket.closed_at.is_(None), is_over, ~ChainRun.is_held)
    if drive is not None:
        query = query.where(CommandBracket.drive == drive)
    return [(number, at) for number, at in session.execute(query.order_by(CommandBracket.run_id))]
