"""What ``recover`` writes into the story of a run that it sends again, leaves or gives up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from db.engine import Database
from db.models import ChainStep, Drive, now
from db.runs import steps, transitions
from db.states import RunState, Step, StepState
from db.tapes import drives
from policy.message import M, Message
from tasks import chain
from tasks.periodic import recover
from tests.integration.tasks.recovering import (
    beside,
    configured,
    messages,
    of_step,
    texts,
)
from tests.integration.tasks.test_recover import HOUR, back, begun, claimed, of, passed


def test_a_message_is_lost_whatever_other_runs_do(database: Database, sent: list[Any]) -> None:
    """Only this run's own steps show that it has just gone on."""
    run = begun(database)
    back(database, run)
    other = beside(database)
    assert recover.recover() == [run.id]
    assert of(database, other)[1] == 1
    assert sent == [Step.PRECHECK]


def test_the_last_step_that_ended_counts(database: Database, sent: list[Any]) -> None:
    """However long ago the one before it did."""
    run = begun(database)
    passed(database, claimed(database, run))
    with database.transaction() as session:
        held = steps.claim(session, run.id, run.dispatch, Step.CREATE_RECORD, "worker")
        assert held
        steps.finish(session, held, StepState.SUCCEEDED)
    back(database, run)
    with database.transaction() as session:
        session.get_one(ChainStep, (run.id, 1, Step.CREATE_RECORD)).finished_at = now()
    assert recover.recover() == []
    with database.transaction() as session:
        for row in transitions.get(session, run.id).steps:
            row.finished_at = row.finished_at and now() - (2 if row.position else 1) * HOUR
    assert recover.recover() == [run.id]
    assert sent == [Step.FORMAT_TAPE]


