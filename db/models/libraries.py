"""Libraries: what their robots showed last, and every move before it is made."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class TapeLibrary(Base):
    """A media changer, entered by the first host that asks it."""

    __tablename__ = "libraries"

    name: Mapped[str] = mapped_column(primary_key=True)
    driver: Mapped[str]
    host: Mapped[str]
    """The host that asked it last."""
    drives: Mapped[dict[str, Any]]
    """The name of each drive, by its number in the changer."""
    clean_with: Mapped[str]
    """The barcodes of its cleaning cartridges."""
    cleaners: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'::jsonb"))
    """How often each cleaning cartridge has cleaned, by its barcode, and whether it is worn out."""
    inventory: Mapped[dict[str, Any]]
    """What was where (``tape.changer.Inventory``). Slot numbers are no identities: an operator exchanges
    cartridges."""
    read_at: Mapped[datetime]
    old: Mapped[dict[str, Any] | None]
    """Why the inventory is not believed until the robot has read the barcodes again, as a message."""


class RobotMove(Base):
    """A move of a library's robot: entered before it begins, closed after it."""

    __tablename__ = "library_moves"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    library: Mapped[str] = mapped_column(ForeignKey("libraries.name"))
    verb: Mapped[str]
    """``load``, ``unload``, ``move``; or ``export``, a move into a mail slot, to be taken out."""
    source: Mapped[int]
    """A slot, or for ``unload`` the number of a drive."""
    target: Mapped[int]
    """A slot, or for ``load`` the number of a drive."""
    barcode: Mapped[str | None]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("chain_runs.id"))
    asked_by: Mapped[str]
    begun_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[dict[str, Any] | None]
    """Why it did not end well, or what a new inventory showed of it, as a message; None: it was made."""

    __table_args__ = (
        # One move at a time, over all drives and hosts.
        Index("uq_library_moves_open", "library", unique=True, postgresql_where=text("ended_at is null")),
    )
