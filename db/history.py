"""What goes once a run has ended long ago: its story, its steps and its messages. Its row stays, and what it
wrote: sets, tapes, permits and the audit are never removed."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Delete, and_, delete, exists, or_, select, update
from sqlalchemy.orm import Session, aliased

from db import failures
from db.models import (
    ChainRun,
    ChainStep,
    CommandBracket,
    DriveCheck,
    Notification,
    RobotMove,
    RunEvent,
    now,
)
from db.runs import brackets
from db.states import RunState
from policy.message import M, Message

BATCH = 500
"""Rows of one transaction: it holds no lock for longer than a moment."""
ABANDONED = timedelta(days=1)
"""After that nobody waits any more for the answer to a question to a drive's worker."""
KEPT = frozenset({"drive_silent"})
"""Events without a run whose rows stay: what was announced once must not be announced again."""

_OF_A_RUN = (RunEvent, ChainStep, CommandBracket, Notification)


def in_words(at: str | None) -> Message:
    """What is shown in the place of a story that was removed at a time."""
    return M(
        "Its story, its steps and its messages were removed at {at}: the setting 'history_days' says how long"
        " they are kept. What it wrote is kept.",
        at=at or "-",
    )


def shorten(session: Session, before: datetime) -> int:
    """Remove the stories, steps and messages of some runs that ended before a moment, the oldest first;
    returns how many runs that were. A failure that is open keeps everything, and so does a run with a
    message to be sent, a command that is owed, or a snapshot that is still to be removed."""
    ended = ChainRun.state.in_([RunState.SUCCEEDED, RunState.SKIPPED, RunState.CANCELLED])
    unsent = exists().where(Notification.run_id == ChainRun.id, Notification.next_attempt_at.is_not(None))
    owed = exists().where(CommandBracket.run_id == ChainRun.id, brackets.is_open())
    runs = session.scalars(
        select(ChainRun.id)
        .where(
            ChainRun.finished_at < before,
            ChainRun.shortened_at.is_(None),
            or_(ended, failures.is_settled()),
            ~unsent,
            ~owed,
        )
        .order_by(ChainRun.finished_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True, of=ChainRun)
    ).all()
    if runs:
        for model in _OF_A_RUN:
            session.execute(delete(model).where(model.run_id.in_(runs)))
        session.execute(update(ChainRun).where(ChainRun.id.in_(runs)).values(shortened_at=now()))
    return len(runs)


def forget(session: Session, before: datetime) -> int:
    """Remove some old rows that belong to no run: messages, moves of a library, questions that nobody waits
    for; returns how many."""
    later = aliased(RobotMove)
    made_again = exists().where(
        later.library == RobotMove.library,
        later.barcode == RobotMove.barcode,
        later.id > RobotMove.id,
        later.outcome.is_(None),
        later.ended_at.is_not(None),
    )
    return sum(
        (
            _remove(
                session,
                Notification,
                and_(
                    Notification.run_id.is_(None),
                    Notification.created_at < before,
                    Notification.next_attempt_at.is_(None),
                    Notification.event.not_in(KEPT),
                ),
            ),
            # The last move of each cartridge shows where it is, and when a drive was cleaned.
            _remove(session, RobotMove, and_(RobotMove.ended_at < before, made_again)),
            _remove(session, DriveCheck, DriveCheck.asked_at < now() - ABANDONED),
        )
    )


def _remove(
    session: Session, model: type[Notification | RobotMove | DriveCheck], which: ColumnElement[bool]
) -> int:
    some = select(model.id).where(which).order_by(model.id).limit(BATCH)
    statement: Delete = delete(model).where(model.id.in_(some))
    return len(session.scalars(statement.returning(model.id)).all())
