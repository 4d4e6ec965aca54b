"""Which run is sent again, and which is left where it is: two workers at one run would be one too many."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from celery_app import celery
from db.engine import Database
from db.models import ChainRun, ChainStep, Drive, RunEvent, now
from db.runs import admission, starting, steps, transitions
from db.runs.steps import Claim
from db.states import RunState, Step, StepState
from db.tapes import drives
from policy.guard import Doubt, GuardRule
from policy.message import M, Message
from tasks import chain
from tasks.periodic import recover
from tests.integration.db.tapes.test_permits import run_at

assert celery.app  # what the tasks are of

HOUR = timedelta(hours=1)


def begun(database: Database, *, worker: bool = True) -> ChainRun:
    """A run whose chain was sent at this moment, by a worker that lives."""
    with database.transaction() as session:
        if worker:
            drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
        return run_at(session, "tape0")


def claimed(database: Database, run: ChainRun) -> Claim:
    with database.transaction() as session:
        held = steps.claim(session, run.id, run.dispatch, Step.PRECHECK, "worker")
    assert held
    return held


def passed(database: Database, held: Claim) -> None:
    with database.transaction() as session:
        steps.finish(session, held, StepState.SUCCEEDED)


def back(database: Database, run: ChainRun, since: timedelta = HOUR) -> None:
    """All of it happened so long ago, but for the worker of the drive, which lives."""
    with database.transaction() as session:
        row = transitions.get(session, run.id)
        row.created_at -= since
        row.dispatched_at = row.dispatched_at and row.dispatched_at - since
        for step in session.scalars(select(ChainStep).where(ChainStep.run_id == run.id)):
            for name in ("started_at", "heartbeat_at", "finished_at"):
                if moment := getattr(step, name):
                    setattr(step, name, moment - since)


def of(database: Database, run: ChainRun) -> tuple[RunState, int, dict[Step, StepState]]:
    """A run's state, its dispatch, and which of its steps are not where they began."""
    with database.transaction() as session:
        row = transitions.get(session, run.id)
        states: dict[Step, StepState] = {step.step: step.state for step in row.steps}
        moved = {step for step in states if states[step] is not StepState.PENDING}
        return row.state, row.dispatch, {step: states[step] for step in moved}


def story(database: Database, run: ChainRun) -> list[str]:
    with database.transaction() as session:
        kept = session.scalars(select(RunEvent).where(RunEvent.run_id == run.id).order_by(RunEvent.id))
        return [f"{event.level}: {Message.from_json(event.message)}" for event in kept]


AT_WORK = (RunState.RUNNING, 1, {Step.PRECHECK: StepState.RUNNING})
SENT_AGAIN: tuple[RunState, int, dict[Step, StepState]] = (RunState.RUNNING, 2, {})


def test_the_step_whose_process_died_is_sent_again(database: Database, sent: list[Any]) -> None:
    """Under a new number, so that no message of before opens it."""
    run = begun(database)
    claimed(database, run)
    recover.after_a_death(run.id, run.dispatch, chain.message_id(run, Step.PRECHECK))
    assert (of(database, run), sent) == (SENT_AGAIN, [Step.PRECHECK])
    assert story(database, run)[-2:] == [
        "warning: The worker of step precheck died (worker).", "info: Resumed from precheck.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "told", ["of another dispatch", "of another step", "of no step", "of a run that waits"]
)
def test_a_late_or_forged_word_of_a_death_changes_nothing(
    database: Database, sent: list[Any], told: str
) -> None:
    """Whoever works is not disturbed, and nobody begins beside him."""
    run = begun(database)
    if told != "of no step":
        claimed(database, run)
    message = chain.message_id(run, Step.FORMAT_TAPE if told == "of another step" else Step.PRECHECK)
    with database.transaction() as session:
        if told == "of a run that waits":
            transitions.get(session, run.id).state = RunState.WAITING_FOR_TAPE
    before = of(database, run), story(database, run)
    recover.after_a_death(run.id, run.dispatch + (told == "of another dispatch"), message)
    assert (of(database, run), story(database, run)) == before
    assert sent == []


@pytest.mark.parametrize("other", [{}, {"attempt": 2}, {"part": 2}, {"step": Step.RUN_BACKUP}, None])
def test_who_gives_up_gives_up_his_own_step(
    database: Database, sent: list[Any], other: dict[str, Any] | None
) -> None:
    """One in other hands is left there, and so is a run that has left its drive."""
    run = begun(database)
    held = claimed(database, run)
    if other is None:
        with database.transaction() as session:
            transitions.get(session, run.id).state = RunState.WAITING_FOR_TAPE
    before = of(database, run)
    recover.gave_up(replace(held, **(other or {})), M("the cause"))
    if other == {}:
        assert (of(database, run), sent) == (SENT_AGAIN, [Step.PRECHECK])
        assert story(database, run)[-2:] == ["warning: the cause", "info: Resumed from precheck."]
    else:
        assert (of(database, run), sent) == (before, [])
        assert story(database, run)[-1] == "warning: the cause"


