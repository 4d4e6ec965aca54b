"""Drives and processes, their last known state, and what stops formats for all of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ForeignKey,
    Identity,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base
from policy.tapes.medium import MediumReport


class Drive(Base):
    """A drive, registered by its worker when it starts."""

    __tablename__ = "drives"

    name: Mapped[str] = mapped_column(primary_key=True)
    driver: Mapped[str]
    host: Mapped[str]
    worker: Mapped[str]
    queue: Mapped[str]
    registered_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    restore_roots: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """The folders of its host that restores may write to; none: its host names none."""
    medium: Mapped[MediumReport | None]
    """Its contents at the last inspection by a step or a poll."""
    medium_at: Mapped[datetime | None]
    alerts: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """Its warnings after its last run (a cleaning that is due), as messages."""
    eject_after: Mapped[int | None]
    """The run whose tape is ejected as soon as no run has the drive or is queued for it."""
    clean_after: Mapped[int | None]
    """The run after which the drive asked to be cleaned, until its library has tried to."""


class DriveCheck(Base):
    """A question to the worker of a drive, for the time of one command: the asker deletes the row."""

    __tablename__ = "drive_checks"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    drive: Mapped[str]
    sources: Mapped[list[Any]]
    """Paths to inspect, as the drive's host sees them."""
    commands: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'::jsonb"))
    """Names of commands of that host: those to find (``named``), and those to run (``checks``)."""
    asked_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    answer: Mapped[dict[str, Any] | None]


class Process(Base):
    """One of our processes, and the settings that it uses; it updates its row every minute."""

    __tablename__ = "processes"

    name: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    file: Mapped[str | None]
    """Where it read its settings; None: only from the environment."""
    read_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    channels: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """The names of those that it knows."""
    behind: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """Settings that differ in the file, and that take effect after a restart."""
    problem: Mapped[dict[str, Any] | None]
    """Why the file cannot be read now, as a message."""


class AlivePing(Base):
    """The sign of life that is sent to a monitoring service, once in some minutes: what became of it."""

    __tablename__ = "alive_pings"

    name: Mapped[str] = mapped_column(primary_key=True)
    """The setting with its address."""
    considered_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    """When the service accepted the last one."""
    withheld: Mapped[dict[str, Any] | None]
    """Why it was not sent, as a message: something urgent needs somebody."""
    error: Mapped[dict[str, Any] | None]
    """Why the service did not accept it, as a message."""
    failing_since: Mapped[datetime | None]


class ClockMark(Base):
    """A stretch of time without a leap; the newest row is the present one. A person began each other one but
    the first, by confirming that the clock was right."""

    __tablename__ = "clock_marks"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    begun_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    """The last sign of life in it."""
    leapt_from: Mapped[datetime | None]
    """The last sign of life before it; None: none is known."""
    confirmed_by: Mapped[str | None]
    why: Mapped[str | None]


class Freeze(Base):
    """No tape is formatted from this moment on, until a person lifts it by its name."""

    __tablename__ = "freezes"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    frozen_at: Mapped[datetime]
    frozen_by: Mapped[str | None]
    """None: the guard over the sources."""
    reason: Mapped[dict[str, Any]]
    """As a message."""
    run_id: Mapped[int | None] = mapped_column(ForeignKey("chain_runs.id"))
    """The run whose sources the guard did not trust."""
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[str | None]
    lifted_why: Mapped[str | None]
