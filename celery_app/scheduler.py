"""Beat's scheduler: fires the rows of ``scheduled_tasks``, beside the periodic entries of the configuration.

The database decides; the message only announces that there is work, and ``recover`` finds the work of a lost
message. Any number of beats may run.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog
from celery import beat
from kombu.exceptions import OperationalError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from celery_app import reading, wiring
from celery_app.config import BRIEF
from celery_app.queues import CONTROL
from db.admin import server
from db.engine import Database
from db.models import ChainRun
from db.schedules import planner, plans
from policy.errors import TapelineError

log = structlog.get_logger("tapeline.beat")

AT_ONCE = 500
"""How many new or edited schedules are planned before the next look at what is due: some tenths of a
second."""

LOOK_SECONDS = 2.0
"""How often the table is read: an operator's edit takes effect after this time."""


class DatabaseScheduler(beat.Scheduler):  # type: ignore[misc]
    """Celery's scheduler with the schedules of the database. Keeps no state of its own."""

    producer = None
    """Entries take a producer from the pool: Celery's own waits for an unavailable broker, and delays the
    rest."""

    def __init__(
        self,
        *args: Any,
        database: Database | None = None,
        clock: Callable[[Session], datetime] = server.time,
        **kwargs: Any,
    ) -> None:
        self._database = database or wiring.database()
        self._clock = clock
        self._troubles: dict[int | None, str] = {}
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send the periodic entries that are due, and decide what is due in the database.

        Returns the seconds until the next call. Never raises for an unavailable database or broker.
        """
        until_entry: float = super().tick(*args, **kwargs)
        return min(until_entry, self.look())

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a periodic entry; if it cannot be sent, it comes again at its next time."""
        entry.options.setdefault("retry_policy", BRIEF)
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except beat.SchedulingError as error:
            log.warning("the broker does not answer", entry=entry.name, error=str(error))

    def look(self) -> float:
        """Plan every schedule that needs it; returns the seconds until something is due, at most 2."""
        try:
            with self._database.transaction() as session:
                moment = self._clock(session)
                due = planner.due(session, moment)
                edited = plans.edited(session, AT_ONCE)
                following = planner.next_time(session, moment)
        except (TapelineError, SQLAlchemyError) as error:
            self._note(None, error)
            return LOOK_SECONDS
        self._note(None, None)
        reading.enter("beat", self._database)
        for number in due:
            self._attend(number, moment)
        left = self._plan([number for number in edited if number not in due], moment)
        for number in left:
            self._attend(number, moment)
        if len(edited) == AT_ONCE and len(left) < AT_ONCE:
            return 0.0  # There are more; first comes what has become due.
        return min(LOOK_SECONDS, (following - moment).total_seconds()) if following else LOOK_SECONDS

    def _plan(self, numbers: list[int], moment: datetime) -> list[int]:
        """Plan new and edited schedules together; returns those that must be attended to one by one."""
        try:
            with self._database.transaction() as session:
                return planner.plan_edited(session, numbers, moment) if numbers else []
        except Exception as error:  # noqa: BLE001 - one of them is the trouble: the others do not wait for it
            log.warning("schedules cannot be planned together", error=f"{type(error).__name__}: {error}")
            return numbers

    def _attend(self, number: int, moment: datetime) -> None:
        """A schedule that cannot be planned does not keep the others from firing."""
        try:
            with self._database.transaction() as session:
                made = planner.attend(session, number, moment)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this schedule's trouble alone
            self._note(number, error)
            return
        self._note(number, None)
        for run in made:
            self._announce(run)

    def _announce(self, run: ChainRun) -> None:
        log.info(
            "due", run=run.id, schedule=run.schedule_id, due=run.due_at.isoformat(), state=run.state.value
        )
        try:
            self.app.send_task(
                "tapeline.start",
                kwargs={"schedule_id": run.schedule_id, "due_at": run.due_at.isoformat()},
                queue=CONTROL,
                retry_policy=BRIEF,
            )
        except (OperationalError, OSError) as error:
            log.warning("the broker does not answer; the run is sent later", run=run.id, error=str(error))

    def _note(self, schedule: int | None, error: Exception | None) -> None:
        """Log a problem when it begins, when it changes, and when it is over."""
        text = f"{type(error).__name__}: {error}" if error else None
        if text == self._troubles.get(schedule):
            return
        if text is None:
            del self._troubles[schedule]
            log.info("it works again", schedule=schedule)
        else:
            self._troubles[schedule] = text
            log.error("nothing can be decided; trying again", schedule=schedule, error=text)
