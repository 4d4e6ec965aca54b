"""Schedules and templates; a record is a template that one run has copied."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    text,
)
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from db.models.base import Base, enum, is_elsewhere, now
from db.states import BackupType, RecordState
from policy.times.period import ScheduleType


class ScheduledTask(Base):
    """A schedule: when, what (a template), which drive, which tape policy. Operators edit it."""

    __tablename__ = "scheduled_tasks"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    enabled: Mapped[bool] = mapped_column(server_default=text("true"), default=True)
    template_id: Mapped[int] = mapped_column(ForeignKey("backup_tasks.id"))
    drive: Mapped[str]
    schedule_type: Mapped[ScheduleType] = mapped_column(enum(ScheduleType, "schedule_type"))
    schedule_config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    time_zone: Mapped[str] = mapped_column(server_default="UTC", default="UTC")
    tape_policy: Mapped[str] = mapped_column(server_default="current_month", default="current_month")
    unreadable_label: Mapped[str] = mapped_column(server_default="refuse", default="refuse")
    on_format_failure: Mapped[str] = mapped_column(server_default="continue", default="continue")
    wait_for_tape_seconds: Mapped[int | None] = mapped_column(Integer)
    rate: Mapped[str | None]
    """How fast its sources are read at most, and when on its clock (``policy.schedule.rate``)."""
    run_after: Mapped[str | None]
    """The name of the schedule that it follows (``db.runs.followers``)."""
    backup_window: Mapped[str | None]
    """``HH:MM-HH:MM`` on its clock: when its automatic runs may work (``db.runs.windows``)."""
    priority: Mapped[str] = mapped_column(server_default="normal", default="normal")
    """Which of several queued runs gets the drive first (``db.runs.precedence``)."""
    after_run: Mapped[str] = mapped_column(server_default="keep", default="keep")
    """The cartridge's fate when a run has succeeded: ``keep`` it in the drive, or ``eject`` it."""
    last_run_time: Mapped[datetime | None]
    """When a run of it last got the drive: for the first time, again for a retry, or after it had waited."""
    last_success_time: Mapped[datetime | None]
    """When the newest success was due: a run that ends after midnight counts for its own period. An increment
    by hand instead of a full one does not count."""
    last_failure_time: Mapped[datetime | None]
    next_run_time: Mapped[datetime | None]
    grace_seconds: Mapped[int] = mapped_column(Integer, server_default="43200", default=43200)
    """How late a run may still start if nothing could start it in time."""
    planned_from: Mapped[str | None]
    """The values that next_run_time was computed from; if they differ now, an operator has edited the row."""
    planned_after: Mapped[datetime | None]
    """Between this moment and next_run_time it does not fire, by the rule that it was planned from."""
    plan_error: Mapped[dict[str, Any] | None]
    """Why no next_run_time can be computed, as a message."""
    home: Mapped[str] = mapped_column(server_default=text("database_home()"))
    """The database that it was created in, or released in by a person since."""
    is_held: Mapped[bool] = column_property(is_elsewhere(home), expire_on_flush=False)
    """It was copied here from another database, and nobody has released it (``db.admin.holds``)."""
    declared_in: Mapped[str | None]
    """``host:path`` of the file that declares it: it is edited there. None: in the pages."""
    archived_at: Mapped[datetime | None]
    """When it was removed; the row stays because its runs and sets refer to it."""
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"), default=now)
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"), default=now, onupdate=now)

    template: Mapped[BackupTask] = relationship()

    __table_args__ = (
        CheckConstraint("unreadable_label in ('refuse', 'continue')", name="unreadable_label_known"),
        CheckConstraint("on_format_failure in ('continue', 'fail')", name="on_format_failure_known"),
        CheckConstraint("grace_seconds >= 60", name="grace_is_a_minute"),
        CheckConstraint("priority in ('high', 'normal', 'low')", name="priority_known"),
        CheckConstraint("after_run in ('keep', 'eject', 'export')", name="after_run_known"),
        # What beat looks for every two seconds, among ten thousand schedules.
        Index("ix_scheduled_tasks_next_run_time", "next_run_time"),
        Index("ix_scheduled_tasks_planned_after", "planned_after"),
        Index(
            "ix_scheduled_tasks_edited",
            "id",
            postgresql_where=text(
                "planned_from::jsonb is distinct from plan_of("
                "schedule_type, schedule_config, time_zone, tape_policy, enabled and archived_at is null)"
            ),
        ),
    )


