"""Questions to the worker of a drive, and its answers: rows that exist while somebody waits for them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from db.models import DriveCheck, now

FORGOTTEN_AFTER = timedelta(hours=1)
"""A killed asker leaves its question behind."""


def ask(session: Session, drive: str, sources: list[str], commands: dict[str, Any]) -> int:
    """Store a question; returns its number."""
    asked = DriveCheck(drive=drive, sources=sources, commands=commands)
    session.add(asked)
    session.flush()
    return asked.id


def question(session: Session, number: int) -> DriveCheck | None:
    """The question, or None: nobody waits for its answer any more."""
    return session.get(DriveCheck, number)


def answer(session: Session, number: int, answered: dict[str, Any]) -> None:
    session.execute(update(DriveCheck).where(DriveCheck.id == number).values(answer=answered))


def withdraw(session: Session, number: int) -> None:
    """Delete the question, and forgotten ones."""
    forgotten = DriveCheck.asked_at < now() - FORGOTTEN_AFTER
    session.execute(delete(DriveCheck).where((DriveCheck.id == number) | forgotten))
