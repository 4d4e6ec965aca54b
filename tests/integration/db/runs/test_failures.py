"""Which failures stand, and which of them a retry of all takes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import failures
from db.engine import Database
from db.errors import NotAllowed
from db.models import ChainRun, Options, RunEvent
from db.runs import admission, retrying, transitions
from db.schedules import schedules
from db.states import Kind, RunState, Trigger
from policy.message import Message

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


SET = "20261101T000000Z-0001"
OF = Options(paths=("/a",))
ELSEWHERE = replace(OF, target="/b")


@pytest.mark.parametrize(("kind", "failed", "later", "is_made_up_for"), [
    (Kind.RESTORE, {"set_id": SET, "options": OF}, {"set_id": SET, "options": ELSEWHERE}, True),
    (Kind.RESTORE, {"set_id": SET}, {"set_id": SET, "options": OF}, False),
    (Kind.RESTORE, {"set_id": SET, "options": OF}, {"set_id": "other", "options": OF}, False),
    (Kind.VERIFY, {"set_id": SET, "options": Options(percent=5)}, {"set_id": SET}, True),
    (Kind.VERIFY, {"set_id": SET}, {"set_id": SET, "options": Options(percent=5)}, False),
    (Kind.IMPORT, {}, {"tape_seen": {"label": "B"}}, True),
    (Kind.IMPORT, {"tape_seen": {"label": "A"}}, {"tape_seen": {"label": "A"}}, True),
    (Kind.IMPORT, {"tape_seen": {"label": "A"}}, {"tape_seen": {"label": "B"}}, False),
    (Kind.IMPORT, {"tape_seen": {"label": "A"}}, {}, False),
])  # fmt: skip
def test_a_later_success_of_the_same_work_makes_up_for_a_failure(
    database: Database, kind: Kind, failed: dict[str, Any], later: dict[str, Any], is_made_up_for: bool
) -> None:
    """Of a run by hand: as much of the same set, or the same tape; another kind of run does nothing of it."""
    with database.transaction() as session:
        run = a_run(kind, state=F, **failed)
        session.add(run)
        session.flush()
        other = Kind.RESTORE if kind is Kind.VERIFY else Kind.VERIFY
        session.add(a_run(other, state=S, set_id=SET, options=OF))
        assert standing(session) == [run.id]
        session.add(a_run(kind, state=S, **later))
        assert standing(session) == ([] if is_made_up_for else [run.id])


def test_a_failure_that_a_person_dismisses_stands_no_more(database: Database) -> None:
    """Its story names who, and why; a run that has not failed is not dismissed, and one that is retried and
    fails again is a failure again."""
    with database.transaction() as session:
        [first, run_id] = past(session, S, F, schedule=None)
        with pytest.raises(NotAllowed, match="only a FAILED run can be dismissed"):
            failures.dismiss(session, first, requested_by="li", why="x")
        for who in ("li", "wang"):
            failures.dismiss(session, run_id, requested_by=who, why="it came from the snapshot")
        assert standing(session) == []
        assert failures.of_no_schedule(session, DUE) == []
        told = session.scalars(select(RunEvent.message)).all()
        assert [str(Message.from_json(each)) for each in told] == [
            "Dismissed by li: it came from the snapshot"
        ]
        retrying.retry(session, run_id, None, "li", None)
        admission.admit(session, "tape0")
        transitions.transition(session, transitions.get(session, run_id), F)
        assert standing(session) == [run_id]


def a_run(kind: Kind, **facts: Any) -> ChainRun:
    facts = {"trigger": Trigger.MANUAL, "drive": "tape0", "due_at": DUE, "finished_at": DUE, **facts}
    return ChainRun(kind=kind, **facts)


def standing(session: Session) -> list[int]:
    session.flush()
    found = [failure.run_id for failure in failures.standing(session)]
    by_hand = failures.of_no_schedule(session, DUE - timedelta(days=1))
    assert {run.id for run in by_hand} <= set(found)
    return found
