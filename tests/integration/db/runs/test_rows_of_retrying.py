"""What retrying and cancelling leave in a run's row, its steps and its story."""

from __future__ import annotations

import pytest

from db.engine import Database
from db.errors import NotAllowed
from db.models import (
    Options,
)
from db.runs import retrying, starting
from db.states import Kind, RunState, Step, StepState
from tests.integration.db.runs.rows import (
    DUE,
    HOUR,
    claimed,
    failed,
    has,
    is_lately,
    run_steps,
    running,
    schedule,
    started,
    story,
    text_of,
)


@pytest.mark.parametrize("why", [None, "the switch was set"])
def test_a_retried_run_begins_without_its_past(database: Database, why: str | None) -> None:
    with database.transaction() as session:
        schedule(session)
        run = failed(session)
        run.cancel_requested_at = run.dismissed_at = run.wait_until = run.queued_at = DUE
        run.home, run.recoveries, run.resumed, run.tape_failed = "another", 4, {"x": 1}, {"x": 1}
        session.flush()
        session.expire_all()
        assert run.is_held
        assert retrying.retry(session, run.id, None, "li", why) is run
        session.flush()
        session.expire_all()
        assert (run.state, run.is_held, run.recoveries) == (RunState.QUEUED, False, 0)
        has(run, cancel_requested_at=None, dismissed_at=None, wait_until=None, resumed=None, tape_failed=None)
        assert is_lately(run.queued_at)
        told = "retry from format_tape by li" + (f": {why}" if why else "")
        assert text_of(run.reason) == told
        assert story(session, run)[-1] == f"info 1: FAILED → QUEUED: {told}"
        states = [row.state for row in sorted(run_steps(session, run), key=lambda row: row.position)]
        assert states == [*[StepState.SUCCEEDED] * 2, *[StepState.PENDING] * 4]


def test_a_run_without_an_open_step_is_retried_from_its_last(database: Database) -> None:
    """It failed after the last step had passed."""
    with database.transaction() as session:
        schedule(session)
        run = failed(session)
        for row in run_steps(session, run):
            row.state = StepState.SUCCEEDED
        retrying.retry(session, run.id, None, "li", None)
        opened = [row.step for row in run_steps(session, run) if row.state is StepState.PENDING]
        assert opened == [Step.NOTIFY]


def test_a_retry_that_cannot_be_says_what_can(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = failed(session)
        for step in (Step.UPDATE_LABEL, Step.RESTORE):
            with pytest.raises(NotAllowed) as found:
                retrying.retry(session, run.id, step, "li", None)
            told = f"Run {run.id} stopped at 'format_tape' and cannot go on from '{step.value}'."
            assert str(found.value.message) == told
            assert str(found.value.remedy) == "Name 'format_tape' or an earlier step."
        with pytest.raises(NotAllowed) as found:
            retrying.retry(session, run.id, None, "li", None, target="/x")
        told = f"Run {run.id} is no restore: it takes no --identity and no --to."
        assert str(found.value.message) == told
        assert str(found.value.remedy) == f"Retry it without: tapeline runs retry {run.id}"
        assert run.options == Options()
        other = running(session, due=DUE + HOUR)
        with pytest.raises(NotAllowed) as found:
            retrying.retry(session, run.id, None, "li", None)
        assert str(found.value.message) == f"Run {other.id} of schedule 'monthly' is not finished yet."
        assert str(found.value.remedy) == f"Wait for it or cancel it: tapeline runs cancel {other.id}"
        with pytest.raises(NotAllowed) as found:
            retrying.retry(session, other.id, None, "li", None)
        assert (
            str(found.value.message)
            == f"Run {other.id} is RUNNING; only a FAILED or CANCELLED run can be retried."
        )
        assert str(found.value.remedy) == f"'tapeline runs show {other.id}' tells its story."


def test_a_retried_restore_may_go_elsewhere(database: Database) -> None:
    with database.transaction() as session:
        run = starting.start_import(session, drive="tape0", requested_by="li", identity="/key")
        run.kind, run.state = Kind.RESTORE, RunState.FAILED
        for row in run_steps(session, run):
            row.state = StepState.SUCCEEDED
        session.flush()
        retrying.retry(session, run.id, None, "li", None, target="/x")
        assert run.options == Options(identity="/key", target="/x")
        run.state = RunState.FAILED
        session.flush()
        retrying.retry(session, run.id, None, "li", None, identity="/other")
        assert run.options == Options(identity="/other", target="/x")


def test_runs_of_no_schedule_do_not_keep_each_other(database: Database) -> None:
    """Nor does a run of another schedule, or one of the same that has ended."""
    with database.transaction() as session:
        for name in ("monthly", "other"):
            schedule(session, name)
        run = failed(session)
        ended = started(session, due=DUE + HOUR)
        ended.state = RunState.SUCCEEDED
        started(session, "other")
        starting.start_import(session, drive="tape0", requested_by="li")
        mine = starting.start_import(session, drive="tape0", requested_by="li")
        mine.state = RunState.FAILED
        session.flush()
        assert retrying.retry(session, run.id, None, "li", None).state is RunState.QUEUED
        assert retrying.retry(session, mine.id, None, "li", None).state is RunState.QUEUED


def test_a_cancelled_run_ends_or_is_asked_to(database: Database) -> None:
    with database.transaction() as session:
        for name in ("other", "monthly"):
            schedule(session, name, drive={"other": "tape1"}.get(name, "tape0"))
        working, run = running(session, "other"), running(session)
        claimed(session, working)
        assert retrying.cancel(session, run.id, "li") is run
        assert (run.state, run.cancelled_by, run.cancel_requested_at) == (RunState.CANCELLED, "li", None)
        assert text_of(run.reason) == "Cancelled by li."
        told = story(session, working)
        assert retrying.cancel(session, working.id, "li") is working
        assert (working.state, working.cancelled_by) == (RunState.RUNNING, "li")
        assert is_lately(working.cancel_requested_at)
        told.append("info 1: Asked to stop at the next safe point by li.")
        assert story(session, working) == told
        asked = working.cancel_requested_at
        retrying.cancel(session, working.id, "wang")
        assert (working.cancel_requested_at, working.cancelled_by) == (asked, "li")
        assert story(session, working) == told
