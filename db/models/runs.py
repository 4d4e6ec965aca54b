"""Runs, their steps and story, and the outbox."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from db.models.base import Base, Typed, enum, is_elsewhere, now
from db.models.options import Options, RunNotes
from db.models.schedules import ScheduledTask
from db.states import Kind, RunState, Step, StepState, Trigger
from policy.tapes.medium import MediumReport


class ChainRun(Base):
    """A run: one job, through the chain in one part or several."""

    __tablename__ = "chain_runs"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[Kind] = mapped_column(enum(Kind, "run_kind"))
    schedule_id: Mapped[int | None] = mapped_column(ForeignKey("scheduled_tasks.id"))
    trigger: Mapped[Trigger] = mapped_column(enum(Trigger, "run_trigger"))
    requested_by: Mapped[str | None]
    state: Mapped[RunState] = mapped_column(enum(RunState, "run_state"))
    reason: Mapped[dict[str, Any] | None]
    """Why it is in this state, as a message."""
    drive: Mapped[str]
    due_at: Mapped[datetime]
    period: Mapped[str | None]
    options: Mapped[Options] = mapped_column(Typed(Options), default=Options)
    """Given by hand; they override the template."""
    notes: Mapped[RunNotes] = mapped_column(
        Typed(RunNotes), default=RunNotes, server_default=text("'{}'::jsonb")
    )
    """What it notes for its later parts."""
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
    tape_seen: Mapped[MediumReport | None]
    """The identity of the tape that precheck saw in this part."""
    tape_failed: Mapped[dict[str, Any] | None]
    """The tape that the drive could not use, how often, and when it is tried again: see
    ``db.tapes.mount_backoff``."""
    fetched: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """The barcodes that the library has brought for it: each at most once, until an operator retries it."""
    condition: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """Warnings of drive and tapes after the run had used them, and of its commands, as messages."""
    doubts: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """The doubts for which the guard held it last (``policy.guard.Doubt``)."""
    accepted: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """The doubts that persons have accepted: who, when, why."""
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
    is_held: Mapped[bool] = column_property(is_elsewhere(home), expire_on_flush=False)
    """It was copied here from another database, and nobody has released it (``db.admin.holds``)."""
    moved_at: Mapped[datetime | None]
    """When it last made progress: a step, a byte, a name. A heartbeat is none of these."""
    look_asked_at: Mapped[datetime | None]
    """When its drive's worker was asked to inspect the tape, and has not yet."""
    wait_until: Mapped[datetime | None]
    awaits: Mapped[str | None]
    """Of a queued run: the schedule whose success it waits for."""
    opens_at: Mapped[datetime | None]
    """Of a queued run: not before then, when the window of its schedule opens."""
    closes_at: Mapped[datetime | None]
    """Of a running one: it seals and pauses then, when that window closes."""
    queued_at: Mapped[datetime] = mapped_column(server_default=text("now()"), default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    is_missed: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """Nothing could start it in time."""
    shortened_at: Mapped[datetime | None]
    """When its story, its steps and its messages were removed (``db.history``)."""
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
        # The newest run of a schedule in a state, and how many there are of each.
        Index("ix_chain_runs_schedule_id", "schedule_id", "state", "id"),
        Index("ix_chain_runs_failed", "schedule_id", "id", postgresql_where=text("state = 'FAILED'")),
        Index(
            "ix_chain_runs_dismissed",
            "schedule_id",
            "due_at",
            postgresql_where=text("dismissed_at is not null"),
        ),
        Index(
            "ix_chain_runs_with_story",
            "finished_at",
            postgresql_where=text("shortened_at is null and finished_at is not null"),
        ),
        Index(
            "ix_chain_runs_awaiting",
            "id",
            postgresql_where=text("state = 'QUEUED' and awaits is not null"),
        ),
        Index("ix_chain_runs_set_id", "set_id", "id", postgresql_where=text("set_id is not null")),
        Index("ix_chain_runs_queue", "drive", "queued_at", postgresql_where=text("state = 'QUEUED'")),
    )


class ChainStep(Base):
    """One step of one part of a run."""

    __tablename__ = "chain_steps"

    run_id: Mapped[int] = mapped_column(ForeignKey("chain_runs.id", ondelete="CASCADE"), primary_key=True)
    part: Mapped[int] = mapped_column(Integer, primary_key=True)
    step: Mapped[Step] = mapped_column(enum(Step, "step_name"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer)
    state: Mapped[StepState] = mapped_column(enum(StepState, "step_state"), default=StepState.PENDING)
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
    step: Mapped[Step | None] = mapped_column(enum(Step, "event_step"))
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    level: Mapped[str] = mapped_column(String(8), default="info")
    message: Mapped[dict[str, Any]]
    """A text for the operator, as a message."""


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
