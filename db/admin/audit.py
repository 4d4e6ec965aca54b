"""The audit: who did what, when, from where. Entries are only added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.models import AuditEntry

MAX_LENGTH = 500
"""Characters of one text; a longer one is cut."""


class Outcome(StrEnum):
    """How an act ended."""

    DONE = "done"
    REFUSED = "refused"
    """The role of the login does not allow it."""
    FAILED = "failed"


def enter(
    session: Session,
    *,
    who: str,
    origin: str,
    what: str,
    role: str | None = None,
    details: Mapping[str, str] | None = None,
    outcome: Outcome | None = None,
) -> int:
    """Enter an act, before it is done unless it is refused; returns the entry's number."""
    entry = AuditEntry(
        who=_cut(who),
        role=role,
        origin=_cut(origin),
        what=_cut(what),
        details={name: _cut(value) for name, value in (details or {}).items()},
        outcome=outcome,
        outcome_at=func.clock_timestamp() if outcome else None,
    )
    session.add(entry)
    session.flush()
    return entry.id


def settle(session: Session, number: int, outcome: Outcome) -> None:
    """Add how an act ended, unless that is known already."""
    session.execute(
        update(AuditEntry)
        .where(AuditEntry.id == number, AuditEntry.outcome.is_(None))
        .values(outcome=outcome, outcome_at=func.clock_timestamp())
    )


def entries(
    session: Session,
    *,
    limit: int,
    before: int | None = None,
    who: str | None = None,
    since: datetime | None = None,
) -> Sequence[AuditEntry]:
    """The newest entries, the newest first. ``before``: only those older than this number."""
    wanted = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(AuditEntry.id < before)
    if who is not None:
        wanted = wanted.where(AuditEntry.who == who)
    if since is not None:
        wanted = wanted.where(AuditEntry.at >= since)
    return session.scalars(wanted).all()


def as_json(entry: AuditEntry) -> dict[str, Any]:
    """The form for scripts."""
    return {
        "id": entry.id,
        "at": entry.at.isoformat(),
        "who": entry.who,
        "role": entry.role,
        "origin": entry.origin,
        "what": entry.what,
        "details": entry.details,
        "outcome": entry.outcome,
    }


def _cut(text: str) -> str:
    printable = "".join(each if each.isprintable() else " " for each in text)
    return printable if len(printable) <= MAX_LENGTH else f"{printable[: MAX_LENGTH - 1]}…"
