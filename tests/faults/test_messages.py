"""Messages that come twice, late, out of order, or forged: a message is only a nudge."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from db.models import ChainRun, ChainStep, FormatPermit, Notification, RunEvent
from db.states import STEPS, Kind
from tape.virtual import shelf
from tests.faults import trial as at
from tests.faults.fragile import FragileSystem
from tests.faults.proof import SUCCESS, End, prove
from tests.faults.trial import Place, Trial

STEP_NAMES = [step.value for step in STEPS[Kind.BACKUP]]
AGAIN = End(messages=("failed", "success"))


def rows_of(system: FragileSystem, run_id: int) -> list[object]:
    """Everything that the database knows of a run, but for heartbeats and the delivery of its messages."""
    owned = [ChainStep, RunEvent, FormatPermit, Notification]

    def read(session: Any) -> list[object]:
        found: list[object] = [_values(row) for row in session.scalars(select(ChainRun).filter_by(id=run_id))]
        for table in owned:
            rows = session.scalars(select(table).filter_by(run_id=run_id))
            found += sorted(map(_values, rows))
        return found

    return list(system.ask(read))


def _values(row: Any) -> str:
    return str({column.name: getattr(row, column.name) for column in row.__table__.columns})


def attempts(trial: Trial) -> set[int]:
    wanted = select(ChainStep.attempts).where(ChainStep.run_id == trial.run_id)
    return set(trial.system.ask(lambda session: session.scalars(wanted).all()))


@pytest.mark.parametrize(
    "place", [at.PRECHECK, at.RECORD, at.FORMAT, at.LABEL, at.ARCHIVE, at.NOTIFY], ids=str
)
def test_every_message_comes_twice_while_a_step_works(system: FragileSystem, place: Place) -> None:
    """All six messages again, the last step first, in the middle of a step: each step is done once."""
    trial = Trial(system, tape=place.tape, faults=place.faults)
    before = system.ignored()
    with place.held(trial):
        system.resend(trial.run_id, 1, *reversed(STEP_NAMES))
    prove(trial, SUCCESS)
    system.wait_for(lambda: system.ignored() >= before + len(STEP_NAMES), "each copy to be ignored")
    assert attempts(trial) == {1}


def test_every_message_comes_again_after_the_end(system: FragileSystem) -> None:
    """Nothing changes, not a row."""
    trial = Trial(system, tape={})
    trial.begin()
    prove(trial, SUCCESS)
    _nothing_changes(trial, 1)


@pytest.mark.parametrize("dispatch", [0, 2, 999_999])
def test_forged_messages(system: FragileSystem, dispatch: int) -> None:
    """Another dispatch number than the run's, while it works and after its end: nothing changes."""
    trial = Trial(system, tape=at.FORMAT.tape)
    before = system.ignored()
    with at.FORMAT.held(trial):
        system.resend(trial.run_id, dispatch, *STEP_NAMES)
        system.send("chain_failed", "forged", run_id=trial.run_id, dispatch=dispatch)
    prove(trial, SUCCESS)
    system.wait_for(lambda: system.ignored() >= before + len(STEP_NAMES), "each forgery to be ignored")
    assert attempts(trial) == {1}
    _nothing_changes(trial, dispatch)


@pytest.mark.parametrize("dispatch", [0, 999_999])
def test_forged_messages_before_the_true_ones(system: FragileSystem, dispatch: int) -> None:
    """The step is free and nobody else asks for it: the dispatch number alone keeps the forgery out."""
    trial = Trial(system, tape={})
    system.kill("tape")
    trial.begin()
    system.wait_for(lambda: trial.state == "RUNNING", "the run to be sent")
    system.settle()
    system.flush_redis()
    system.resend(trial.run_id, dispatch, *STEP_NAMES)
    system.start("tape")
    prove(trial, SUCCESS)
    claimed = select(ChainStep.dispatch).where(ChainStep.run_id == trial.run_id)
    assert dispatch not in system.ask(lambda session: session.scalars(claimed).all())


def _nothing_changes(trial: Trial, dispatch: int) -> None:
    system = trial.system
    before, ignored = rows_of(system, trial.run_id), system.ignored()
    system.resend(trial.run_id, dispatch, *reversed(STEP_NAMES))
    system.wait_for(lambda: system.ignored() >= ignored + len(STEP_NAMES), "each message to be ignored")
    system.send("chain_failed", "late", run_id=trial.run_id, dispatch=dispatch)
    system.settle()
    assert rows_of(system, trial.run_id) == before
    prove(trial, SUCCESS)


def test_messages_of_the_first_attempt_come_after_a_retry(system: FragileSystem) -> None:
    """The first attempt failed, an operator retried: what is still on its way from then does nothing."""
    trial = Trial(system, tape=at.FORMAT.tape)
    shelf.remove(system.drive.path)
    trial.begin()
    system.wait_for(lambda: trial.state == "FAILED", "the failure")
    shelf.insert(system.drive.path, trial.barcode)
    before = system.ignored()
    system.send("retry", trial.run_id)
    system.wait_for(lambda: trial.record.formatting, "the format")
    system.resend(trial.run_id, 1, *STEP_NAMES)
    system.send("chain_failed", f"run{trial.run_id}-1-1-precheck", run_id=trial.run_id, dispatch=1)
    prove(trial, AGAIN)
    system.wait_for(lambda: system.ignored() >= before + len(STEP_NAMES), "each old message to be ignored")


def test_an_error_callback_of_another_step(system: FragileSystem) -> None:
    """The death of a step that is over takes nothing from the one that is at work."""
    trial = Trial(system, tape=at.FORMAT.tape)
    with at.FORMAT.held(trial):
        system.send("chain_failed", f"run{trial.run_id}-1-1-precheck", run_id=trial.run_id, dispatch=1)
    prove(trial, SUCCESS)
    assert attempts(trial) == {1}


@pytest.mark.parametrize("place", [at.RECORD, at.LABEL], ids=str)
def test_a_step_of_the_drive_sent_to_a_control_worker(system: FragileSystem, place: Place) -> None:
    """Only the worker that holds the drive works at it, whatever queue a message is put in."""
    trial = Trial(system, tape=place.tape)
    following = STEP_NAMES[STEP_NAMES.index(place.step) + 1]
    with place.held(trial), system.paused("tape"):
        pass
    system.send(following, trial.run_id, 1, queue="control")
    prove(trial, SUCCESS)
    workers = select(ChainStep.worker).where(ChainStep.run_id == trial.run_id, ChainStep.step == following)
    assert system.ask(lambda session: session.scalar(workers)) == "tape@test"


def test_a_run_that_does_not_exist(system: FragileSystem) -> None:
    """A message for it is ignored, and the worker lives on."""
    before = system.ignored()
    for step in STEP_NAMES:
        system.send(
            step, 999_999, 1, queue="tape" if step in {"precheck", "format_tape", "run_backup"} else "control"
        )
    system.wait_for(lambda: system.ignored() >= before + len(STEP_NAMES), "each message to be ignored")