class BackupTask(Base):
    """A template (``is_template``), or the execution record that ``create_record`` copies from one."""

    __tablename__ = "backup_tasks"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    is_template: Mapped[bool] = mapped_column(Boolean)
    template_id: Mapped[int | None] = mapped_column(ForeignKey("backup_tasks.id"))
    # Runs, schedules and records refer to each other: this one is added when the tables exist.
    run_id: Mapped[int | None] = mapped_column(ForeignKey("chain_runs.id", use_alter=True), unique=True)
    name: Mapped[str]
    type: Mapped[BackupType] = mapped_column(enum(BackupType, "backup_type"))
    sources: Mapped[list[Any]]
    source_options: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"), default=dict)
    """By the path of a source, what applies to it only (``policy.schedule.sources.OPTIONS``)."""
    dumps: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"), default=list)
    """Commands whose output is a file of the set: ``command``, ``name`` and, if it may fail, ``optional``."""
    compression: Mapped[str] = mapped_column(server_default="zstd", default="zstd")
    compression_level: Mapped[int] = mapped_column(Integer, server_default="3", default=3)
    archive_bytes: Mapped[int] = mapped_column(server_default=text(str(4 << 30)), default=4 << 30)
    retention_days: Mapped[int | None] = mapped_column(Integer)
    """None, and no ``keep_sets``: for ever. With both, a set is kept as long as either applies."""
    keep_sets: Mapped[int | None] = mapped_column(Integer)
    """How many of the newest sets of each type are kept."""
    excludes: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"), default=list)
    """Patterns in the syntax of ``.gitignore``."""
    exclude_caches: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    one_file_system: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    max_file_bytes: Mapped[int | None]
    max_file_age_days: Mapped[int | None] = mapped_column(Integer)
    """Files last changed more than so many days ago are left out."""
    detect: Mapped[str] = mapped_column(server_default="auto", default="auto")
    """Which fields of a file show that it has changed (``policy.detection``)."""
    on_silent_source: Mapped[str] = mapped_column(server_default="fail", default="fail")
    """Whether a run goes on without a share that does not answer."""
    guard: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"), default=dict)
    """How far the sources may differ from their former state (``policy.guard.GuardLimits``)."""
    must_be_mounted: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"), default=list)
    """Folders at which a file system must be mounted."""
    checks: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"), default=list)
    """The commands that the precheck runs, by their names in the file of the drive's host."""
    before: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"), default=list)
    """Those that run before anything is read."""
    after: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"), default=list)
    """Those that run at the end, however it comes."""
    verify_percent: Mapped[int | None] = mapped_column(Integer)
    """How many percent are read back after each backup; None: nothing."""
    encrypt_to: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"), default=list)
    """Public keys of age."""
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("backup_sets.id", use_alter=True))
    """Of a record: the set that an increment follows."""
    state: Mapped[RecordState | None] = mapped_column(enum(RecordState, "record_state"))
    error: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"), default=now)

    __table_args__ = (
        Index("uq_backup_tasks_template_name", "name", unique=True, postgresql_where=text("is_template")),
        CheckConstraint("is_template = (run_id is null)", name="record_has_run"),
        CheckConstraint("compression in ('none', 'zstd')", name="compression_known"),
        CheckConstraint(
            "detect in ('auto', 'ctime+mtime+size+inode', 'ctime+mtime+size', 'mtime+size+inode',"
            " 'mtime+size')",
            name="detect_known",
        ),
        CheckConstraint("on_silent_source in ('fail', 'continue')", name="on_silent_source_known"),
        CheckConstraint("keep_sets > 0", name="keep_sets_positive"),
        CheckConstraint("verify_percent between 1 and 100", name="verify_percent_known"),
    )

    @property
    def has_only_dumps(self) -> bool:
        """Whether no file or folder is to be read, only what commands print. One of both is needed."""
        return bool(self.dumps) and not self.sources