@pytest.mark.parametrize("at", ["a step", "between steps", "a run that waits"])
def test_what_was_started_anew_takes_its_run_over(database: Database, sent: list[Any], at: str) -> None:
    """From where it is; a run that has left its drive is not sent: the next one of the drive is."""
    run = begun(database)
    held = claimed(database, run)
    if at == "between steps":
        passed(database, held)
    with database.transaction() as session:
        if at == "a run that waits":
            transitions.get(session, run.id).state = RunState.WAITING_FOR_TAPE
    before = of(database, run)
    recover.adopt(run.id)
    if at == "a step":
        assert (of(database, run), sent) == (SENT_AGAIN, [Step.PRECHECK])
    elif at == "between steps":
        assert of(database, run) == (RunState.RUNNING, 2, {Step.PRECHECK: StepState.SUCCEEDED})
        assert sent == [Step.CREATE_RECORD]
    else:
        assert (of(database, run), sent) == (before, ["tape0"])


def test_a_step_at_work_is_left_alone(database: Database, sent: list[Any]) -> None:
    """As long as it gives signs of life, however long ago its message was sent."""
    run = begun(database)
    held = claimed(database, run)
    with database.transaction() as session:
        transitions.get(session, run.id).dispatched_at = now() - HOUR
        steps.beat(session, held)
        session.get_one(ChainStep, (run.id, 1, Step.PRECHECK)).heartbeat_at = now() + HOUR
    assert recover._look_after(run.id) is False
    assert recover.recover() == []
    assert (of(database, run), sent) == (AT_WORK, [])


def test_a_silent_step_is_sent_again(database: Database, sent: list[Any]) -> None:
    """And said to be silent; a row on which somebody is at work is looked at the next time."""
    run = begun(database)
    claimed(database, run)
    with database.transaction() as session:
        session.get_one(ChainStep, (run.id, 1, Step.PRECHECK)).heartbeat_at = now() - timedelta(seconds=1)
    with database.transaction() as session:
        transitions.get(session, run.id, lock=True)
        assert recover.recover() == []
    assert (of(database, run), sent) == (AT_WORK, [])
    assert recover.recover() == [run.id]
    assert (of(database, run), sent) == (SENT_AGAIN, [Step.PRECHECK])
    assert story(database, run)[-2] == "warning: Step precheck has given no sign of life for 0 s (worker)."


@pytest.mark.parametrize("is_passed", [False, True])
def test_a_message_that_nobody_took_is_sent_again(
    database: Database, sent: list[Any], is_passed: bool
) -> None:
    """Not before it may count as lost: since it was sent, and since the step before it has ended."""
    run = begun(database)
    if is_passed:
        passed(database, claimed(database, run))
        with database.transaction() as session:
            transitions.get(session, run.id).dispatched_at = now() - HOUR
    assert recover.recover() == []
    assert sent == []
    back(database, run)
    assert recover.recover() == [run.id]
    assert of(database, run)[1] == 2
    wanted = Step.CREATE_RECORD if is_passed else Step.PRECHECK
    assert sent == [wanted]
    lost = f"warning: No worker has taken the message for {wanted.value}; it is sent again."
    assert story(database, run)[-1] == lost
    assert recover.recover() == []


def test_nothing_is_sent_to_a_worker_that_does_not_live(database: Database, sent: list[Any]) -> None:
    """It would lie there; when the worker lives it is sent."""
    run = begun(database)
    back(database, run, timedelta(minutes=2))
    with database.transaction() as session:
        drive = session.get_one(Drive, "tape0")
        drive.registered_at = drive.last_seen_at = now() - 2 * HOUR
    assert recover.recover() == []
    assert of(database, run)[1] == 1
    with database.transaction() as session:
        drives.seen(session, "tape0")
    assert recover.recover() == [run.id]


@pytest.mark.parametrize("how", ["given back", "never taken", "sent since"])
def test_a_step_that_a_worker_gave_back_goes_on_with_the_next(
    database: Database, sent: list[Any], how: str
) -> None:
    """At once where the drive has a new worker since it was sent."""
    run = begun(database, worker=False)
    if how != "never taken":
        held = claimed(database, run)
        with database.transaction() as session:
            steps.give_back(session, held)
    with database.transaction() as session:
        drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
        if how == "sent since":
            transitions.get(session, run.id).dispatched_at = now() + timedelta(seconds=1)
    assert recover.recover() == ([run.id] if how == "given back" else [])
    assert sent == ([Step.PRECHECK] if how == "given back" else [])
    goes_on = "info: Goes on with precheck on the new worker."
    assert (story(database, run)[-1] == goes_on) is (how == "given back")


@pytest.mark.parametrize("is_claimed", [False, True])
def test_a_run_that_was_to_stop_is_not_sent_again(
    database: Database, sent: list[Any], is_claimed: bool
) -> None:
    """It ends, and the next run has the drive."""
    run = begun(database)
    if is_claimed:
        claimed(database, run)
    with database.transaction() as session:
        transitions.get(session, run.id).cancel_requested_at = now()
    back(database, run)
    assert recover.recover() == []
    assert of(database, run)[0] is RunState.CANCELLED
    assert sent == [("tapeline.deliver", run.id), "tape0"]


