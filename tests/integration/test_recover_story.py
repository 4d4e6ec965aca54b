"""What ``recover`` says and to whom: lines of a story, reminders, failures; and which moments count."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from celery_app import settings
from db import doubts
from db.engine import Database
from db.models import ChainRun, ChainStep, Drive, Notification, RunEvent, now
from db.runs import admission, starting, steps, transitions
from db.states import RunState, Step, StepState
from db.tapes import drives
from policy.guard import Doubt, GuardRule
from policy.message import M, Message
from tasks import chain
from tasks.periodic import recover
from tests.integration import test_recover
from tests.integration.test_permits import run_at
from tests.integration.test_recover import HOUR, back, begun, claimed, of, passed, waiting

sent = test_recover.sent


def configured(monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    """With these settings."""
    found = replace_all(settings.load(), how)
    monkeypatch.setattr(settings, "load", lambda: found)


def replace_all(found: settings.Settings, how: dict[str, Any]) -> settings.Settings:
    return found.model_copy(update=how)


def beside(database: Database) -> ChainRun:
    """A run at another drive, whose worker lives, and that is under way at this moment."""
    with database.transaction() as session:
        drives.register(session, name="tape1", driver="virtual", host="h", worker="w", queue="tape1")
        run = run_at(session, "tape1")
        held = steps.claim(session, run.id, run.dispatch, Step.PRECHECK, "w")
        assert held
        steps.finish(session, held, StepState.SUCCEEDED)
        return run


def messages(database: Database, run: ChainRun, event: str) -> list[dict[str, Any]]:
    with database.transaction() as session:
        query = select(Notification.facts).where(Notification.run_id == run.id, Notification.event == event)
        return list(session.scalars(query.order_by(Notification.id)))


def texts(facts: dict[str, Any]) -> tuple[str | None, ...]:
    return tuple(facts[name] and str(Message.from_json(facts[name])) for name in ("reason", "remedy"))


def of_step(database: Database, run: ChainRun, level: str) -> list[tuple[Step | None, str]]:
    """The lines of a story of a level, with their steps."""
    with database.transaction() as session:
        kept = (
            select(RunEvent).where(RunEvent.run_id == run.id, RunEvent.level == level).order_by(RunEvent.id)
        )
        return [(each.step, str(Message.from_json(each.message))) for each in session.scalars(kept)]


# -- which moments count ---------------------------------------------------------------------------


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


def aged(database: Database, run: ChainRun, event: str, since: timedelta) -> None:
    with database.transaction() as session:
        for row in session.scalars(
            select(Notification).where(Notification.run_id == run.id, Notification.event == event)
        ):
            row.created_at -= since


def test_a_run_that_waits_is_called_to_mind(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time of the setting, with its reason, and counted from the last time."""
    configured(monkeypatch, reminder_seconds=3600)
    run = waiting(database)
    recover.recover()
    aged(database, run, "waiting_for_tape", timedelta(minutes=59))
    recover.recover()
    assert len(messages(database, run, "waiting_for_tape")) == 1
    aged(database, run, "waiting_for_tape", timedelta(minutes=2))
    recover.recover()
    recover.recover()
    first, second = messages(database, run, "waiting_for_tape")
    assert texts(first) == texts(second)
    assert texts(second)[0] == "the reason"
    assert ("tapeline.deliver", run.id) in sent


