"""Which failures stand, and which of them a retry of all takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from db import failures, schedules
from db.engine import Database
from db.models import ChainRun
from db.states import Kind, RunState, Trigger

DUE = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)


def past(session: Session, *states: RunState, schedule: str | None) -> list[int]:
    """Runs that ended so (or are so now), oldest first."""
    row = schedules.put(session, schedule, drive="tape0", sources=["/data"]) if schedule else None
    runs = [
        ChainRun(
            kind=Kind.BACKUP if row else Kind.VERIFY,
            schedule_id=row.id if row else None,
            trigger=Trigger.MANUAL,
            state=state,
            drive="tape0",
            due_at=DUE + timedelta(days=day),
        )
        for day, state in enumerate(states)
    ]
    session.add_all(runs)
    session.flush()
    return [run.id for run in runs]


F, S, X, Q = RunState.FAILED, RunState.SUCCEEDED, RunState.SKIPPED, RunState.QUEUED


@pytest.mark.parametrize(("states", "standing"), [
    ([F], {0: None}),
    ([F, F, F], {0: 2, 1: 2, 2: None}),
    ([F, S, F], {2: None}),
    ([F, F, S], {}),
    ([F, F, X], {0: 1, 1: None}),
    ([F, RunState.CANCELLED], {0: None}),
    ([F, F, Q], {0: 2, 1: 2}),
])  # fmt: skip
def test_the_newest_failure_of_a_schedule_is_the_one_to_retry(
    database: Database, states: list[RunState], standing: dict[int, int | None]
) -> None:
    """A later success makes up for it; one that was skipped or cancelled did nothing of its work."""
    with database.transaction() as session:
        ids = past(session, *states, schedule="monthly")
        past(session, S, schedule="other")
        found = {failure.run_id: failure.superseded_by for failure in failures.standing(session)}
    assert found == {ids[a]: b if b is None else ids[b] for a, b in standing.items()}


def test_runs_without_a_schedule_supersede_nothing(database: Database) -> None:
    """Two restores that failed are two failures."""
    with database.transaction() as session:
        ids = past(session, F, F, S, schedule=None)
        assert failures.standing(session) == [failures.Failure(run_id, None) for run_id in ids[:2]]