def test_a_run_that_has_left_its_drive_since_is_not_sent(database: Database, sent: list[Any]) -> None:
    """Between the list of those under way and the look at this one."""
    run = begun(database)
    back(database, run)
    with database.transaction() as session:
        transitions.get(session, run.id).state = RunState.WAITING_FOR_TAPE
    before = of(database, run)
    assert recover._look_after(run.id) is False
    assert (of(database, run), sent) == (before, [])


def test_a_step_that_comes_no_further_is_given_up(database: Database, sent: list[Any]) -> None:
    """It has failed then, and a retry goes on from it."""
    run = begun(database)
    for _ in range(3):
        with database.transaction() as session:
            run = transitions.get(session, run.id)
        claimed(database, run)
        recover.after_a_death(run.id, run.dispatch, chain.message_id(run, Step.PRECHECK))
    assert of(database, run) == (RunState.FAILED, 3, {Step.PRECHECK: StepState.FAILED})
    assert sent == [Step.PRECHECK, Step.PRECHECK, ("tapeline.deliver", run.id), "tape0"]


def waiting(database: Database) -> ChainRun:
    """A run that waits for a tape, at a drive whose worker lives."""
    run = begun(database)
    with database.transaction() as session:
        found = transitions.get(session, run.id)
        found.wait_until = now() + HOUR
        transitions.transition(session, found, RunState.WAITING_FOR_TAPE, M("the reason"))
    return run


def asked(sent: list[Any]) -> list[str]:
    return [each[0] for each in sent if isinstance(each, tuple)]


def test_a_run_that_waits_has_its_drive_looked_at(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One question at a time, and only where an answer is to be had."""
    queues: list[str | None] = []

    def ask(name: str, *, queue: str | None = None, run_id: int) -> None:
        sent.append((name, run_id))
        queues.append(queue)

    monkeypatch.setattr(chain, "ask", ask)
    run = waiting(database)
    recover.recover()
    assert sent == [("tapeline.deliver", run.id), ("tapeline.look", run.id)]
    assert queues == [None, "tape"]
    recover.recover()
    assert asked(sent).count("tapeline.look") == 1
    with database.transaction() as session:
        transitions.get(session, run.id).look_asked_at = None
    recover.recover()
    assert asked(sent).count("tapeline.look") == 2


@pytest.mark.parametrize("why", ["another run has the drive", "its worker does not live", "it is held"])
def test_a_drive_that_would_not_answer_is_not_asked(database: Database, sent: list[Any], why: str) -> None:
    run = waiting(database)
    with database.transaction() as session:
        if why == "another run has the drive":
            starting.start_import(session, drive="tape0", requested_by="li")
            assert admission.admit(session, "tape0")
        elif why == "its worker does not live":
            session.get_one(Drive, "tape0").last_seen_at = now() - HOUR
        else:
            session.query(ChainRun).update({"home": "another"})
    recover.recover()
    assert "tapeline.look" not in asked(sent)
    with database.transaction() as session:
        assert transitions.get(session, run.id).look_asked_at is None


@pytest.mark.parametrize("state", [RunState.WAITING_FOR_TAPE, RunState.HELD])
@pytest.mark.parametrize("is_held", [False, True])
def test_who_waits_too_long_fails(
    database: Database, sent: list[Any], state: RunState, is_held: bool
) -> None:
    """At its time and not before; nothing becomes of a run that a restored database holds."""
    del sent
    run = waiting(database)
    with database.transaction() as session:
        found = transitions.get(session, run.id)
        found.state = state
        found.doubts = [Doubt(GuardRule.EMPTY, "/data", M("It is empty."), 100.0).to_json()]
    recover.recover()
    assert of(database, run)[0] is state
    with database.transaction() as session:
        transitions.get(session, run.id).wait_until = now() - timedelta(seconds=1)
        if is_held:
            session.query(ChainRun).update({"home": "another"})
    recover.recover()
    assert of(database, run)[0] is (state if is_held else RunState.FAILED)


def test_one_that_cannot_be_looked_after_keeps_no_other_from_it(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each drive that something is queued for is offered to it."""
    first = begun(database)
    with database.transaction() as session:
        drives.register(session, name="tape1", driver="virtual", host="h", worker="w", queue="tape")
        second = run_at(session, "tape1")
        starting.start_import(session, drive="tape2", requested_by="li")
    for run in (first, second):
        back(database, run)
    whole = transitions.get_unless_locked

    def get_unless_locked(session: Session, run_id: int) -> Any:
        return SimpleNamespace() if run_id == first.id else whole(session, run_id)

    monkeypatch.setattr(transitions, "get_unless_locked", get_unless_locked)
    assert recover.recover() == [second.id]
    assert sent == [Step.PRECHECK, "tape2"]
