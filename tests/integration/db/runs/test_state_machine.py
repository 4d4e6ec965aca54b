"""The state machine under any order of messages, deaths, retries and cancellations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.engine import Database
from db.errors import LostClaim, NotAllowed
from db.models import Base, ChainRun, ChainStep, FormatPermit, Notification
from db.runs import admission, retrying, starting, steps, transitions, windows
from db.schedules import schedules
from db.states import ACTIVE, ENDED, PASSED, STEPS, Kind, RunState, Step, StepState, Trigger

DUE = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = ("a", "b", "c")
ENDINGS = {"success", "warnings", "failed", "skipped", "cancelled"}


class Pipeline(RuleBasedStateMachine):
    """Messages are delivered once, twice, late or never; workers die; operators interfere."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.minutes = 0
        self.held: list[steps.Claim] = []
        self.messages: list[tuple[int, int, Step]] = []
        self.ends: dict[int, int] = {}

    @contextmanager
    def session(self) -> Iterator[Session]:
        with self.database.transaction() as session:
            yield session

    @initialize()
    def empty(self) -> None:
        tables = ", ".join(Base.metadata.tables)
        with self.session() as session:
            # The permits are an audit trail that nothing may empty.
            session.execute(text("SET LOCAL session_replication_role = replica"))
            session.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
            for name in NAMES:
                schedules.put(session, name, drive="tape0", sources=["/data"], time_zone="UTC")

    @rule(name=st.sampled_from(NAMES), trigger=st.sampled_from(Trigger))
    def announce(self, name: str, trigger: Trigger) -> None:
        self.minutes += 1
        with self.session() as session:
            run = starting.start(
                session,
                schedules.get(session, name),
                due_at=DUE + timedelta(minutes=self.minutes),
                trigger=trigger,
            )
            assert run
            self.note_end(run)

    def note_end(self, run: ChainRun) -> None:
        if run.state in ENDED:
            self.ends[run.id] = self.ends.get(run.id, 0) + 1

    @rule()
    def admit(self) -> None:
        with self.session() as session:
            run = admission.admit(session, "tape0")
            if run:
                self.send(session, run)

    def send(self, session: Session, run: ChainRun) -> None:
        opened = admission.first_open_step(session, run)
        assert opened
        names = STEPS[run.kind]
        self.messages += [(run.id, run.dispatch, step) for step in names[names.index(opened.step) :]]

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        """Any message, in any order, perhaps to be delivered once more."""
        message = data.draw(st.sampled_from(self.messages))
        if not again:
            self.messages.remove(message)
        with self.session() as session:
            claim = steps.claim(session, *message, "worker")
        if claim:
            self.held.append(claim)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), ok=st.booleans())
    def finish(self, data: st.DataObject, ok: bool) -> None:
        """A worker ends its step; whether it still owns it or not."""
        held = data.draw(st.sampled_from(self.held))
        self.held.remove(held)
        try:
            with self.session() as session:
                run = steps.hold(session, held)
                steps.finish(session, held, StepState.SUCCEEDED if ok else StepState.FAILED)
                if not ok:
                    transitions.transition(session, run, RunState.FAILED)
                elif held.step is Step.NOTIFY:
                    transitions.transition(session, run, RunState.SUCCEEDED)
                self.note_end(run)
        except LostClaim:
            return

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """A worker dies; recover resumes its run. It may come back as a ghost that still holds its claim."""
        held = data.draw(st.sampled_from(self.held))
        with self.session() as session:
            run = transitions.get(session, held.run_id, lock=True)
            row = session.get(ChainStep, (held.run_id, held.part, held.step))
            if run.state is RunState.RUNNING and row and row.state is StepState.RUNNING:
                admission.reopen(session, run, held.step)
                admission.new_dispatch(run)
                self.send(session, run)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        """The window of the schedule closes while a step works: its run waits in the queue, and passes this
        part again."""
        held = data.draw(st.sampled_from(self.held))
        self.held.remove(held)
        try:
            with self.session() as session:
                run = steps.hold(session, held)
                admission.reopen(session, run, Step.PRECHECK)
                windows.pause(session, run)
        except LostClaim:
            return

    @rule(number=st.integers(1, 12), step=st.none() | st.sampled_from(Step))
    def retry(self, number: int, step: Step | None) -> None:
        self.try_it(lambda session: retrying.retry(session, number, step, "operator", None))

    @rule(number=st.integers(1, 12))
    def cancel(self, number: int) -> None:
        def act(session: Session) -> None:
            self.note_end(retrying.cancel(session, number, "operator"))

        self.try_it(act)

    def try_it(self, act: Any) -> None:
        try:
            with self.session() as session:
                act(session)
        except NotAllowed:
            return
        except Exception as error:
            if type(error).__name__ != "NotFound":
                raise

    @invariant()
    def one_active_run_of_a_schedule_and_of_a_drive(self) -> None:
        with self.session() as session:
            active = session.execute(
                select(ChainRun.schedule_id, func.count())
                .where(ChainRun.state.in_(ACTIVE))
                .group_by(ChainRun.schedule_id)
            )
            assert all(count == 1 for _, count in active)
            assert session.scalar(select(func.count()).where(ChainRun.state == RunState.RUNNING)) in {0, 1}

    @invariant()
    def a_step_runs_only_when_all_before_it_are_passed(self) -> None:
        with self.session() as session:
            for run in session.scalars(select(ChainRun)):
                states = {row.step: row.state for row in run.steps if row.part == run.part}
                began = [
                    step
                    for step in STEPS[Kind.BACKUP]
                    if states.get(step, StepState.PENDING) is not StepState.PENDING
                ]
                for step in began:
                    before = STEPS[Kind.BACKUP][: STEPS[Kind.BACKUP].index(step)]
                    assert all(states[earlier] in PASSED for earlier in before)
                assert sum(state is StepState.RUNNING for state in states.values()) <= 1

    @invariant()
    def each_end_is_announced_exactly_once(self) -> None:
        with self.session() as session:
            rows = session.execute(
                select(Notification.run_id, func.count())
                .where(Notification.event.in_(ENDINGS))
                .group_by(Notification.run_id)
            )
            announced = dict(iter(rows))
        assert announced == self.ends

    @invariant()
    def a_success_has_passed_every_step(self) -> None:
        with self.session() as session:
            for run in session.scalars(select(ChainRun).where(ChainRun.state == RunState.SUCCEEDED)):
                assert all(row.state in PASSED for row in run.steps if row.step is not Step.NOTIFY)
            assert session.scalar(select(func.count()).select_from(FormatPermit)) == 0


@pytest.mark.timeout(170)
def test_the_state_machine_keeps_its_promises(database: Database) -> None:
    """Whatever the order: one active run, steps in order, every end announced once."""
    machine = type("Bound", (Pipeline,), {"database": database})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
