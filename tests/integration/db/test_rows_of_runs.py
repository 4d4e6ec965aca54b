"""What each decision about a run leaves in its row, its steps and its story, and that it touches no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.engine import Database
from db.errors import LostClaim, NotAllowed, NotFound
from db.models import (
    BackupSet,
    BackupTask,
    ChainRun,
    ChainStep,
    Notes,
    Notification,
    Options,
    RunEvent,
    ScheduledTask,
    now,
)
from db.runs import admission, lookup, retrying, starting, steps, transitions
from db.schedules import schedules
from db.sets import catalog
from db.states import STEPS, BackupType, Kind, RecordState, RunState, Step, StepState, Trigger
from db.tapes import drives
from policy.errors import TapelineError
from policy.message import M, Message
from policy.tapes.facts import SetState
from tests.integration.db.test_cartridges import tape

DUE = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SINCE = datetime.now(UTC)


def schedule(session: Session, name: str = "monthly", **how: Any) -> ScheduledTask:
    how.setdefault("drive", "tape0")
    how.setdefault("time_zone", "UTC")
    return schedules.put(session, name, sources=["/data"], **how)


def started(session: Session, name: str = "monthly", due: datetime = DUE, **how: Any) -> ChainRun:
    how.setdefault("trigger", Trigger.MANUAL)
    run = starting.start(session, schedules.get(session, name), due_at=due, **how)
    assert run
    return run


def running(session: Session, name: str = "monthly", **how: Any) -> ChainRun:
    started(session, name, **how)
    run = admission.admit(session, schedules.get(session, name).drive)
    assert run
    return run


def values(row: Any) -> dict[str, Any]:
    """Every column of a row."""
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def has(row: Any, **expected: Any) -> None:
    assert {name: getattr(row, name) for name in expected} == expected


def of_run(session: Session, run: ChainRun) -> Any:
    """Everything about a run, to see that nothing has changed."""
    session.flush()
    session.expire_all()
    rows = session.scalars(select(ChainStep).where(ChainStep.run_id == run.id)).all()
    return values(run), sorted((values(row) for row in rows), key=lambda row: (row["part"], row["position"]))


def story(session: Session, run: ChainRun) -> list[str]:
    session.flush()
    kept = session.scalars(select(RunEvent).where(RunEvent.run_id == run.id).order_by(RunEvent.id))
    return [f"{each.level} {each.part}: {Message.from_json(each.message)}" for each in kept]


def said(session: Session, run: ChainRun) -> list[str]:
    found = session.scalars(
        select(Notification).where(Notification.run_id == run.id).order_by(Notification.id)
    )
    return [each.event for each in found]


def text_of(stored: dict[str, Any] | None) -> str | None:
    return None if stored is None else str(Message.from_json(stored))


def is_lately(moment: datetime | None) -> bool:
    return moment is not None and SINCE <= moment <= now()


# -- starting --------------------------------------------------------------------------------------


def test_a_started_run_says_all_about_itself(database: Database) -> None:
    with database.transaction() as session:
        row = schedule(session, drive="tape7", time_zone="Asia/Shanghai")
        due = datetime(2026, 10, 31, 20, 0, tzinfo=UTC)
        set_id = "20261001T020000Z-ab"
        on_it = tape(session, set_id=set_id)
        given = Options(type=BackupType.FULL, erase_label=on_it.label)
        run = started(session, due=due, requested_by="li", options=given)
        assert (run.kind, run.schedule_id, run.trigger) == (Kind.BACKUP, row.id, Trigger.MANUAL)
        assert (run.requested_by, run.drive, run.due_at, run.period) == ("li", "tape7", due, "2026-11")
        assert (run.options, run.notes) == (given, Notes(erase_sets=(set_id,)))
        assert (run.state, run.reason) == (RunState.QUEUED, None)
        assert (run.finished_at, run.part, run.dispatch, run.dispatched_at) == (None, 1, 0, None)
        session.flush()
        session.expire(run)
        rows = [(row.part, row.position, row.step, row.state, row.attempts) for row in run.steps]
        names = STEPS[Kind.BACKUP]
        assert rows == [(1, place, step, StepState.PENDING, 0) for place, step in enumerate(names)]
        assert story(session, run) == ["info 1: Queued for drive tape7 by li."]
        assert said(session, run) == []


def test_a_run_by_itself_has_nobody_who_asked(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = started(session, trigger=Trigger.SCHEDULE)
        assert (run.options, run.notes) == (Options(), Notes())
        assert (run.requested_by, run.trigger) == (None, Trigger.SCHEDULE)
        assert story(session, run) == ["info 1: Queued for drive tape0."]


def test_a_moment_is_taken_by_a_run_of_the_same_schedule_alone(database: Database) -> None:
    """Two schedules are often due at the same moment, and one at many."""
    with database.transaction() as session:
        for name in ("a", "b"):
            schedule(session, name)
        first, second = started(session, "a"), started(session, "b")
        assert (first.state, second.state) == (RunState.QUEUED, RunState.QUEUED)
        for name in ("a", "b"):
            row = schedules.get(session, name)
            assert starting.start(session, row, due_at=DUE, trigger=Trigger.MANUAL) is None
            assert starting.record_missed(session, row, DUE, M("late")) is None
        third = starting.record_missed(session, schedules.get(session, "a"), DUE + HOUR, M("late"))
        assert third
        assert starting.record_missed(session, schedules.get(session, "b"), DUE + HOUR, M("late"))
        assert starting.of_moment(session, schedules.get(session, "a"), DUE).id == first.id
        assert starting.of_moment(session, schedules.get(session, "b"), DUE).id == second.id
        assert starting.of_moment(session, schedules.get(session, "a"), DUE + HOUR).id == third.id


@pytest.mark.parametrize(
    "state", [state for state in RunState if state not in {RunState.QUEUED, RunState.RUNNING}]
)
def test_an_unfinished_run_alone_keeps_the_next_one_from_starting(
    database: Database, state: RunState
) -> None:
    """One that waits or is held does; one that has ended does not, nor one of another schedule."""
    with database.transaction() as session:
        for name in ("monthly", "other"):
            schedule(session, name)
        before, other = started(session), started(session, "other")
        before.state = state
        session.flush()
        run = started(session, due=DUE + HOUR)
        active = state in {RunState.WAITING_FOR_TAPE, RunState.HELD}
        assert run.state is (RunState.SKIPPED if active else RunState.QUEUED)
        reason = f"Run {before.id} of schedule 'monthly' is not finished yet."
        assert text_of(run.reason) == (reason if active else None)
        assert other.state is RunState.QUEUED


@pytest.mark.parametrize(("how", "reason"), [
    ("disabled", "Schedule 'monthly' is disabled."),
    ("held", "Schedule 'monthly' is held since the database was restored."),
    ("done", "Period 2026-11 of schedule 'monthly' has its backup already."),
])  # fmt: skip
def test_a_refusal_is_told_in_full(database: Database, how: str, reason: str) -> None:
    with database.transaction() as session:
        row = schedule(session)
        if how == "disabled":
            row.enabled = False
        elif how == "held":
            row.home = "another"
        else:
            row.last_success_time = DUE
        session.flush()
        session.refresh(row)
        run = started(session, trigger=Trigger.SCHEDULE)
        assert (run.state, text_of(run.reason)) == (RunState.SKIPPED, reason)
        assert is_lately(run.finished_at)
        assert (run.period, run.drive, run.due_at) == ("2026-11", "tape0", DUE)
        assert story(session, run) == [f"info 1: Skipped: {reason}"]
        facts = session.scalars(select(Notification.facts).where(Notification.run_id == run.id)).one()
        assert text_of(facts["reason"]) == reason
        assert of_run(session, run)[1] == []


def test_who_was_faster_is_named(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two start at the same moment, the index decides, and the refusal names the other run."""
    monkeypatch.setattr(starting, "_refusal", lambda *_: None)
    with database.transaction() as session:
        for name in ("monthly", "other"):
            schedule(session, name)
        ended = started(session, due=DUE - HOUR)
        ended.state = RunState.FAILED
        started(session, "other")
        first = started(session)
        second = started(session, due=DUE + HOUR)
        assert second.state is RunState.SKIPPED
        assert text_of(second.reason) == f"Run {first.id} of schedule 'monthly' is not finished yet."


