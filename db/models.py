"""The tables; docs/glossary.md explains the words. Times are UTC with time zone; sizes are bytes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship

from db import clock
from db.bigint import Whole
from db.states import BackupType, Kind, RecordState, RunState, Step, StepState, Trigger
from policy.tapes.facts import CartridgeState, SetState
from policy.times.period import ScheduleType


def now() -> datetime:
    """The present moment by the database's clock, UTC with time zone."""
    return clock.now()


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        int: BigInteger,
        str: Text,
    }


def _enum(kind: type[Any], name: str) -> Enum:
    """An enum stored by its values as text with a check, so that a migration can add a value without a
    type."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


def _is_elsewhere(home: Any) -> Any:
    """The condition that a row was made in another database; asked once for all rows of a query."""
    return home != select(func.database_home()).scalar_subquery()


class ScheduledTask(Base):
    """A schedule: when, what (a template), which drive, which tape policy. Operators edit it."""

    __tablename__ = "scheduled_tasks"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    enabled: Mapped[bool] = mapped_column(server_default=text("true"), default=True)
    template_id: Mapped[int] = mapped_column(ForeignKey("backup_tasks.id"))
    drive: Mapped[str]
    schedule_type: Mapped[ScheduleType] = mapped_column(_enum(ScheduleType, "schedule_type"))
    schedule_config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    time_zone: Mapped[str] = mapped_column(server_default="UTC", default="UTC")
    tape_policy: Mapped[str] = mapped_column(server_default="current_month", default="current_month")
    unreadable_label: Mapped[str] = mapped_column(server_default="refuse", default="refuse")
    on_format_failure: Mapped[str] = mapped_column(server_default="continue", default="continue")
    wait_for_tape_seconds: Mapped[int | None] = mapped_column(Integer)
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
    plan_error: Mapped[dict[str, Any] | None]
    """Why no next_run_time can be computed, as a message."""
    home: Mapped[str] = mapped_column(server_default=text("database_home()"))
    """The database that it was created in, or released in by a person since."""
    is_held: Mapped[bool] = column_property(_is_elsewhere(home), expire_on_flush=False)
    """It was copied here from another database, and nobody has released it (``db.admin.holds``)."""
    archived_at: Mapped[datetime | None]
    """When it was removed; the row stays because its runs and sets refer to it."""
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"), default=now)
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"), default=now, onupdate=now)

    template: Mapped[BackupTask] = relationship()

    __table_args__ = (
        CheckConstraint("unreadable_label in ('refuse', 'continue')", name="unreadable_label_known"),
        CheckConstraint("on_format_failure in ('continue', 'fail')", name="on_format_failure_known"),
        CheckConstraint("grace_seconds >= 60", name="grace_is_a_minute"),
        CheckConstraint("after_run in ('keep', 'eject')", name="after_run_known"),
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
    type: Mapped[BackupType] = mapped_column(_enum(BackupType, "backup_type"))
    sources: Mapped[list[Any]]
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
    guard: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"), default=dict)
    """How far the sources may differ from their former state (``policy.guard.Limits``)."""
    must_be_mounted: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"), default=list)
    """Folders at which a file system must be mounted."""
    verify_percent: Mapped[int | None] = mapped_column(Integer)
    """How many percent are read back after each backup; None: nothing."""
    encrypt_to: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"), default=list)
    """Public keys of age."""
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("backup_sets.id", use_alter=True))
    """Of a record: the set that an increment follows."""
    state: Mapped[RecordState | None] = mapped_column(_enum(RecordState, "record_state"))
    error: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"), default=now)

    __table_args__ = (
        Index("uq_backup_tasks_template_name", "name", unique=True, postgresql_where=text("is_template")),
        CheckConstraint("is_template = (run_id is null)", name="record_has_run"),
        CheckConstraint("compression in ('none', 'zstd')", name="compression_known"),
        CheckConstraint("keep_sets > 0", name="keep_sets_positive"),
        CheckConstraint("verify_percent between 1 and 100", name="verify_percent_known"),
    )


class ChainRun(Base):
    """A run: one job, through the chain in one part or several."""

    __tablename__ = "chain_runs"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[Kind] = mapped_column(_enum(Kind, "run_kind"))
    schedule_id: Mapped[int | None] = mapped_column(ForeignKey("scheduled_tasks.id"))
    trigger: Mapped[Trigger] = mapped_column(_enum(Trigger, "run_trigger"))
    requested_by: Mapped[str | None]
    state: Mapped[RunState] = mapped_column(_enum(RunState, "run_state"))
    reason: Mapped[dict[str, Any] | None]
    """Why it is in this state, as a message."""
    drive: Mapped[str]
    due_at: Mapped[datetime]
    period: Mapped[str | None]
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Parameters given by hand; they override the template."""
    part: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    dispatch: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """How often the chain has been sent; messages with another number do nothing."""
    dispatched_at: Mapped[datetime | None]
    recoveries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """How often it was resumed automatically since an operator last sent it."""
    resumed: Mapped[dict[str, Any] | None]
    """Where and why it ended before it was last resumed, and how often it made no progress since then."""
    set_id: Mapped[str | None]
    progress: Mapped[dict[str, Any] | None]
    tape_seen: Mapped[dict[str, Any] | None]
    """The identity of the tape that precheck saw in this part."""
    tape_failed: Mapped[dict[str, Any] | None]
    """The tape that the drive could not use, how often, and when it is tried again: see
    ``db.tapes.mount_backoff``."""
    condition: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """Warnings of drive and tapes after the run had used them, as messages."""
    doubts: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """The doubts for which the guard held it last (``policy.guard.Doubt``)."""
    accepted: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """Which of these persons have accepted: who, when, why, and the doubts."""
    cancel_requested_at: Mapped[datetime | None]
    cancelled_by: Mapped[str | None]
    """Who requested that."""
    idle_since: Mapped[datetime | None]
    """Since when it has not worked, after it had begun to: it waits for a tape or to continue, or has
    ended."""
    idle_seconds: Mapped[float] = mapped_column(default=0, server_default="0")
    """How long that took in total, without the time since then."""
    dismissed_at: Mapped[datetime | None]
    """When a person dismissed this failure; its story names who, and why."""
    home: Mapped[str] = mapped_column(server_default=text("database_home()"))
    """The database that it was created in, or released in by a person since."""
    is_held: Mapped[bool] = column_property(_is_elsewhere(home), expire_on_flush=False)
    """It was copied here from another database, and nobody has released it (``db.admin.holds``)."""
    moved_at: Mapped[datetime | None]
    """When it last made progress: a step, a byte, a name. A heartbeat is none of these."""
    look_asked_at: Mapped[datetime | None]
    """When its drive's worker was asked to inspect the tape, and has not yet."""
    wait_until: Mapped[datetime | None]
    queued_at: Mapped[datetime] = mapped_column(server_default=text("now()"), default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"), default=now)

    schedule: Mapped[ScheduledTask | None] = relationship()
    steps: Mapped[list[ChainStep]] = relationship(order_by="(ChainStep.part, ChainStep.position)")

    __table_args__ = (
        # An occurrence of a schedule is one run, however often it is announced.
        UniqueConstraint("schedule_id", "due_at"),
        Index(
            "uq_chain_runs_active_schedule",
            "schedule_id",
            unique=True,
            postgresql_where=text("state in ('QUEUED', 'RUNNING', 'WAITING_FOR_TAPE', 'HELD')"),
        ),
        Index(
            "uq_chain_runs_running_drive",
            "drive",
            unique=True,
            postgresql_where=text("state = 'RUNNING'"),
        ),
        Index("ix_chain_runs_queue", "drive", "queued_at", postgresql_where=text("state = 'QUEUED'")),
    )


class ChainStep(Base):
    """One step of one part of a run."""

    __tablename__ = "chain_steps"

    run_id: Mapped[int] = mapped_column(ForeignKey("chain_runs.id", ondelete="CASCADE"), primary_key=True)
    part: Mapped[int] = mapped_column(Integer, primary_key=True)
    step: Mapped[Step] = mapped_column(_enum(Step, "step_name"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer)
    state: Mapped[StepState] = mapped_column(_enum(StepState, "step_state"), default=StepState.PENDING)
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    dispatch: Mapped[int | None] = mapped_column(Integer)
    """The dispatch whose message claimed it last."""
    worker: Mapped[str | None]
    heartbeat_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    error: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]


class RunEvent(Base):
    """One line of a run's story; append-only."""

    __tablename__ = "run_events"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("chain_runs.id", ondelete="CASCADE"), index=True)
    part: Mapped[int] = mapped_column(Integer)
    step: Mapped[Step | None] = mapped_column(_enum(Step, "event_step"))
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    level: Mapped[str] = mapped_column(String(8), default="info")
    message: Mapped[dict[str, Any]]
    """A text for the operator, as a message."""


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
    medium: Mapped[dict[str, Any] | None]
    """Its contents at the last inspection by a step or a poll."""
    medium_at: Mapped[datetime | None]
    alerts: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """Its warnings after its last run (a cleaning that is due), as messages."""
    eject_after: Mapped[int | None]
    """The run whose tape is ejected as soon as no run has the drive or is queued for it."""


