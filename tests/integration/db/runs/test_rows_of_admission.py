"""What admission to a drive and a new part leave in a run's row and in its steps."""

from __future__ import annotations

import pytest

from db.engine import Database
from db.runs import admission, transitions
from db.states import STEPS, Kind, RunState, Step, StepState
from db.tapes import drives
from policy.message import M
from tests.integration.db.runs.rows import (
    DUE,
    HOUR,
    has,
    is_lately,
    of_run,
    run_steps,
    schedule,
    started,
    story,
    text_of,
)


def test_an_admitted_run_has_the_drive_and_a_number(database: Database) -> None:
    """The first that was queued for this drive, and not one that a restored database holds."""
    with database.transaction() as session:
        for name, drive in (("held", "tape0"), ("late", "tape0"), ("early", "tape0"), ("other", "tape1")):
            schedule(session, name, drive=drive)
            run = started(session, name)
            run.queued_at = DUE - {"held": 3, "late": 0, "early": 1, "other": 2}[name] * HOUR
            if name == "held":
                run.home = "another"
        session.flush()
        session.expire_all()
        assert drives.running(session, "tape0") is None
        got = admission.admit(session, "tape0")
        assert got
        assert got.schedule
        assert (got.schedule.name, got.state, got.dispatch) == ("early", RunState.RUNNING, 1)
        assert is_lately(got.dispatched_at)
        assert drives.running(session, "tape0") == got.id
        assert drives.running(session, "tape1") is None
        assert admission.admit(session, "tape0") is None
        second = admission.admit(session, "tape1")
        assert second
        assert second.schedule
        assert second.schedule.name == "other"


def test_of_two_that_were_queued_at_once_the_first_number_is_first(database: Database) -> None:
    with database.transaction() as session:
        runs = []
        for name in ("a", "b", "c"):
            schedule(session, name)
            runs.append(started(session, name))
            runs[-1].queued_at = DUE
        session.flush()
        for run in runs:
            got = admission.admit(session, "tape0")
            assert got is run
            transitions.transition(session, run, RunState.FAILED)


@pytest.mark.parametrize("state", StepState)
def test_the_first_step_that_is_not_passed_is_open(database: Database, state: StepState) -> None:
    """Of this run and this part."""
    with database.transaction() as session:
        for name in ("other", "monthly"):
            schedule(session, name)
        started(session, "other")
        run = started(session)
        first, second, *_ = sorted(run_steps(session, run), key=lambda row: row.position)
        first.state = state
        session.flush()
        found = admission.first_open_step(session, run)
        assert found is (second if state in {StepState.SUCCEEDED, StepState.SKIPPED} else first)
        for row in run_steps(session, run):
            row.state = StepState.SUCCEEDED
        session.flush()
        assert admission.first_open_step(session, run) is None
        admission.begin_part(session, run, M("why"))
        found = admission.first_open_step(session, run)
        assert found
        assert (found.part, found.step) == (2, Step.PRECHECK)


def test_a_new_part_begins_from_nothing(database: Database) -> None:
    """What was done stays done, what was not is not needed any more; another run is not touched."""
    with database.transaction() as session:
        for name in ("other", "monthly"):
            schedule(session, name)
        other = started(session, "other")
        run = started(session)
        run.tape_seen, run.tape_failed, run.wait_until = {"label": "A"}, {"tries": 1}, DUE
        states = [StepState.SUCCEEDED, StepState.SKIPPED, StepState.FAILED, StepState.RUNNING]
        for row, state in zip(
            sorted(run_steps(session, run), key=lambda row: row.position), states, strict=False
        ):
            row.state = state
        before = of_run(session, other)
        session.flush()
        admission.begin_part(session, run, M("The tape is full."))
        has(run, part=2, tape_seen=None, tape_failed=None, wait_until=None)
        found = of_run(session, run)[1]
        assert [row["state"] for row in found[:6]] == [StepState.SUCCEEDED, *[StepState.SKIPPED] * 5]
        assert [text_of(row["result"] and row["result"]["reason"]) for row in found[:6]] == [
            None, None, *["The tape is full."] * 4,
        ]  # fmt: skip
        assert [is_lately(row["finished_at"]) for row in found[:6]] == [False, False, *[True] * 4]
        anew = [(row["part"], row["step"], row["state"]) for row in found[6:]]
        assert anew == [(2, step, StepState.PENDING) for step in STEPS[Kind.BACKUP]]
        assert len(run.steps) == 12
        assert story(session, run)[-1] == "info 2: Part 2 begins: The tape is full."
        assert of_run(session, other) == before


def test_reopened_steps_are_as_if_never_begun(database: Database) -> None:
    """From the named one on, in this part of this run."""
    with database.transaction() as session:
        for name in ("other", "monthly"):
            schedule(session, name)
        runs = [started(session, "other"), started(session)]
        admission.begin_part(session, runs[1], M("why"))
        for run in runs:
            for row in run_steps(session, run):
                row.state, row.attempts = StepState.FAILED, 3
                row.heartbeat_at = row.finished_at = DUE
                row.error = row.result = {"x": 1}
        session.flush()
        other, before = of_run(session, runs[0]), of_run(session, runs[1])[1]
        assert runs[1].steps
        admission.reopen(session, runs[1], Step.FORMAT_TAPE)
        assert [row.state for row in runs[1].steps[8:]] == [StepState.PENDING] * 4
        after = of_run(session, runs[1])[1]
        assert after[:8] == before[:8]
        opened = {"state": StepState.PENDING, "heartbeat_at": None, "finished_at": None}
        opened |= {"error": None, "result": None}
        assert after[8:] == [row | opened for row in before[8:]]
        assert of_run(session, runs[0]) == other


# -- steps -----------------------------------------------------------------------------------------