def test_a_run_that_waits_for_no_reason_is_called_to_mind_as_well(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(monkeypatch, reminder_seconds=3600)
    run = waiting(database)
    with database.transaction() as session:
        transitions.get(session, run.id).reason = None
    aged(database, run, "waiting_for_tape", 2 * HOUR)
    recover.recover()
    assert [texts(facts)[0] for facts in messages(database, run, "waiting_for_tape")] == ["the reason", None]
    assert sent


def test_a_run_of_which_nothing_was_announced_is_not_called_to_mind(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(monkeypatch, reminder_seconds=0)
    run = begun(database)
    with database.transaction() as session:
        transitions.get(session, run.id).state = RunState.WAITING_FOR_TAPE
    recover.recover()
    assert messages(database, run, "waiting_for_tape") == []
    assert sent


def test_who_waited_for_a_tape_too_long_says_what_to_do(database: Database, sent: list[Any]) -> None:
    run = waiting(database)
    with database.transaction() as session:
        transitions.get(session, run.id).wait_until = now() - timedelta(seconds=1)
    recover.recover()
    [facts] = messages(database, run, "failed")
    reason, remedy = texts(facts)
    assert reason == "The right tape did not come in time."
    assert remedy == f"With the right tape in the drive: tapeline runs retry {run.id}"
    assert sent == [("tapeline.deliver", run.id)]
    with database.transaction() as session:
        assert transitions.get(session, run.id).look_asked_at is None


def test_who_waits_without_an_end_waits(database: Database, sent: list[Any]) -> None:
    run = waiting(database)
    with database.transaction() as session:
        transitions.get(session, run.id).wait_until = None
    recover.recover()
    assert of(database, run)[0] is RunState.WAITING_FOR_TAPE
    with database.transaction() as session:
        row = transitions.get(session, run.id)
        assert row.look_asked_at is not None
        assert timedelta(0) <= now() - row.look_asked_at < HOUR
        row.state = RunState.HELD
        row.doubts = [DOUBT]
    recover.recover()
    assert of(database, run)[0] is RunState.HELD
    assert sent[-1] == ("tapeline.deliver", run.id)


DOUBT = Doubt(GuardRule.EMPTY, "/data", M("It is empty."), 100.0).to_json()


def held_run(database: Database) -> ChainRun:
    run = begun(database)
    with database.transaction() as session:
        doubts.hold(session, transitions.get(session, run.id), [Doubt.from_json(DOUBT)], HOUR)
    return run


def test_a_held_run_is_called_to_mind(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what a person can do; and when its time is over it fails."""
    configured(monkeypatch, reminder_seconds=3600)
    run = held_run(database)
    recover.recover()
    assert len(messages(database, run, "held")) == 1
    aged(database, run, "held", 2 * HOUR)
    recover.recover()
    first, second = messages(database, run, "held")
    assert texts(first) == texts(second)
    assert "If the sources are right as they are: " in str(texts(second)[1])
    assert sent == [("tapeline.deliver", run.id)] * 2
    with database.transaction() as session:
        transitions.get(session, run.id).wait_until = now() - timedelta(seconds=1)
    recover.recover()
    [facts] = messages(database, run, "failed")
    reason, remedy = texts(facts)
    assert reason == "Nobody accepted the sources in time. It is empty."
    assert remedy == f"Put the sources right, then: tapeline runs retry {run.id}"


@pytest.mark.parametrize("state", [RunState.WAITING_FOR_TAPE, RunState.HELD])
@pytest.mark.parametrize("why", ["gone on", "locked", "held back"])
def test_who_no_longer_waits_is_left(database: Database, sent: list[Any], state: RunState, why: str) -> None:
    """Between the list and the look at this one; also one that a restored database holds."""
    run = waiting(database)
    with database.transaction() as session:
        row = transitions.get(session, run.id)
        row.state, row.wait_until, row.doubts = state, now() - HOUR, [DOUBT]
        if why == "gone on":
            row.state = RunState.QUEUED
        elif why == "held back":
            row.home = "another"
    before = of(database, run)
    attend = recover._look_after_held if state is RunState.HELD else recover._look_after_waiting
    with database.transaction() as session:
        if why == "locked":
            transitions.get(session, run.id, lock=True)
        attend(run.id)
    assert (of(database, run), sent) == (before, [])


def queued(session: Session, drive: str) -> None:
    starting.start_import(session, drive=drive, requested_by="li")


def test_each_drive_is_offered_once_and_each_stalled_run_is_told(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose drive has no worker is announced, and somebody is sent to deliver that."""
    configured(monkeypatch, stalled_after_seconds=60)
    run = begun(database)
    back(database, run)
    with database.transaction() as session:
        session.get_one(Drive, "tape0").last_seen_at = now() - 2 * HOUR
        transitions.get(session, run.id).moved_at = now() - HOUR
        for drive in ("tape5", "tape5"):
            queued(session, drive)
        assert admission.admit(session, "tape6") is None
    assert recover.recover() == []
    [facts] = messages(database, run, "stalled")
    assert texts(facts)[0] == f"Run {run.id} has drive tape0, and its worker is not running."
    assert sent == [("tapeline.deliver", run.id), "tape5"]
