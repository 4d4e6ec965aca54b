"""What the commands of a run have begun on the drive's host, and what they still owe."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, now


class CommandBracket(Base):
    """The bracket of a run's commands: ``before`` has begun, and ``after`` is owed until ``closed_at``."""

    __tablename__ = "command_brackets"

    run_id: Mapped[int] = mapped_column(ForeignKey("chain_runs.id", ondelete="CASCADE"), primary_key=True)
    drive: Mapped[str]
    host: Mapped[str]
    exclusive: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """The commands of it for which runs on this host wait for each other."""
    owed: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """The commands of ``after`` that have not ended yet."""
    snapshots: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """Snapshots of sources, each entered before it is made, and gone from here once it is removed. In a
    closed bracket: those that could not be removed."""
    begun_at: Mapped[datetime] = mapped_column(default=now)
    ready_at: Mapped[datetime | None]
    """When every command of ``before`` had succeeded."""
    outcome: Mapped[str | None]
    """How the run ended, once ``after`` has begun: its state, or INTERRUPTED if ``before`` was cut off."""
    tries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """How often the first command of ``owed`` was begun."""
    closed_at: Mapped[datetime | None]
    """When nothing was owed any more."""

    __table_args__ = (
        Index("ix_command_brackets_open", "drive", postgresql_where=text("closed_at is null")),
        Index("ix_command_brackets_snapshots", "host", postgresql_where=text("snapshots <> '[]'::jsonb")),
    )
