"""What a person decides about a run: try it again, or cancel it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from db.engine import Database
from db.errors import NotAllowed, NotFound
from db.models import Notification, RunEvent
from db.runs import admission, retrying, starting, steps, transitions
from db.states import RunState, Step, StepState
from policy.message import M
from tests.integration.db.runs.runs import claimed, fail, running


@pytest.mark.parametrize(("step", "allowed"), [
    (None, True), (Step.PRECHECK, True), (Step.FORMAT_TAPE, True), (Step.RUN_BACKUP, True),
    (Step.NOTIFY, False), (Step.RESTORE, False),
])  # fmt: skip
def test_a_failed_run_goes_on_from_its_failed_step_or_an_earlier_one(
    database: Database, step: Step | None, allowed: bool
) -> None:
    """A later step, or one that the run does not have, is refused."""
    run = running(database)
    fail(database, run, Step.RUN_BACKUP)
    with database.transaction() as session:
        if not allowed:
            with pytest.raises(NotAllowed, match="run_backup"):
                retrying.retry(session, run.id, step, "me", None)
            return
        retried = retrying.retry(session, run.id, step, "me", "because")
        assert retried.state is RunState.QUEUED
        opened = admission.first_open_step(session, retried)
        assert opened
        assert opened.step is (step or Step.RUN_BACKUP)
        story = session.scalars(select(RunEvent.message).where(RunEvent.run_id == run.id)).all()
        assert "because" in str(story[-1])


def test_only_a_failed_run_is_retried(database: Database) -> None:
    """An active run, and one that does not exist, are refused with a remedy."""
    run = running(database)
    with database.transaction() as session:
        with pytest.raises(NotAllowed, match="RUNNING"):
            retrying.retry(session, run.id, None, "me", None)
        with pytest.raises(NotFound, match="tapeline runs"):
            retrying.retry(session, 999, None, "me", None)


def test_a_retry_beside_an_active_run_of_the_schedule_is_refused(database: Database) -> None:
    """One active run of a schedule: the other one is named."""
    run = running(database)
    fail(database, run, Step.PRECHECK)
    other = running(database)
    with database.transaction() as session, pytest.raises(NotAllowed, match=f"Run {other.id}"):
        retrying.retry(session, run.id, None, "me", None)


def test_cancelling_is_at_once_or_at_a_safe_point(database: Database) -> None:
    """Without a running step the run ends now; with one, the step is asked to stop."""
    run = running(database)
    held = claimed(database, run)
    with database.transaction() as session:
        assert retrying.cancel(session, run.id, "me").state is RunState.RUNNING
    with database.transaction() as session:
        assert steps.beat(session, held) is True
        steps.finish(session, held, StepState.SUCCEEDED)
        assert retrying.cancel(session, run.id, "me").state is RunState.CANCELLED
        with pytest.raises(NotAllowed, match="CANCELLED"):
            retrying.cancel(session, run.id, "me")


def test_a_cancelled_run_is_taken_up_where_it_stopped(database: Database) -> None:
    """The step that obeyed the cancel is done again, what is before it is not."""
    run = running(database)
    held = claimed(database, run)
    with database.transaction() as session:
        steps.finish(session, held, StepState.SUCCEEDED)
    held = claimed(database, run, Step.CREATE_RECORD)
    with database.transaction() as session:
        retrying.cancel(session, run.id, "me")
        steps.finish(session, held, StepState.FAILED)
        transitions.transition(session, transitions.get(session, run.id), RunState.CANCELLED)
    with database.transaction() as session:
        again = retrying.retry(session, run.id, None, "li", "it was the wrong one")
        assert (again.state, again.cancel_requested_at) == (RunState.QUEUED, None)
        assert admission.admit(session, "tape0") is again
        assert admission.first_open_step(session, again).step is Step.CREATE_RECORD  # type: ignore[union-attr]
        assert again.dispatch == run.dispatch + 1
    assert claimed(database, again, Step.CREATE_RECORD).cancelled is False


def test_a_run_that_waits_is_not_to_be_retried(database: Database) -> None:
    """It continues automatically, also without a schedule; its message shows UTC, as the settings do."""
    with database.transaction() as session:
        run = starting.start_import(session, drive="tape0", requested_by="li")
        admission.admit(session, "tape0")
        run.wait_until = datetime(2026, 12, 1, 8, tzinfo=UTC)
        remedy = M("Insert {tapes}, then: tapeline runs retry {run}", tapes="A", run=run.id)
        transitions.transition(session, run, RunState.WAITING_FOR_TAPE, M("the reason"), remedy)
        facts = session.scalars(
            select(Notification.facts).where(Notification.event == "waiting_for_tape")
        ).one()
    assert facts["remedy"]["id"].startswith("Change the tape: the run goes on by itself.")
    assert facts["remedy"]["params"] == {"until": "2026-12-01 08:00 (UTC)"}
    assert facts["time_zone"] is None
