"""Starting, admitting, claiming, retrying, cancelling: what the database decides."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Database
from db.errors import LostClaim
from db.models import ChainRun, Notification
from db.runs import admission, retrying, starting, steps, transitions
from db.schedules import schedules
from db.states import RunState, Step, StepState, Trigger
from policy.message import M
from tests.integration.db.runs.runs import DUE, claimed, running, schedule, start


def test_a_start_is_announced_once(database: Database) -> None:
    """When a run gets its drive for the first time, and not again when it continues after a failure."""
    run = running(database)
    with database.transaction() as session:
        found = transitions.get(session, run.id)
        transitions.transition(session, found, RunState.FAILED)
        retrying.retry(session, run.id, None, "li", None)
        admission.admit(session, "tape0")
        said = session.scalars(select(Notification.event).order_by(Notification.id)).all()
    assert said == ["started", "failed"]


def test_a_reason_to_wait_is_announced_once(database: Database) -> None:
    """A run that tries, and comes to wait again for the same, is no news; another reason is, and so is the
    same one after an operator has retried the run, which may wait as long as the first time."""
    run = running(database)
    told = [("the write-protect switch", 1), ("the write-protect switch", 1), ("another tape", 2)]
    with database.transaction() as session:
        found = transitions.get(session, run.id)
        for reason, times in told:
            transitions.transition(session, found, RunState.WAITING_FOR_TAPE, M(reason))
            assert _waits_announced(session) == times
            transitions.transition(session, found, RunState.QUEUED)
            admission.admit(session, "tape0")
        found.wait_until = datetime.now(UTC)
        transitions.transition(session, found, RunState.FAILED)
        retrying.retry(session, run.id, None, "li", None)
        assert found.wait_until is None
        admission.admit(session, "tape0")
        transitions.transition(session, found, RunState.WAITING_FOR_TAPE, M("another tape"))
        assert _waits_announced(session) == 3


def _waits_announced(session: Session) -> int:
    rows = session.scalars(select(Notification).where(Notification.event == "waiting_for_tape"))
    return len(rows.all())


def test_an_occurrence_is_decided_once(database: Database) -> None:
    """Announced twice, an occurrence is one run."""
    with database.transaction() as session:
        assert start(session)
        assert start(session) is None


def test_two_beats_at_once_make_one_run(database: Database) -> None:
    """Two processes that announce different moments at the same time get one run and one refusal."""
    with database.transaction() as session:
        schedule(session)
    barrier = threading.Barrier(2)
    failures: list[BaseException] = []

    def announce(minutes: int) -> None:
        try:
            with database.transaction() as session:
                barrier.wait(10)
                start(session, due=DUE + timedelta(minutes=minutes))
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=announce, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with database.transaction() as session:
        states = sorted(session.scalars(select(ChainRun.state)))
    assert states == [RunState.QUEUED, RunState.SKIPPED]


@pytest.mark.parametrize("refusal", ["disabled", "active", "period"])
def test_a_refusal_is_a_skipped_run_with_its_reason_and_a_message(database: Database, refusal: str) -> None:
    """Skipped is recorded, announced, and never counted as a success."""
    with database.transaction() as session:
        row = schedule(session)
        if refusal == "disabled":
            row.enabled = False
        elif refusal == "active":
            start(session, due=DUE - timedelta(days=40))
        else:
            row.last_success_time = DUE + timedelta(hours=1)
        run = start(session)
        assert run
        assert run.state is RunState.SKIPPED
        assert run.reason
        assert run.finished_at
        assert list(run.steps) == []
        events = session.scalars(select(Notification.event).where(Notification.run_id == run.id)).all()
        assert events == ["skipped"]
        assert row.last_success_time == (DUE + timedelta(hours=1) if refusal == "period" else None)


def test_a_run_by_hand_is_exempt_from_the_period(database: Database) -> None:
    """The period check applies only to automatic runs."""
    with database.transaction() as session:
        schedule(session).last_success_time = DUE
        run = start(session, trigger=Trigger.MANUAL, due=DUE + timedelta(hours=1))
        assert run
        assert run.state is RunState.QUEUED


def test_a_drive_is_given_in_the_order_of_arrival_to_one_run_at_a_time(database: Database) -> None:
    """The second run waits until the first has ended, then has its turn before the third."""
    with database.transaction() as session:
        ids = [run.id for name in ("a", "b", "c") if (run := start(session, name))]
        admitted = admission.admit(session, "tape0")
        assert admitted
        assert admitted.id == ids[0]
        assert admitted.dispatch == 1
        assert admission.admit(session, "tape0") is None
        transitions.transition(session, admitted, RunState.FAILED)
        following = admission.admit(session, "tape0")
        assert following
        assert following.id == ids[1]


def test_a_drive_is_given_to_no_run_of_another_drive(database: Database) -> None:
    """However long the other run has waited."""
    with database.transaction() as session:
        starting.start(session, schedule(session, "a", "tape1"), due_at=DUE, trigger=Trigger.SCHEDULE)
        assert admission.admit(session, "tape0") is None
        assert admission.admit(session, "tape1")


def test_two_admissions_at_once_give_the_drive_to_one(database: Database) -> None:
    """However many processes admit at the same moment, one run has the drive."""
    with database.transaction() as session:
        for name in ("a", "b", "c", "d"):
            start(session, name)

    def admit() -> None:
        with database.transaction() as session:
            admission.admit(session, "tape0")

    threads = [threading.Thread(target=admit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.transaction() as session:
        states = session.scalars(select(ChainRun.state)).all()
    assert states.count(RunState.RUNNING) == 1


def test_a_step_is_claimed_once(database: Database) -> None:
    """A repeated message finds nothing to claim."""
    run = running(database)
    claimed(database, run)
    with database.transaction() as session:
        assert steps.claim(session, run.id, run.dispatch, Step.PRECHECK, "other") is None


@pytest.mark.parametrize("dispatch", [0, 2, -1, 10**9])
def test_a_stale_or_forged_message_claims_nothing(database: Database, dispatch: int) -> None:
    """Only the number of the present dispatch opens a step."""
    run = running(database)
    with database.transaction() as session:
        assert steps.claim(session, run.id, dispatch, Step.PRECHECK, "w") is None
        assert steps.claim(session, run.id + 1, 1, Step.PRECHECK, "w") is None


@pytest.mark.parametrize("step", list(Step))
def test_a_message_out_of_order_claims_nothing(database: Database, step: Step) -> None:
    """A step can be claimed only when all steps before it have passed; a forged message changes nothing."""
    run = running(database)
    with database.transaction() as session:
        held = steps.claim(session, run.id, run.dispatch, step, "w")
        assert (held is not None) == (step is Step.PRECHECK)


def test_who_lost_the_claim_changes_nothing_more(database: Database) -> None:
    """A worker that returns after it was declared dead cannot beat, finish or change the run."""
    run = running(database)
    lost = claimed(database, run)
    with database.transaction() as session:
        found = transitions.get(session, run.id, lock=True)
        admission.reopen(session, found, Step.PRECHECK)
        admission.new_dispatch(found)
        run = found
    mine = claimed(database, run)
    for act in (
        lambda session: steps.beat(session, lost),
        lambda session: steps.hold(session, lost),
        lambda session: steps.finish(session, lost, StepState.SUCCEEDED),
    ):
        with pytest.raises(LostClaim), database.transaction() as session:
            act(session)
    with database.transaction() as session:
        steps.finish(session, mine, StepState.SUCCEEDED)
        steps.finish(session, mine, StepState.SUCCEEDED)


def test_times_and_counters_are_those_of_every_run(database: Database) -> None:
    """By hand, by the schedule, skipped, missed, failed and retried: each counts as how it ended, and a run
    that is retried began last, however old it is."""
    failed = running(database)
    with database.transaction() as session:
        transitions.transition(session, transitions.get(session, failed.id), RunState.FAILED)
        due = datetime.now(UTC)
        night = start(session, due=due)
        assert night
        admission.admit(session, "tape0")
        transitions.transition(session, night, RunState.SUCCEEDED)
    with database.transaction() as session:
        row = schedules.get(session, "monthly")
        first = row.last_run_time
        assert first
        assert row.last_success_time == due
        assert row.last_failure_time == transitions.get(session, failed.id).finished_at
        assert row.last_failure_time < first
        skipped = start(session, due=due + timedelta(seconds=1))
        starting.record_missed(session, row, due + timedelta(seconds=2), M("nobody was there"))
        assert skipped
        assert skipped.state is RunState.SKIPPED
        assert (row.last_run_time, row.last_success_time) == (first, due)
        expected = {"runs": 2, "successes": 1, "failures": 1, "skipped": 1, "missed": 1}
        assert schedules.counts(session, row) == expected
    with database.transaction() as session:
        retrying.retry(session, failed.id, None, "li", None)
        again = admission.admit(session, "tape0")
        assert again
        transitions.transition(session, again, RunState.SUCCEEDED)
        row = schedules.get(session, "monthly")
        assert row.last_run_time
        assert row.last_run_time > first
        assert row.last_success_time == due, "the newer period stays done"
        assert schedules.counts(session, row) == {**expected, "successes": 2, "failures": 0}


def test_what_follows_a_run_of_a_schedule_was_not_started_by_hand(database: Database) -> None:
    """A verification that a backup asks for has nobody who asked, unless somebody started the backup."""
    with database.transaction() as session:
        by_itself = starting.start_import(session, drive="tape0", requested_by=None)
        by_hand = starting.start_import(session, drive="tape0", requested_by="li")
        assert (by_itself.trigger, by_hand.trigger) == (Trigger.SCHEDULE, Trigger.MANUAL)
