"""Starting, admitting, claiming, retrying, cancelling: what the database decides."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Database
from db.errors import LostClaim, NotAllowed, NotFound
from db.models import BackupSet, ChainRun, Notification, RunEvent, ScheduledTask
from db.runs import admission, retrying, starting, steps, times, transitions
from db.schedules import planner, schedules
from db.sets import catalog
from db.states import STEPS, TRANSITIONS, BackupType, Kind, RunState, Step, StepState, Trigger
from policy.message import M
from policy.tapes.facts import SetState

DUE = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)


def schedule(session: Session, name: str = "monthly", drive: str = "tape0") -> ScheduledTask:
    return schedules.put(session, name, drive=drive, sources=["/data"], time_zone="UTC")


def start(session: Session, name: str = "monthly", due: datetime = DUE, **how: Any) -> ChainRun | None:
    return starting.start(
        session, schedule(session, name), due_at=due, trigger=how.get("trigger", Trigger.SCHEDULE)
    )


def running(database: Database, name: str = "monthly") -> ChainRun:
    """A run that owns its drive."""
    with database.transaction() as session:
        start(session, name, trigger=Trigger.MANUAL, due=datetime.now(UTC))
        run = admission.admit(session, "tape0")
        assert run
        return run


def claimed(database: Database, run: ChainRun, step: Step = Step.PRECHECK) -> steps.Claim:
    with database.transaction() as session:
        held = steps.claim(session, run.id, run.dispatch, step, "worker")
    assert held
    return held


def test_a_start_is_announced_once(database: Database) -> None:
    """When a run gets its drive for the first time, and not again when it goes on after a failure."""
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
    """The period check holds for automatic runs only."""
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
    """However long that one has waited."""
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
    """A step opens when all before it have been passed, whoever forges its message."""
    run = running(database)
    with database.transaction() as session:
        held = steps.claim(session, run.id, run.dispatch, step, "w")
        assert (held is not None) == (step is Step.PRECHECK)


def test_who_lost_the_claim_changes_nothing_more(database: Database) -> None:
    """A worker that comes back from the dead can neither beat nor finish nor touch the run."""
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


def fail(database: Database, run: ChainRun, at: Step) -> None:
    """Pass all steps before ``at`` and fail there."""
    with database.transaction() as session:
        for step in STEPS[Kind.BACKUP]:
            held = steps.claim(session, run.id, run.dispatch, step, "w")
            assert held
            if step is at:
                steps.finish(session, held, StepState.FAILED)
                break
            steps.finish(session, held, StepState.SUCCEEDED)
        transitions.transition(session, transitions.get(session, run.id), RunState.FAILED)


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
    """A run that is under way, and one that does not exist, are refused with a remedy."""
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
    """Compare-and-set: who looks at an old state changes nothing and is told so."""
    run = running(database)
    with database.transaction() as session:
        stale = transitions.get(session, run.id)
        with database.transaction() as other:
            transitions.transition(other, transitions.get(other, run.id), RunState.FAILED)
        assert transitions.transition(session, stale, RunState.SUCCEEDED) is False
    with database.transaction() as session:
        assert transitions.get(session, run.id).state is RunState.FAILED


def test_a_run_took_as_long_as_it_worked(database: Database) -> None:
    """Hours of waiting for a tape, and a night in which it stood failed, are no part of it."""
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
    """An increment by hand on the 1st costs the month no full backup; whatever was asked for, the set that
    came of it counts."""
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


def test_a_run_that_waits_is_not_to_be_retried(database: Database) -> None:
    """It goes on by itself, also where no schedule asked for it; its clock is the one of the setting."""
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