@pytest.mark.parametrize("seconds", [5, 15])
def test_a_message_counts_as_lost_after_the_setting(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    configured(monkeypatch, lost_after_seconds=10)
    run = begun(database)
    back(database, run, timedelta(seconds=seconds))
    assert bool(recover.recover()) is (seconds > 10)
    assert bool(sent) is (seconds > 10)


def test_a_run_that_was_never_sent_is_as_old_as_it_is(database: Database, sent: list[Any]) -> None:
    """Its row was committed, and whoever wanted to send it died."""
    run = begun(database)
    with database.transaction() as session:
        transitions.get(session, run.id).dispatched_at = None
    assert recover.recover() == []
    back(database, run)
    assert recover.recover() == [run.id]
    assert sent == [Step.PRECHECK]


# -- what is told ----------------------------------------------------------------------------------


def test_a_message_that_is_lost_each_minute_is_one_line(database: Database, sent: list[Any]) -> None:
    """Until the run has come further, and is lost again."""
    run = begun(database)
    lost = (Step.PRECHECK, "No worker has taken the message for precheck; it is sent again.")
    for expected in (1, 1, 1):
        back(database, run)
        assert recover.recover() == [run.id]
        assert of_step(database, run, "warning").count(lost) == expected
    with database.transaction() as session:
        transitions.get(session, run.id).moved_at = now()
    back(database, run)
    assert recover.recover() == [run.id]
    assert of_step(database, run, "warning").count(lost) == 2
    assert sent == [Step.PRECHECK] * 4


def test_a_worker_that_took_over_is_told_each_time(database: Database, sent: list[Any]) -> None:
    run = begun(database)
    goes_on = (Step.PRECHECK, "Goes on with precheck on the new worker.")
    for times in (1, 2):
        with database.transaction() as session:
            row = transitions.get(session, run.id)
            held = steps.claim(session, run.id, row.dispatch, Step.PRECHECK, "worker")
            assert held
            steps.give_back(session, held)
            row.dispatched_at = now() - timedelta(seconds=1)
            drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
        assert recover.recover() == [run.id]
        assert of_step(database, run, "info").count(goes_on) == times
    assert sent == [Step.PRECHECK] * 2


def test_a_step_that_is_not_at_the_drive_is_not_handed_over(database: Database, sent: list[Any]) -> None:
    """A new worker of the drive says nothing about those that any host does."""
    run = begun(database)
    passed(database, claimed(database, run))
    with database.transaction() as session:
        held = steps.claim(session, run.id, run.dispatch, Step.CREATE_RECORD, "worker")
        assert held
        steps.give_back(session, held)
        drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
    assert recover.recover() == []
    assert sent == []


def test_what_any_host_does_is_sent_without_the_drives_worker(database: Database, sent: list[Any]) -> None:
    run = begun(database)
    passed(database, claimed(database, run))
    back(database, run, timedelta(minutes=2))
    with database.transaction() as session:
        session.get_one(Drive, "tape0").last_seen_at = now() - 2 * HOUR
    assert recover.recover() == [run.id]
    assert sent == [Step.CREATE_RECORD]


def test_a_run_without_an_open_step_is_left(database: Database, sent: list[Any]) -> None:
    """Its last step is done, and whoever did it is about to end it."""
    run = begun(database)
    with database.transaction() as session:
        for row in transitions.get(session, run.id).steps:
            row.state = StepState.SUCCEEDED
    back(database, run)
    assert recover.recover() == []
    assert (of(database, run)[:2], sent) == ((RunState.RUNNING, 1), [])


def test_a_step_that_began_before_its_worker_is_dead_at_once(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of a drive does one step at a time: nobody is at work on this one."""
    configured(monkeypatch, dead_after_seconds=10**6)
    run = begun(database)
    claimed(database, run)
    assert recover.recover() == []
    with database.transaction() as session:
        session.get_one(ChainStep, (run.id, 1, Step.PRECHECK)).started_at = None
    assert recover.recover() == []
    with database.transaction() as session:
        row = session.get_one(ChainStep, (run.id, 1, Step.PRECHECK))
        row.started_at, row.worker = now() - HOUR, None
    assert recover.recover() == [run.id]
    assert sent == [Step.PRECHECK]
    assert of_step(database, run, "warning") == [(Step.PRECHECK, "The worker of step precheck died (?).")]
    assert of_step(database, run, "info")[-1] == (Step.PRECHECK, "Resumed from precheck.")


def test_a_step_that_any_host_does_has_no_worker_of_the_drive(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lives on when the drive's worker is started anew."""
    configured(monkeypatch, dead_after_seconds=10**6)
    run = begun(database)
    passed(database, claimed(database, run))
    with database.transaction() as session:
        assert steps.claim(session, run.id, run.dispatch, Step.CREATE_RECORD, "worker")
        drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
    assert recover.recover() == []
    assert sent == []


@pytest.mark.parametrize(("silent", "is_dead"), [(7, False), (13, True)])
def test_a_step_is_silent_for_as_long_as_the_setting_says(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch, silent: float, is_dead: bool
) -> None:
    """And that long its story calls it; nobody counts while the database was away."""
    configured(monkeypatch, dead_after_seconds=9.6)
    run = begun(database)
    claimed(database, run)
    with database.transaction() as session:
        row = session.get_one(ChainStep, (run.id, 1, Step.PRECHECK))
        row.heartbeat_at, row.worker = now() - timedelta(seconds=silent), None
    recover.recover()
    told = (Step.PRECHECK, "Step precheck has given no sign of life for 10 s (?).")
    assert of_step(database, run, "warning") == ([told] if is_dead else [])
    assert sent == ([Step.PRECHECK] if is_dead else [])


@pytest.mark.parametrize("at", ["a step", "between steps"])
def test_what_was_cancelled_says_why_it_ended(database: Database, sent: list[Any], at: str) -> None:
    run = begun(database)
    if at == "a step":
        claimed(database, run)
    with database.transaction() as session:
        transitions.get(session, run.id).cancel_requested_at = now()
    back(database, run)
    recover.recover()
    wanted = "Cancelled; its worker had died." if at == "a step" else "Cancelled before its next step."
    with database.transaction() as session:
        reason = transitions.get(session, run.id).reason
        assert reason
        assert str(Message.from_json(reason)) == wanted
    assert sent == [("tapeline.deliver", run.id), "tape0"]


def test_what_is_given_up_says_what_to_do(database: Database, sent: list[Any]) -> None:
    run = begun(database)
    for _ in range(3):
        with database.transaction() as session:
            run = transitions.get(session, run.id)
        claimed(database, run)
        recover.after_a_death(run.id, run.dispatch, chain.message_id(run, Step.PRECHECK))
    [facts] = messages(database, run, "failed")
    reason, remedy = texts(facts)
    assert reason == (
        "Step precheck was resumed 2 times and came no further: The worker of step precheck died (worker)."
    )
    assert remedy == f"See in its worker's log what ends it, then: tapeline runs retry {run.id}"
    assert sent[-1] == "tape0"


def test_a_run_that_is_adopted_without_an_open_step_is_not_sent(database: Database, sent: list[Any]) -> None:
    run = begun(database)
    with database.transaction() as session:
        for row in transitions.get(session, run.id).steps:
            row.state = StepState.SUCCEEDED
    recover.adopt(run.id)
    assert (of(database, run)[1], sent) == (2, [])


def test_who_gave_up_in_vain_is_told_at_his_step(database: Database, sent: list[Any]) -> None:
    run = begun(database)
    held = claimed(database, run)
    recover.gave_up(replace(held, attempt=7), M("the cause"))
    assert of_step(database, run, "warning") == [(Step.PRECHECK, "the cause")]
    assert sent == []


# -- who waits -------------------------------------------------------------------------------------