def test_who_was_faster_may_have_ended_since(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the index's refusal and the question who it was."""
    monkeypatch.setattr(starting, "_refusal", lambda *_: None)
    with database.transaction() as session:
        schedule(session)
        started(session)
        monkeypatch.setattr(lookup, "ACTIVE", frozenset())
        second = started(session, due=DUE + HOUR)
        assert text_of(second.reason) == "Run 0 of schedule 'monthly' is not finished yet."


def test_another_contradiction_is_no_refusal(database: Database) -> None:
    """A run of a schedule that is not there is a fault of ours, and no run that somebody skipped."""
    with database.transaction() as session:
        run = ChainRun(kind=Kind.BACKUP, schedule_id=10**6, trigger=Trigger.MANUAL, drive="tape0", due_at=DUE)
        with pytest.raises(IntegrityError):
            starting._insert_queued(session, run, "monthly")


def test_a_missed_occurrence_says_all_about_itself(database: Database) -> None:
    with database.transaction() as session:
        row = schedule(session, drive="tape7", time_zone="Asia/Shanghai")
        run = starting.record_missed(
            session, row, datetime(2026, 10, 31, 20, tzinfo=UTC), M("The host was off.")
        )
        assert run
        assert (run.kind, run.schedule_id, run.trigger) == (Kind.BACKUP, row.id, Trigger.SCHEDULE)
        assert (run.state, run.drive, run.period) == (RunState.SKIPPED, "tape7", "2026-11")
        assert text_of(run.reason) == "The host was off."
        assert is_lately(run.finished_at)
        assert story(session, run) == ["warning 1: Missed: The host was off."]
        facts = session.scalars(select(Notification.facts).where(Notification.event == "missed")).one()
        assert text_of(facts["reason"]) == "The host was off."
        remedy = "If it is still wanted, run it now: tapeline schedule run monthly"
        assert text_of(facts["remedy"]) == remedy
        row.plan_error = {"id": "x", "params": {}}
        again = starting.record_missed(session, row, DUE, M("The plan is wrong."))
        assert again
        assert again.period is None, "a schedule whose plan is wrong has none"


def test_what_is_asked_for_by_hand_is_queued_with_its_question(database: Database) -> None:
    """Restores, verifications and imports."""
    with database.transaction() as session:
        stored = BackupSet(
            id="20261101T010000Z-0001",
            type=BackupType.FULL,
            state=SetState.COMPLETE,
            sources=["/"],
            started_at=DUE,
        )
        catalog.add_set(session, stored)
        target = Options(target="/x")
        restore = starting.start_restore(
            session, set_id=stored.id, drive="tape1", options=target, cartridges=[7], requested_by="li"
        )
        verify = starting.start_verify(session, set_id=stored.id, drive="tape2", percent=7, requested_by=None)
        brought = starting.start_import(session, drive="tape3", requested_by="li", identity="/key")
        expected: list[Any] = [
            (restore, Kind.RESTORE, "tape1", stored.id, target, (7,), "li", Trigger.MANUAL),
            (verify, Kind.VERIFY, "tape2", stored.id, Options(percent=7), (), None, Trigger.SCHEDULE),
            (brought, Kind.IMPORT, "tape3", None, Options(identity="/key"), None, "li", Trigger.MANUAL),
        ]
        for run, kind, drive, set_id, options, cartridges, who, trigger in expected:
            assert (run.kind, run.drive, run.set_id, run.options) == (kind, drive, set_id, options)
            assert run.notes == Notes(cartridges=cartridges)
            assert (run.requested_by, run.trigger, run.state) == (who, trigger, RunState.QUEUED)
            assert (run.schedule_id, run.period) == (None, None)
            assert is_lately(run.due_at)
            session.expire(run)
            assert [(row.position, row.step) for row in run.steps] == list(enumerate(STEPS[kind]))
            by = f" by {who}" if who else ""
            assert story(session, run) == [f"info 1: Queued for drive {drive}{by}."]
        with pytest.raises(NotFound) as found:
            starting.start_restore(
                session, set_id="none", drive="tape1", options=Options(), requested_by="li"
            )
        assert str(found.value.message) == "There is no backup set 'none'."
        assert str(found.value.remedy) == "'tapeline sets' lists them."


# -- transitions -----------------------------------------------------------------------------------


def test_a_run_that_is_not_there_is_named(database: Database) -> None:
    with database.transaction() as session:
        for find in (transitions.get, transitions.get_active):
            with pytest.raises(NotFound) as found:
                find(session, 999)
            assert str(found.value.message) == "There is no run 999."
            assert str(found.value.remedy) == "'tapeline runs' lists them."
        assert transitions.get_unless_locked(session, 999) is None


@pytest.mark.parametrize("find", [transitions.get, transitions.get_active])
def test_a_locked_run_is_as_it_is_now_and_nobody_elses(database: Database, find: Any) -> None:
    """Who asks without the lock keeps nobody out, and keeps what he has read."""
    with database.transaction() as session:
        schedule(session)
        run = started(session)
    with database.transaction() as session:
        mine = find(session, run.id)
        with database.transaction() as other:
            row = transitions.get_unless_locked(other, run.id)
            assert row
            row.requested_by = "wang"
        assert find(session, run.id) is mine
        assert mine.requested_by is None
        assert find(session, run.id, lock=True).requested_by == "wang"
        with database.transaction() as other:
            assert transitions.get_unless_locked(other, run.id) is None


def test_a_run_that_nobody_has_locked_is_as_it_is_now(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run, other = started(session), started(session, due=DUE + HOUR)
    with database.transaction() as session:
        mine = transitions.get(session, run.id)
        with database.transaction() as elsewhere:
            transitions.get(elsewhere, run.id).requested_by = "wang"
        assert transitions.get_unless_locked(session, run.id) is mine
        assert mine.requested_by == "wang"
        with database.transaction() as elsewhere:
            found = transitions.get_unless_locked(elsewhere, other.id)
            assert found
            assert found.id == other.id


def test_an_ended_run_is_said_to_have_ended(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = started(session)
        assert transitions.get_active(session, run.id) is run
        run.state = RunState.FAILED
        with pytest.raises(NotAllowed) as found:
            transitions.get_active(session, run.id)
        assert str(found.value.message) == f"Run {run.id} has ended already: FAILED."


def test_a_change_that_the_machine_does_not_have_is_named(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = started(session)
        before = of_run(session, run)
        with pytest.raises(NotAllowed) as found:
            transitions.transition(session, run, RunState.SUCCEEDED)
        assert str(found.value.message) == f"Run {run.id} is QUEUED and cannot become SUCCEEDED."
        assert of_run(session, run) == before


def test_a_transition_changes_its_own_run_alone(database: Database) -> None:
    """And of that what the state means; a run of the same state stays as it is."""
    with database.transaction() as session:
        for name in ("monthly", "other"):
            schedule(session, name)
        run, other = started(session), started(session, "other")
        before = of_run(session, other)
        assert transitions.transition(session, run, RunState.RUNNING) is True
        assert (run.state, run.reason, run.finished_at) == (RunState.RUNNING, None, None)
        assert is_lately(run.started_at)
        assert is_lately(run.moved_at)
        assert (run.idle_since, run.idle_seconds) == (None, 0.0)
        assert story(session, run)[1:] == ["info 1: QUEUED → RUNNING"]
        assert said(session, run) == ["started"]
        began = run.started_at
        assert transitions.transition(session, run, RunState.WAITING_FOR_TAPE, M("Another tape."))
        assert (run.state, text_of(run.reason)) == (RunState.WAITING_FOR_TAPE, "Another tape.")
        assert (run.finished_at, run.started_at) == (None, began)
        assert run.idle_since == run.moved_at
        assert story(session, run)[2:] == ["info 1: RUNNING → WAITING_FOR_TAPE: Another tape."]
        assert said(session, run) == ["started", "waiting_for_tape"]
        waits = run.idle_since
        assert transitions.transition(session, run, RunState.QUEUED)
        assert (run.reason, run.finished_at, run.started_at) == (None, None, began)
        assert run.idle_since == waits, "it does not work yet"
        run.idle_since = now() - HOUR
        run.idle_seconds = 100.0
        session.flush()
        assert transitions.transition(session, run, RunState.RUNNING)
        has(run, idle_since=None)
        assert run.idle_seconds == pytest.approx(3700, abs=30)
        assert run.started_at == began
        assert said(session, run) == ["started", "waiting_for_tape"]
        assert transitions.transition(session, run, RunState.FAILED, M("Broken."), M("Mend it."))
        assert run.finished_at == run.moved_at == run.idle_since
        assert is_lately(run.finished_at)
        assert run.idle_seconds == pytest.approx(3700, abs=30)
        assert story(session, run)[-1] == "error 1: RUNNING → FAILED: Broken."
        facts = session.scalars(select(Notification.facts).where(Notification.event == "failed")).one()
        assert (text_of(facts["reason"]), text_of(facts["remedy"])) == ("Broken.", "Mend it.")
        assert of_run(session, other) == before


def test_a_run_that_never_had_its_drive_was_never_started(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = started(session)
        transitions.transition(session, run, RunState.CANCELLED, M("Not wanted."))
        has(run, started_at=None, idle_since=None, finished_at=run.moved_at)
        assert said(session, run) == ["cancelled"]


def test_who_was_slower_changes_nothing(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = running(session)
    with database.transaction() as session:
        stale = transitions.get(session, run.id)
        with database.transaction() as other:
            transitions.transition(other, transitions.get(other, run.id), RunState.FAILED)
            before = values(transitions.get(other, run.id)), story(other, run)
        assert transitions.transition(session, stale, RunState.WAITING_FOR_TAPE, M("x")) is False
    with database.transaction() as session:
        assert (values(transitions.get(session, run.id)), story(session, run)) == before
        assert said(session, run) == ["started", "failed"]


@pytest.mark.parametrize("kind", [Kind.BACKUP, Kind.VERIFY])
@pytest.mark.parametrize("after", [RunState.FAILED, RunState.WAITING_FOR_TAPE])
@pytest.mark.parametrize(("was", "record_was"), [
    (SetState.WRITING, RecordState.RUNNING), (SetState.COMPLETE, RecordState.COMPLETED),
])  # fmt: skip
def test_what_an_ended_backup_leaves_unfinished_is_marked_so(
    database: Database, kind: Kind, after: RunState, was: SetState, record_was: RecordState
) -> None:
    """Its own set and record alone, and only where they were not finished; a verification owns no set."""
    with database.transaction() as session:
        row = schedule(session)
        schedule(session, "other")
        run, another = running(session), started(session, "other")
        run.kind = kind
        mine, other = (
            BackupSet(
                id=f"20261101T010000Z-000{n}", type=BackupType.FULL, state=was, sources=["/"], started_at=DUE
            )
            for n in (1, 2)
        )
        for stored in (mine, other):
            catalog.add_set(session, stored)
        run.set_id = mine.id
        record, others = (
            BackupTask(**_like(row.template), run_id=each.id, state=state)
            for each, state in ((run, record_was), (another, RecordState.RUNNING))
        )
        session.add_all([record, others])
        session.flush()
        transitions.transition(session, run, after, M("Broken."))
        session.expire_all()
        closes = kind is Kind.BACKUP and after is RunState.FAILED
        closed = SetState.INCOMPLETE if closes and was is SetState.WRITING else was
        assert (mine.state, other.state) == (closed, was)
        if closes and record_was is not RecordState.COMPLETED:
            assert (record.state, text_of(record.error)) == (RecordState.FAILED, "Broken.")
            assert record.finished_at == run.finished_at
        else:
            assert (record.state, record.error, record.finished_at) == (record_was, None, None)
        assert (others.state, others.error, others.finished_at) == (RecordState.RUNNING, None, None)


def _like(template: BackupTask) -> dict[str, Any]:
    """The values of an execution record made of a template."""
    copied = {
        key: value
        for key, value in values(template).items()
        if key not in {"id", "created_at", "run_id", "state"}
    }
    return copied | {"is_template": False}


def test_a_schedule_notes_its_own_runs_alone(database: Database) -> None:
    with database.transaction() as session:
        rows = [schedule(session, name) for name in ("monthly", "other")]
        before = values(rows[1])
        run = running(session)
        row = rows[0]
        assert is_lately(row.last_run_time)
        transitions.transition(session, run, RunState.FAILED)
        assert (row.last_failure_time, row.last_success_time) == (run.finished_at, None)
        assert values(rows[1]) == before


@pytest.mark.parametrize(("asked", "template", "settles"), [
    (None, BackupType.FULL, True), (BackupType.FULL, BackupType.FULL, True),
    (BackupType.INCREMENTAL, BackupType.FULL, False), (None, BackupType.INCREMENTAL, True),
    (BackupType.FULL, BackupType.INCREMENTAL, True),
    (BackupType.DIFFERENTIAL, BackupType.INCREMENTAL, False),
])  # fmt: skip
def test_a_success_without_a_set_counts_as_what_was_asked_for(
    database: Database, asked: BackupType | None, template: BackupType, settles: bool
) -> None:
    with database.transaction() as session:
        row = schedule(session)
        row.template.type = template
        run = running(session, options=Options(type=asked))
        transitions.transition(session, run, RunState.SUCCEEDED)
        assert row.last_success_time == (DUE if settles else None)


# -- admission -------------------------------------------------------------------------------------


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


def run_steps(session: Session, run: ChainRun) -> list[ChainStep]:
    return list(session.scalars(select(ChainStep).where(ChainStep.run_id == run.id)))


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


def claimed(session: Session, run: ChainRun, step: Step = Step.PRECHECK) -> steps.Claim:
    held = steps.claim(session, run.id, run.dispatch, step, "worker@host")
    assert held
    return held


def step_of(session: Session, run: ChainRun, step: Step = Step.PRECHECK) -> ChainStep:
    session.flush()
    return session.get_one(ChainStep, (run.id, run.part, step), populate_existing=True)


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


def values_of(session: Session, run: ChainRun) -> dict[str, Any]:
    session.expire(run)
    return values(run)


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


def failed(session: Session, name: str = "monthly", at: Step = Step.FORMAT_TAPE) -> ChainRun:
    run = running(session, name)
    for step in STEPS[Kind.BACKUP]:
        held = claimed(session, run, step)
        steps.finish(session, held, StepState.FAILED if step is at else StepState.SUCCEEDED)
        if step is at:
            break
    transitions.transition(session, run, RunState.FAILED, M("Broken."))
    return run


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
            told = f"Run {run.id} failed at 'format_tape' and cannot go on from '{step.value}'."
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
        assert str(found.value.message) == f"Run {other.id} is RUNNING; only a FAILED run can be retried."
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
