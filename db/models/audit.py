"""Who did what, from where: kept for ever."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class AuditEntry(Base):
    """One act of a person, entered before it is done. A trigger lets only the outcome be added, once."""

    __tablename__ = "audit_entries"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    who: Mapped[str]
    role: Mapped[str | None]
    """The role of the login; None: the command line, which has no roles."""
    origin: Mapped[str]
    """The address of the browser, or the host and terminal of the command."""
    what: Mapped[str]
    """The button and its subject, the call of the API, or the command as it was typed, without secrets."""
    details: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'::jsonb"))
    """What was filled in, by field."""
    outcome: Mapped[str | None]
    """``done``, ``refused`` (the role may not), ``failed``; None: it was never learned."""
    outcome_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_audit_entries_who", "who", "id"),)
