"""Backup sets, their archives and files."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from db.bigint import Whole
from db.models.base import Base, enum, is_elsewhere, now
from db.models.tapes import TapeCartridge
from db.states import BackupType
from policy.tapes.facts import SetState


class BackupSet(Base):
    """What one run wrote."""

    __tablename__ = "backup_sets"

    id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("chain_runs.id"), unique=True)
    template_id: Mapped[int | None] = mapped_column(ForeignKey("backup_tasks.id"))
    template_name: Mapped[str | None]
    """The name on its tape: for an imported set, the template may be created later."""
    cartridge_id: Mapped[int | None] = mapped_column(ForeignKey("tape_cartridges.id"))
    """Where it begins, with ``generation``; the archives record where each part of it is."""
    generation: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    type: Mapped[BackupType] = mapped_column(enum(BackupType, "set_type"))
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("backup_sets.id"), index=True)
    """The set on which this one's changes are based; None for a full one."""
    state: Mapped[SetState] = mapped_column(enum(SetState, "set_state"))
    period: Mapped[str | None]
    sources: Mapped[list[Any]]
    files: Mapped[int] = mapped_column(default=0, server_default="0")
    bytes: Mapped[int] = mapped_column(Whole, default=0, server_default="0")
    deleted: Mapped[int] = mapped_column(default=0, server_default="0")
    """Deleted files of the parent."""
    warnings: Mapped[int] = mapped_column(default=0, server_default="0")
    encrypted: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    retention_until: Mapped[datetime | None]
    keep_sets: Mapped[int | None] = mapped_column(Integer)
    """It is kept while it is one of so many newest complete sets of its template and type."""
    expired_at: Mapped[datetime | None]
    """When it was marked as no longer needed; that erases nothing."""
    verified_at: Mapped[datetime | None]
    verified_percent: Mapped[int | None] = mapped_column(Integer)
    damaged: Mapped[int | None] = mapped_column(Integer)
    """What the last verification found damaged: files, indexes and documents."""
    destroyed_at: Mapped[datetime | None]
    survey: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Its sources as they were before its first byte (``policy.sources.Survey``); None: not surveyed."""
    accepted: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """It was held for doubts about its sources; who accepted them, when and why."""
    home: Mapped[str] = mapped_column(server_default=text("database_home()"))
    """The database that it was created in."""
    is_restored: Mapped[bool] = column_property(is_elsewhere(home), expire_on_flush=False)
    """It was copied here from another database, which may have written more after the copy."""

    archives: Mapped[list[BackupArchive]] = relationship(order_by="BackupArchive.number")

    __table_args__ = (
        # For the newest set of a template, and the number after one: reads no others of years of sets.
        Index("ix_backup_sets_template_id", "template_id", "started_at"),
        # For the newest set on a tape, and for the one that keeps it longest.
        Index("ix_backup_sets_cartridge_id", "cartridge_id", "generation", "started_at"),
        Index("ix_backup_sets_kept_on", "cartridge_id", "generation", "retention_until"),
        Index("ix_backup_sets_damaged", "id", postgresql_where=text("damaged > 0")),
        # Increments of which nobody knows what they follow: a few, asked for with each tape.
        Index("ix_backup_sets_astray", "id", postgresql_where=text("parent_id is null and type <> 'full'")),
    )


class BackupArchive(Base):
    """One sealed archive of a set, and its position: on this cartridge, of this generation."""

    __tablename__ = "backup_archives"

    set_id: Mapped[str] = mapped_column(ForeignKey("backup_sets.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    cartridge_id: Mapped[int] = mapped_column(ForeignKey("tape_cartridges.id"))
    generation: Mapped[int] = mapped_column(Integer)
    name: Mapped[str]
    bytes: Mapped[int]
    sha256: Mapped[str]
    files: Mapped[int]
    content_bytes: Mapped[int] = mapped_column(Whole)
    record: Mapped[dict[str, Any]]
    """The archive's line as the set's manifest on tape has it."""
    sealed_at: Mapped[datetime] = mapped_column(default=now)

    cartridge: Mapped[TapeCartridge] = relationship()

    __table_args__ = (
        Index("ix_backup_archives_cartridge_id", "cartridge_id", "generation", "sealed_at"),
        # What was written in a month, without reading the rows.
        Index("ix_backup_archives_sealed_at", "sealed_at", postgresql_include=["bytes"]),
    )


class ArchiveCopy(Base):
    """A copy of a sealed archive, with its index, on another cartridge than the archive: as good as that one
    if it is lost. While it is on the present generation of its cartridge, its set is on that tape."""

    __tablename__ = "archive_copies"

    set_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    cartridge_id: Mapped[int] = mapped_column(ForeignKey("tape_cartridges.id"), primary_key=True)
    generation: Mapped[int] = mapped_column(Integer, primary_key=True)
    copied_at: Mapped[datetime] = mapped_column(default=now)
    """When it was written, or found on its tape."""
    verified_at: Mapped[datetime | None]
    """When the set's copy on this tape was read back last."""
    damaged: Mapped[int | None] = mapped_column(Integer)
    """What was found damaged then of the set's copy on this tape."""

    cartridge: Mapped[TapeCartridge] = relationship()

    __table_args__ = (
        ForeignKeyConstraint(
            ["set_id", "number"], ["backup_archives.set_id", "backup_archives.number"], ondelete="CASCADE"
        ),
        Index("ix_archive_copies_cartridge_id", "cartridge_id", "generation", "copied_at"),
    )


PATH_INDEXED = 255
"""How many characters of a path the index has."""


class BackupFile(Base):
    """One file of a set. Partitioned by set, so that an expired set can be removed at once."""

    __tablename__ = "backup_files"

    set_id: Mapped[str] = mapped_column(primary_key=True)
    archive: Mapped[int] = mapped_column(Integer, primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    """The place in the archive's order: restore reads by (archive, position)."""
    path: Mapped[str]
    """For people and searches; bytes that are not UTF-8 are shown escaped."""
    raw_path: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The exact name if ``path`` cannot store it."""
    type: Mapped[str] = mapped_column(String(8))
    size: Mapped[int]
    mtime_ns: Mapped[int]
    ctime_ns: Mapped[int]
    inode: Mapped[int]
    beyond: Mapped[dict[str, Any] | None]
    """Those of the four numbers above that no column can store, by name; their columns have the nearest. Of a
    piece also the size of its file."""
    partial: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """The copy on tape is no single state of the file: the next increment stores it again."""
    blake3: Mapped[bytes | None] = mapped_column(LargeBinary)

    # No foreign key: a partition is created and dropped together with its set, and loads faster without.
    __table_args__ = (
        # A path may be longer than an index row; its first part finds it, the path itself decides.
        Index(
            "ix_backup_files_path",
            literal_column(f'"left"(path, {PATH_INDEXED})').label("head"),
            postgresql_ops={"head": "text_pattern_ops"},
        ),
        {"postgresql_partition_by": "LIST (set_id)"},
    )
