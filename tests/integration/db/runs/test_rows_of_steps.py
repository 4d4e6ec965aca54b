"""What claims, heartbeats and the end of a step leave in its row, and that they touch no other step."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from db.engine import Database
from db.errors import LostClaim
from db.models import (
    ChainStep,
    now,
)
from db.runs import admission, steps, transitions
from db.states import RunState, Step, StepState
from policy.errors import TapelineError
from policy.message import M, Message
from tests.integration.db.runs.rows import (
    DUE,
    claimed,
    is_lately,
    of_run,
    run_steps,
    running,
    schedule,
    step_of,
    text_of,
    values_of,
)


def test_a_claim_is_of_this_attempt(database: Database) -> None:
    """And the row says who works since when; the result of the attempt before is no longer its end."""
    with database.transaction() as session:
        for name in ("other", "monthly"):
            schedule(session, name, drive={"other": "tape1"}.get(name, "tape0"))
        other, run = running(session, "other"), running(session)
        run.dispatch, run.moved_at = 5, DUE
        row = step_of(session, run)
        row.attempts, row.finished_at = 2, DUE
        before = of_run(session, other)
        held = claimed(session, run)
        assert held == steps.Claim(run.id, 1, Step.PRECHECK, 3, 5, "worker@host", cancelled=False)
        row = step_of(session, run)
        assert (row.state, row.attempts, row.dispatch) == (StepState.RUNNING, 3, 5)
        assert (row.worker, row.finished_at) == ("worker@host", None)
        assert is_lately(row.started_at)
        assert is_lately(row.heartbeat_at)
        assert is_lately(run.moved_at)
        assert [each.state for each in run_steps(session, run)].count(StepState.RUNNING) == 1
        assert of_run(session, other) == before


@pytest.mark.parametrize("why", [
    "another dispatch", "no such run", "waiting", "held", "not its step", "taken", "not its turn",
])  # fmt: skip
def test_a_message_that_opens_nothing_changes_nothing(database: Database, why: str) -> None:
    with database.transaction() as session:
        schedule(session)
        run = running(session)
        number, dispatch, step = run.id, run.dispatch, Step.PRECHECK
        if why == "another dispatch":
            dispatch += 1
        elif why == "no such run":
            number += 1
        elif why == "waiting":
            transitions.transition(session, run, RunState.WAITING_FOR_TAPE)
        elif why == "held":
            run.home = "another"
            session.flush()
            session.refresh(run)
        elif why == "not its step":
            step = Step.RESTORE
        elif why == "taken":
            claimed(session, run)
        else:
            step = Step.CREATE_RECORD
        before = of_run(session, run)
        assert steps.claim(session, number, dispatch, step, "x") is None
        assert of_run(session, run) == before


@pytest.mark.parametrize("passed", [StepState.SUCCEEDED, StepState.SKIPPED, StepState.FAILED])
def test_a_step_is_next_where_all_before_it_are_passed(database: Database, passed: StepState) -> None:
    """In this part of this run."""
    with database.transaction() as session:
        for name in ("other", "monthly"):
            schedule(session, name, drive={"other": "tape1"}.get(name, "tape0"))
        other, run = running(session, "other"), running(session)
        for row in run_steps(session, other):
            row.state = StepState.SUCCEEDED
        session.flush()
        assert steps.claim(session, run.id, run.dispatch, Step.CREATE_RECORD, "x") is None
        step_of(session, run).state = passed
        session.flush()
        held = steps.claim(session, run.id, run.dispatch, Step.CREATE_RECORD, "x")
        assert (held is not None) is (passed is not StepState.FAILED)
        admission.begin_part(session, run, M("why"))
        assert steps.claim(session, run.id, run.dispatch, Step.CREATE_RECORD, "x") is None


@pytest.mark.parametrize("step", [Step.PRECHECK, Step.NOTIFY])
@pytest.mark.parametrize("asked", [False, True])
def test_a_step_of_a_run_that_was_cancelled_knows_it(database: Database, step: Step, asked: bool) -> None:
    """But for the last one, which has nothing left to stop."""
    with database.transaction() as session:
        schedule(session)
        run = running(session)
        run.cancel_requested_at = DUE if asked else None
        for row in run_steps(session, run):
            row.state = StepState.PENDING if row.step is step else StepState.SUCCEEDED
        session.flush()
        assert claimed(session, run, step).cancelled is (asked and step is Step.PRECHECK)


def test_a_heartbeat_is_of_its_own_step(database: Database) -> None:
    """It brings progress, says whether anything moved, and takes back whether the run is to stop."""
    with database.transaction() as session:
        for name in ("other", "monthly"):
            schedule(session, name, drive={"other": "tape1"}.get(name, "tape0"))
        other, run = running(session, "other"), running(session)
        held = claimed(session, run)
        claimed(session, other)
        before = of_run(session, other)
        row = step_of(session, run)
        row.heartbeat_at = run.moved_at = DUE
        run.progress = {"bytes": 1}
        session.flush()
        assert steps.beat(session, held) is False
        assert is_lately(step_of(session, run).heartbeat_at)
        assert (values_of(session, run)["moved_at"], run.progress) == (DUE, {"bytes": 1})
        assert steps.beat(session, held, {"bytes": 2}) is False
        assert (values_of(session, run)["moved_at"], run.progress) == (DUE, {"bytes": 2})
        assert steps.beat(session, held, moved=True) is False
        assert is_lately(values_of(session, run)["moved_at"])
        assert run.progress == {"bytes": 2}
        run.cancel_requested_at = DUE
        session.flush()
        assert steps.beat(session, held) is True
        assert of_run(session, other) == before


def test_who_claims_a_step_keeps_everybody_from_the_run(database: Database) -> None:
    """Until it is committed: nobody cancels or ends the run between the look at it and the claim."""
    with database.transaction() as session:
        schedule(session)
        run = running(session)
    with database.transaction() as session:
        claimed(session, run)
        with database.transaction() as other:
            assert transitions.get_unless_locked(other, run.id) is None


def test_who_holds_a_claim_has_the_run_to_himself(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = running(session)
        held = claimed(session, run)
        step_of(session, run).heartbeat_at = run.moved_at = DUE
    with database.transaction() as session:
        assert steps.hold(session, held).id == run.id
        with database.transaction() as other:
            assert transitions.get_unless_locked(other, run.id) is None
    with database.transaction() as session:
        run = transitions.get(session, run.id)
        assert is_lately(run.moved_at)
        assert is_lately(step_of(session, run).heartbeat_at)


class Broken(TapelineError):
    """An error of a step."""


@pytest.mark.parametrize("remedy", [None, M("Mend it.")])
def test_the_end_of_a_step_is_kept(database: Database, remedy: Message | None) -> None:
    """With its result or its error, once; a second report of the same end changes nothing."""
    with database.transaction() as session:
        for name in ("other", "monthly"):
            schedule(session, name, drive={"other": "tape1"}.get(name, "tape0"))
        other, run = running(session, "other"), running(session)
        held = claimed(session, run)
        claimed(session, other)
        before = of_run(session, other)
        run.moved_at = DUE
        session.flush()
        steps.finish(session, held, StepState.FAILED, result={"a": 1}, error=Broken(M("It broke."), remedy))
        row = step_of(session, run)
        assert (row.state, row.result) == (StepState.FAILED, {"a": 1})
        assert row.error
        assert (row.error["type"], text_of(row.error["message"])) == ("Broken", "It broke.")
        assert text_of(row.error["remedy"]) == (None if remedy is None else "Mend it.")
        assert set(row.error) == {"type", "message", "remedy"}
        assert is_lately(row.finished_at)
        assert is_lately(values_of(session, run)["moved_at"])
        mine = of_run(session, run)
        steps.finish(session, held, StepState.FAILED, result={"a": 2})
        assert of_run(session, run) == mine
        with pytest.raises(LostClaim) as lost:
            steps.finish(session, held, StepState.SUCCEEDED)
        text = f"Step precheck of run {run.id} belongs to another worker by now."
        assert str(lost.value.message) == text
        assert of_run(session, other) == before


def test_a_step_without_an_error_has_none(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = running(session)
        steps.finish(session, claimed(session, run), StepState.SUCCEEDED)
        row = step_of(session, run)
        assert (row.state, row.result, row.error) == (StepState.SUCCEEDED, None, None)


@pytest.mark.parametrize("other", [{"attempt": 2}, {"part": 2}, {"step": Step.NOTIFY}, {"run_id": 10**6}])
def test_a_claim_of_another_attempt_is_none(database: Database, other: dict[str, Any]) -> None:
    with database.transaction() as session:
        schedule(session)
        run = running(session)
        held = claimed(session, run)
        lost = steps.Claim(**{**{name: getattr(held, name) for name in held.__slots__}, **other})
        before = of_run(session, run)
        for act in (steps.beat, steps.give_back):
            with pytest.raises(LostClaim):
                act(session, lost)
        with pytest.raises(LostClaim):
            steps._touch(session, lost, state=StepState.FAILED)
        assert of_run(session, run) == before


def test_a_step_that_is_given_back_may_be_claimed(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = running(session)
        held = claimed(session, run)
        steps.give_back(session, held)
        row = step_of(session, run)
        assert (row.state, row.heartbeat_at, row.attempts) == (StepState.PENDING, None, 1)
        assert claimed(session, run).attempt == 2


@pytest.mark.parametrize(("state", "beat", "start", "dead"), [
    (StepState.RUNNING, 61, 61, True), (StepState.RUNNING, 59, 900, False),
    (StepState.RUNNING, 900, 59, True), (StepState.RUNNING, None, 61, True),
    (StepState.RUNNING, None, 59, False), (StepState.RUNNING, None, None, False),
    (StepState.PENDING, 900, 900, False), (StepState.FAILED, 900, 900, False),
])  # fmt: skip
def test_a_running_step_without_signs_of_life_is_dead(
    state: StepState, beat: float | None, start: float | None, dead: bool
) -> None:
    """By its heartbeat, or by its start as long as there is none."""

    def ago(seconds: float | None) -> datetime | None:
        return None if seconds is None else now() - timedelta(seconds=seconds)

    row = ChainStep(state=state, heartbeat_at=ago(beat), started_at=ago(start))
    assert steps.is_dead(row, timedelta(minutes=1)) is dead


def test_a_dead_step_ends_and_no_other(database: Database) -> None:
    with database.transaction() as session:
        for name in ("other", "monthly"):
            schedule(session, name, drive={"other": "tape1"}.get(name, "tape0"))
        other, run = running(session, "other"), running(session)
        for each in (run, other):
            claimed(session, each)
            admission.begin_part(session, each, M("why"))
            claimed(session, each)
        dead = step_of(session, run)
        before, elsewhere = of_run(session, run), of_run(session, other)
        stale = ChainStep(run_id=run.id, part=2, step=Step.PRECHECK, attempts=7)
        steps.fail_dead(session, stale)
        assert of_run(session, run) == before
        steps.fail_dead(session, dead)
        after = of_run(session, run)
        ended = [row for row in after[1] if row not in before[1]]
        assert [(row["part"], row["step"], row["state"]) for row in ended] == [
            (2, Step.PRECHECK, StepState.FAILED)
        ]
        assert is_lately(ended[0]["finished_at"])
        assert of_run(session, other) == elsewhere


# -- retrying --------------------------------------------------------------------------------------
