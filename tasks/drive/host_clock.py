"""Checks the clock of this host against all that is known of the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from celery_app import settings
from db import events
from db.admin import server
from policy.message import Message
from policy.times import clock


def clock_doubt(session: Session, run_id: int | None = None) -> Message | None:
    """Why the clock of this host cannot be right, or None.

    ``run_id``: the events of this run itself prove nothing. After a clock that was ahead has been set right,
    one run is refused for it, and the next compares itself with that one.
    """
    return clock.doubt(
        datetime.now(UTC),
        database=server.time(session),
        newest_event=events.newest_at(session, other_than=run_id),
        made=datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC),
        tolerance=timedelta(seconds=settings.load().clock_tolerance_seconds),
    )
