"""The transitions of a run, and what follows from them: its times, its schedule's period."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from db.engine import Database
from db.errors import NotAllowed
from db.models import BackupSet, Notification
from db.runs import admission, retrying, times, transitions
from db.schedules import planner, schedules
from db.sets import catalog
from db.states import TRANSITIONS, BackupType, RunState, Trigger
from policy.tapes.facts import SetState
from tests.integration.db.runs.runs import DUE, running, schedule, start


@pytest.mark.parametrize("before", RunState)
@pytest.mark.parametrize("after", RunState)
def test_only_the_transitions_of_the_table_happen(
    database: Database, before: RunState, after: RunState
) -> None:
    """Every other change is an error and leaves the state; an allowed one writes its event."""
    with database.transaction() as session:
        run = start(session)
        assert run
        run.state = before
    if after not in TRANSITIONS[before]:
        with pytest.raises(NotAllowed), database.transaction() as session:
            transitions.transition(session, transitions.get(session, run.id), after)
        after = before
    else:
        with database.transaction() as session:
            assert transitions.transition(session, transitions.get(session, run.id), after)
    with database.transaction() as session:
        assert transitions.get(session, run.id).state is after


def test_a_transition_from_a_state_that_has_changed_does_nothing(database: Database) -> None:
    """Compare-and-set: a caller that has seen an old state changes nothing, and learns that."""
    run = running(database)
    with database.transaction() as session:
        stale = transitions.get(session, run.id)
        with database.transaction() as other:
            transitions.transition(other, transitions.get(other, run.id), RunState.FAILED)
        assert transitions.transition(session, stale, RunState.SUCCEEDED) is False
    with database.transaction() as session:
        assert transitions.get(session, run.id).state is RunState.FAILED


def test_a_run_took_as_long_as_it_worked(database: Database) -> None:
    """Hours of waiting for a tape, and a night after a failure, do not count."""
    run = running(database)
    hour = timedelta(hours=1)
    with database.transaction() as session:
        found = transitions.get(session, run.id)
        for state in (RunState.WAITING_FOR_TAPE, RunState.FAILED):
            assert times.worked_seconds(found) == pytest.approx(0, abs=60)
            found.started_at -= hour  # type: ignore[operator]
            transitions.transition(session, found, state)
            assert found.idle_since
            found.idle_since -= hour
            found.started_at -= hour  # type: ignore[operator]
            if state is RunState.FAILED:
                retrying.retry(session, found.id, None, "li", None)
            else:
                transitions.transition(session, found, RunState.QUEUED)
            admission.admit(session, "tape0")
            assert times.worked_seconds(found) == pytest.approx(3600, abs=60)
            found.started_at += hour
        found.started_at -= hour
        transitions.transition(session, found, RunState.SUCCEEDED)
        said = session.scalars(select(Notification.facts).where(Notification.event == "success")).one()
    assert said["seconds"] == pytest.approx(3600, abs=60)


def test_a_success_counts_for_the_period_in_which_it_was_due(database: Database) -> None:
    """A run of October that ends in November leaves November open."""
    due = datetime(2026, 10, 31, 23, 0, tzinfo=UTC)
    with database.transaction() as session:
        run = start(session, due=due)
        assert run
        admitted = admission.admit(session, "tape0")
        assert admitted
        transitions.transition(session, admitted, RunState.SUCCEEDED)
        assert schedule(session).last_success_time == due
        following = start(session)
        assert following
        assert following.state is RunState.QUEUED


@pytest.mark.parametrize(
    ("template", "made", "settles"),
    [
        (BackupType.FULL, BackupType.FULL, True),
        (BackupType.FULL, BackupType.INCREMENTAL, False),
        (BackupType.FULL, BackupType.DIFFERENTIAL, False),
        (BackupType.DIFFERENTIAL, BackupType.INCREMENTAL, False),
        (BackupType.INCREMENTAL, BackupType.INCREMENTAL, True),
        (BackupType.INCREMENTAL, BackupType.FULL, True),
    ],
)
def test_a_period_is_settled_by_a_set_of_its_type(
    database: Database, template: BackupType, made: BackupType, settles: bool
) -> None:
    """An increment by hand on the 1st costs the month no full backup; the set that
    was made counts, not the one that was requested."""
    with database.transaction() as session:
        row = schedule(session)
        row.template.type, row.schedule_config = template, {"day": 1, "at": "02:00"}
        run = start(session, due=DUE - timedelta(hours=1), trigger=Trigger.MANUAL)
        assert run
        admitted = admission.admit(session, "tape0")
        assert admitted
        stored = BackupSet(
            id="20261101T010000Z-0001", type=made, state=SetState.COMPLETE, sources=["/"],
            started_at=DUE,
        )  # fmt: skip
        catalog.add_set(session, stored)
        admitted.set_id = stored.id
        transitions.transition(session, admitted, RunState.SUCCEEDED)
        row = schedules.get(session, "monthly")
        assert (row.last_success_time is not None) is settles
        assert (planner.next_to_write(row, DUE - timedelta(minutes=1)) == DUE) is not settles
        scheduled = start(session)
        assert scheduled
        assert scheduled.state is (RunState.SKIPPED if settles else RunState.QUEUED)