class DriveCheck(Base):
    """A question to the worker of a drive, for the time of one command: the asker deletes the row."""

    __tablename__ = "drive_checks"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    drive: Mapped[str]
    sources: Mapped[list[Any]]
    """Paths to inspect, as the drive's host sees them."""
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
    state: Mapped[CartridgeState] = mapped_column(_enum(CartridgeState, "cartridge_state"))
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
    identity: Mapped[dict[str, Any]]
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


class BackupSet(Base):
    """What one run wrote."""

    __tablename__ = "backup_sets"

    id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("chain_runs.id"), unique=True)
    template_id: Mapped[int | None] = mapped_column(ForeignKey("backup_tasks.id"))
    template_name: Mapped[str | None]
    """The name on its tape: for an imported set, the template may be created later."""
    cartridge_id: Mapped[int | None] = mapped_column(ForeignKey("tape_cartridges.id"), index=True)
    """Where it begins, with ``generation``; the archives record where each part of it is."""
    generation: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    type: Mapped[BackupType] = mapped_column(_enum(BackupType, "set_type"))
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("backup_sets.id"), index=True)
    """The set on which this one's changes are based; None for a full one."""
    state: Mapped[SetState] = mapped_column(_enum(SetState, "set_state"))
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
    is_restored: Mapped[bool] = column_property(_is_elsewhere(home), expire_on_flush=False)
    """It was copied here from another database, which may have written more after the copy."""

    archives: Mapped[list[BackupArchive]] = relationship(order_by="BackupArchive.number")

    __table_args__ = (
        # For the newest set of a template, and the number after one: reads no others of years of sets.
        Index("ix_backup_sets_template_id", "template_id", "started_at"),
    )


