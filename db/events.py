"""The story of a run: append-only events, and the outbox of messages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db import freezes
from db.models import ChainRun, Notification, RunEvent, now
from db.states import RunState, Step
from policy.message import Message

log = structlog.get_logger("tapeline.run")


def record(
    session: Session,
    run: ChainRun,
    message: Message,
    *,
    step: Step | None = None,
    level: str = "info",
) -> None:
    """Add a line to the run's story, and the same line to the log with the run's id."""
    session.add(RunEvent(run_id=run.id, part=run.part, step=step, level=level, message=message.to_json()))
    getattr(log, level)(str(message), run=run.id, part=run.part, step=step.value if step else None)


def is_told(session: Session, run: ChainRun, message: Message, *, since: datetime) -> bool:
    """Whether the run's story has had this very line since a moment."""
    same = (RunEvent.run_id == run.id) & (RunEvent.message == message.to_json()) & (RunEvent.at >= since)
    return session.scalar(select(RunEvent.id).where(same).limit(1)) is not None


ENDINGS = {
    RunState.SUCCEEDED: "success",
    RunState.FAILED: "failed",
    RunState.SKIPPED: "skipped",
    RunState.CANCELLED: "cancelled",
    RunState.WAITING_FOR_TAPE: "waiting_for_tape",
    RunState.HELD: "held",
}
"""The event that announces a state of a run."""


def announce(session: Session, run: ChainRun, event: str, facts: dict[str, Any]) -> None:
    """Put an event into the outbox. The caller must have the run's row locked, so that an event is sent
    once."""
    of_event = (Notification.run_id == run.id) & (Notification.event == event)
    occurrence = session.scalar(select(func.max(Notification.occurrence)).where(of_event)) or 0
    facts = {**facts, "frozen": _frozen(session)}
    session.add(Notification(run_id=run.id, event=event, occurrence=occurrence + 1, facts=facts))
    session.flush()


def announce_once(session: Session, about: str, event: str, facts: dict[str, Any]) -> bool:
    """Put an event that belongs to no run into the outbox, unless it was announced for this before."""
    facts = {**facts, "frozen": _frozen(session)}
    row = {"about": about, "event": event, "occurrence": 1, "facts": facts, "deliveries": {}, "attempts": 0}
    statement = insert(Notification).values(**row, created_at=now(), next_attempt_at=now())
    return session.scalar(statement.on_conflict_do_nothing().returning(Notification.id)) is not None


def _frozen(session: Session) -> dict[str, Any] | None:
    """Every message mentions that formats are frozen, or it would be forgotten."""
    reason = freezes.why(session)
    return reason.to_json() if reason else None


def newest_at(session: Session, *, other_than: int | None = None) -> datetime | None:
    """When the newest line of any run's story was written. ``other_than``: this run's lines do not count."""
    newest = select(RunEvent.at).order_by(RunEvent.id.desc()).limit(1)
    if other_than is not None:
        newest = newest.where(RunEvent.run_id != other_than)
    return session.scalar(newest)


def last_about(session: Session, head: str, event: str) -> Notification | None:
    """The newest notification of an event without a run whose subject begins with ``head``."""
    of_event = Notification.about.startswith(head, autoescape=True) & (Notification.event == event)
    return session.scalar(select(Notification).where(of_event).order_by(Notification.id.desc()).limit(1))


def is_announced(session: Session, head: str, event: str, *, about: str, since: datetime) -> bool:
    """Whether an event was announced for this very subject, or since a moment for one that begins with
    ``head``."""
    alike = Notification.about.startswith(head, autoescape=True) & (Notification.event == event)
    counts = (Notification.created_at > since) | (Notification.about == about)
    return session.scalar(select(Notification.id).where(alike, counts).limit(1)) is not None


def last_announced(session: Session, run: ChainRun, event: str) -> datetime | None:
    """When an event of a run was announced last."""
    last = last_of(session, run, event)
    return last.created_at if last else None


def last_of(session: Session, run: ChainRun, event: str) -> Notification | None:
    """The newest notification of a run's event."""
    of_event = (Notification.run_id == run.id) & (Notification.event == event)
    newest_first = Notification.occurrence.desc()
    return session.scalar(select(Notification).where(of_event).order_by(newest_first).limit(1))
