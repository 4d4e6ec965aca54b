"""How long a run worked."""

from __future__ import annotations

from db.models import ChainRun, now


def worked_seconds(run: ChainRun) -> float | None:
    """How long a run has worked, without waiting for a tape and without the time after a failure. None: it
    has not begun."""
    if run.started_at is None:
        return None
    until = run.idle_since or run.finished_at or now()
    return max((until - run.started_at).total_seconds() - run.idle_seconds, 0.0)