class BackupArchive(Base):
    """One sealed archive of a set, and its position: on this cartridge, of this generation."""

    __tablename__ = "backup_archives"

    set_id: Mapped[str] = mapped_column(ForeignKey("backup_sets.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    cartridge_id: Mapped[int] = mapped_column(ForeignKey("tape_cartridges.id"), index=True)
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
    """Those of the four numbers above that no column can store, by name; their columns have the nearest."""
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


class Notification(Base):
    """The outbox: one row for each message, written in the transaction of its event."""

    __tablename__ = "notifications"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("chain_runs.id", ondelete="CASCADE"))
    about: Mapped[str | None]
    """The subject of an event without a run (a drive's silence, an occurrence of a schedule): announced
    once."""
    event: Mapped[str]
    occurrence: Mapped[int] = mapped_column(Integer)
    """The number of this event; a retried run may reach an event again, and a waiting one is a reminder."""
    facts: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)
    deliveries: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """For each channel: sent_at, or the error with first_tried_at and tried_at, failed_at, given_up_at."""
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    next_attempt_at: Mapped[datetime | None] = mapped_column(default=now)
    """None: nothing is left to do."""

    __table_args__ = (
        UniqueConstraint("run_id", "event", "occurrence"),
        UniqueConstraint("about", "event"),
        CheckConstraint("(run_id is null) <> (about is null)", name="run_or_about"),
        Index(
            "ix_notifications_due", "next_attempt_at", postgresql_where=text("next_attempt_at is not null")
        ),
        Index("ix_notifications_created_at", "created_at"),
    )
