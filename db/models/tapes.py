"""Cartridges, pools and permits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, enum, now
from policy.tapes.facts import CartridgeState
from policy.tapes.medium import MediumReport


class TapePool(Base):
    """A named group of cartridges."""

    __tablename__ = "tape_pools"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class TapeCartridge(Base):
    """A physical tape, always the same row; its label changes, its row does not."""

    __tablename__ = "tape_cartridges"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tape_id: Mapped[str] = mapped_column(unique=True)
    label: Mapped[str | None] = mapped_column(index=True)
    generation: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """How many times it has been formatted; sets of earlier generations are gone."""
    permit_id: Mapped[int | None]
    """The format permit that its present generation was made under: a format is recorded once."""
    state: Mapped[CartridgeState] = mapped_column(enum(CartridgeState, "cartridge_state"))
    pool_id: Mapped[int | None] = mapped_column(ForeignKey("tape_pools.id"))
    volume_uuid: Mapped[str | None] = mapped_column(unique=True)
    serial: Mapped[str | None]
    medium_serial: Mapped[str | None] = mapped_column(unique=True)
    barcode: Mapped[str | None]
    capacity: Mapped[int | None]
    bytes_used: Mapped[int] = mapped_column(default=0, server_default="0")
    loads: Mapped[int | None]
    """This and the following: from drive and chip after the last run; None: they do not report it."""
    written_bytes: Mapped[int | None]
    write_errors: Mapped[int | None]
    read_errors: Mapped[int | None]
    tape_alerts: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    health_at: Mapped[datetime | None]
    wear: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """Which of these values were past their limits, as messages."""
    seen: Mapped[dict[str, Any] | None]
    """What a library's drive showed of it last, and when; None: nothing since somebody had it in hand."""
    formatted_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"), default=now)
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"), default=now, onupdate=now)

    pool: Mapped[TapePool | None] = relationship()


class ErasableTape(Base):
    """An operator's confirmation, at a drive, that nothing on a tape that LTFS cannot read is needed."""

    __tablename__ = "erasable_tapes"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    drive: Mapped[str]
    mark: Mapped[str | None] = mapped_column(index=True)
    """The cartridge's own serial, else its barcode; None: only its drive identifies it."""
    confirmed_by: Mapped[str]
    confirmed_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    """Since then it is invalid: it was used, or another tape was seen in the drive."""
    permit_id: Mapped[int | None] = mapped_column(ForeignKey("format_permits.id"))
    """The format permit that it was used for."""


class MountFailure(Base):
    """Why a volume could not be mounted: remembered until it mounts again."""

    __tablename__ = "mount_failures"

    mark: Mapped[str] = mapped_column(primary_key=True)
    """The volume's UUID; else a mark of the cartridge: its serial, its barcode, its label."""
    error: Mapped[dict[str, Any]]
    """The last error, with its remedy."""
    failed_at: Mapped[datetime] = mapped_column(default=now)


class FormatPermit(Base):
    """The answer to "may this run format this cartridge now?", and its outcome: an audit trail, in which the
    database permits only the use and the outcome to change, each of them once."""

    __tablename__ = "format_permits"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("chain_runs.id"))
    part: Mapped[int] = mapped_column(Integer)
    cartridge_id: Mapped[int | None] = mapped_column(ForeignKey("tape_cartridges.id"))
    drive: Mapped[str]
    identity: Mapped[MediumReport]
    label: Mapped[str]
    """The requested label."""
    allowed: Mapped[bool]
    denials: Mapped[list[Any]]
    reasons: Mapped[list[Any]]
    sets_lost: Mapped[list[Any]]
    decided_at: Mapped[datetime] = mapped_column(default=now)
    consumed_at: Mapped[datetime | None]
    outcome: Mapped[dict[str, Any] | None]
    outcome_at: Mapped[datetime | None]

    __table_args__ = (
        # After any repetition, redelivery or retry: a part of a run formats at most once.
        Index(
            "uq_format_permits_consumed",
            "run_id",
            "part",
            unique=True,
            postgresql_where=text("consumed_at is not null"),
        ),
        CheckConstraint("consumed_at is null or allowed", name="only_allowed_is_consumed"),
    )
