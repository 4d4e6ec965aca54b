"""What a step works with while it has its claim: database, heartbeat, story, and whether to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from types import TracebackType
from typing import Any, TypeVar

import structlog
from celery import Task
from kombu.exceptions import OperationalError
from sqlalchemy.orm import Session

from backup.errors import Ended
from celery_app import settings, wiring
from celery_app.worker import guards
from db import events
from db.errors import DatabaseUnavailable, LostClaim
from db.models import ChainRun, now
from db.runs import announcing, steps, transitions
from db.runs.steps import Claim
from policy.errors import Consequence, TapelineError
from policy.guard import Doubt
from policy.message import M, Message
from tape.drive import Drive
from tape.programs import command

log = structlog.get_logger("tapeline.step")

T = TypeVar("T")

PROGRESS_SECONDS = 1.0
"""How often progress goes to the run's row."""

EVENT_SECONDS = 10.0
"""How often progress is shown in the dashboard."""


class Cancelled(TapelineError):
    """An operator cancelled the run, and this is a safe point."""


class WrongTape(TapelineError):
    """The tape in the drive is not one that this run may use."""

    consequence = Consequence.WAIT_FOR_OPERATOR
    exit_code = 4


class SourcesDoubted(TapelineError):
    """The sources are not as they were, and nobody has accepted that."""

    consequence = Consequence.HOLD
    exit_code = 4

    def __init__(self, run_id: int, doubts: tuple[Doubt, ...]) -> None:
        super().__init__(
            doubts[0].in_words,
            M("If the sources are right as they are: tapeline runs accept {run} --why TEXT", run=run_id),
        )
        self.doubts = doubts


class Work:
    """A claimed step at work. As a context manager it sends heartbeats in a thread."""

    def __init__(self, task: Task, held: Claim) -> None:
        self.task = task
        self.held = held
        self.settings = settings.load()
        self.database = wiring.database()
        self.progress: dict[str, Any] | None = None
        self.writes_on: int | None = None
        """The cartridge that this step writes to: failures are recorded at this one and no other."""
        self._moved = False
        self._ended = threading.Event()
        self._cancelled = held.cancelled
        self._lost = False
        self._closes_at = held.closes_at
        self._event_sent = 0.0
        self._heart = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)

    def __enter__(self) -> Work:
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._heart.join()

    def _keep_beating(self) -> None:
        last, shown = time.monotonic(), self.progress
        while not self._ended.wait(min(PROGRESS_SECONDS, self.settings.heartbeat_seconds)):
            due = time.monotonic() - last >= self.settings.heartbeat_seconds
            if not due and shown is self.progress:
                continue
            last, shown = time.monotonic(), self.progress
            moved, self._moved = self._moved or command.has_its_limit(), False
            try:
                self._beat(moved=moved)
            except LostClaim:
                self._lost = True
                return
            except DatabaseUnavailable as error:
                log.warning("no heartbeat: the database does not answer", error=str(error))

    def _beat(self, *, moved: bool = True) -> None:
        with self.database.transaction() as session:
            self._cancelled = steps.beat(session, self.held, self.progress, moved=moved)
            if self._closes_at is not None:
                self._closes_at = steps.closes_at(session, self.held)

    def check(self) -> None:
        """A safe point of the work. Raises LostClaim or Cancelled if the step must stop."""
        self._moved = True
        self.heed()

    def heed(self) -> None:
        """Raises LostClaim or Cancelled if the step must stop. Reports no progress."""
        if self._lost:
            raise LostClaim(M("Run {run} is in other hands by now.", run=self.held.run_id))
        if self._cancelled:
            raise Cancelled(M("Cancelled at a safe point; what was sealed stays readable."))

    def is_ending(self) -> bool:
        """Whether the step gives its claim back at the next safe point: its worker was asked to stop, or the
        run pauses."""
        return guards.is_ending() or self.is_shut()

    def is_shut(self) -> bool:
        """Whether the window of the run's schedule has closed."""
        return self._closes_at is not None and now() >= self._closes_at

    def check_window(self) -> None:
        """Raises Ended if the run must pause before this step."""
        if self.is_shut():
            raise Ended(M("The window of its schedule has closed."), M("It goes on when the window opens."))

    def db(
        self, work: Callable[[Session, ChainRun], T], *, first: Callable[[Session], None] | None = None
    ) -> T:
        """Do ``work`` in one transaction as the owner of the claim; waits while the database is unavailable.

        ``first`` runs before the run is locked: for slow work, so that nobody waits for it. Raises LostClaim,
        DatabaseUnavailable (after the setting ``database_patience_seconds``).
        """

        def both(session: Session) -> T:
            if first is not None:
                first(session)
            return work(session, steps.hold(session, self.held))

        return self.database.attempt(both, patience=self.settings.database_patience_seconds)

    def tell(self, message: Message, *, level: str = "info") -> None:
        """Add a line to the run's story."""
        self.db(lambda session, run: events.record(session, run, message, step=self.held.step, level=level))

    def announce(self, event: str, reason: Message) -> None:
        """Put an event that is not the run's end into the outbox."""
        self.db(lambda session, run: announcing.announce(session, run, event, reason))

    @cached_property
    def drive_name(self) -> str:
        """The run's drive; it never changes."""
        return self.database.attempt(
            lambda session: transitions.get(session, self.held.run_id).drive,
            patience=self.settings.database_patience_seconds,
        )

    def drive(self) -> Drive:
        """The run's drive, on this host."""
        return wiring.drive(self.drive_name)

    def waits_for(self, what: str | None) -> None:
        """Report what does not answer, which is no progress; None: it has answered."""
        self.progress = {**(self.progress or {}), "waits_for": what}

    def show_progress(self, progress: Mapping[str, Any], text: str) -> None:
        """Pass the progress to the heartbeat, which writes it to the row, and to the dashboard now and
        then."""
        self.progress, self._moved = dict(progress), True
        if time.monotonic() - self._event_sent >= EVENT_SECONDS:
            self._event_sent = time.monotonic()
            self.send_event("task-progress", text)

    def send_event(self, kind: str, text: str) -> None:
        """Send it to the dashboard; an unavailable broker costs nothing but this line."""
        with suppress(OperationalError, OSError, *self._broker_errors):
            self.task.send_event(kind, retry=False, result=text)

    @cached_property
    def _broker_errors(self) -> tuple[type[Exception], ...]:
        """The transport's own errors: without a retry nothing turns them into an OperationalError."""
        return tuple(self.task.app.connection_for_write().connection_errors)
