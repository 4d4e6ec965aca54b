"""The story of a run: append-only events, and the outbox of what has to be said."""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import ChainRun, Notification, RunEvent
from db.states import RunState, Step
from policy.message import Message

log = structlog.get_logger("tapeline.run")


def record(
    session: Session,
    run: ChainRun,
    message: Message,
    *,
    step: Step | None = None,
    level: str = "info",
) -> None:
    """Add a line to the run's story, and the same line to the log with the run's id."""
    session.add(RunEvent(run_id=run.id, part=run.part, step=step, level=level, message=message.to_json()))
    getattr(log, level)(str(message), run=run.id, part=run.part, step=step.value if step else None)


ENDINGS = {
    RunState.SUCCEEDED: "success",
    RunState.FAILED: "failed",
    RunState.SKIPPED: "skipped",
    RunState.CANCELLED: "cancelled",
    RunState.WAITING_FOR_TAPE: "waiting_for_tape",
}
"""What is announced when a run comes to a state."""


def announce(session: Session, run: ChainRun, event: str, facts: dict[str, Any]) -> None:
    """Put an event into the outbox, once for each dispatch of the run."""
    session.execute(
        insert(Notification)
        .values(run_id=run.id, event=event, occurrence=run.dispatch, facts=facts)
        .on_conflict_do_nothing()
    )
