"""``notify``: the last step, the chain's error callback, and the delivery of the outbox."""

from __future__ import annotations

import structlog
from sqlalchemy.orm import Session

from celery_app import settings, wiring
from celery_app.celery import app
from celery_app.worker import messenger
from db import events
from db.models import ChainRun, ChainStep, now
from db.runs import lookup, starting, steps, transitions
from db.runs.steps import Claim
from db.states import PASSED, RunState, Step, StepState
from db.tapes import drives
from policy.message import M
from tasks import chain
from tasks.periodic import recover
from tasks.step import Done, step
from tasks.work import Work

log = structlog.get_logger("tapeline.notify")


@step(Step.NOTIFY)
def notify(work: Work) -> Done:
    """All steps before are done: the run has succeeded. Then the next run, then the message.

    The step is done together with its run, and no channel is called here: no message decides how a run ends,
    or how long it takes.
    """
    drive, done = work.drive_name, Done({"summary": "announced"})
    work.db(lambda session, run: _succeed(session, run, work.held, done))
    chain.release(drive)
    messenger.ask()
    return done


def _succeed(session: Session, run: ChainRun, held: Claim, done: Done) -> None:
    if not settings.load().channels:
        _note_that_nobody_is_told(session, run)
    steps.finish(session, held, StepState.SUCCEEDED, result=done.result)
    if run.state is RunState.RUNNING:
        transitions.transition(session, run, RunState.SUCCEEDED)
        _read_back(session, run)
        if run.schedule is not None and run.schedule.after_run != "keep":
            drives.eject_after(session, run.drive, run.id)


def _read_back(session: Session, run: ChainRun) -> None:
    """Queue the verification that the record of a backup requests; it has its own run and result."""
    record = lookup.record_of(session, run)
    percent = record.verify_percent if record else None
    if percent and run.set_id:
        queued = starting.start_verify(
            session, set_id=run.set_id, drive=run.drive, percent=percent, requested_by=run.requested_by
        )
        events.record(
            session, run, M("Run {run} reads {percent} % of it back.", run=queued.id, percent=percent)
        )


@app.task(name="tapeline.deliver", acks_late=False, ignore_result=True)
def deliver(run_id: int | None = None) -> None:
    """Deliver what is due in the outbox. ``run_id``: the run that asks for it, for the log."""
    del run_id
    messenger.ask()


@app.task(name="tapeline.chain_failed", acks_late=False, ignore_result=True)
def chain_failed(task_id: str, *, run_id: int, dispatch: int) -> None:
    """The error callback of a chain. Either the step has recorded why, or its process died."""
    with structlog.contextvars.bound_contextvars(run=run_id):
        recover.after_a_death(run_id, dispatch, task_id)
        with wiring.database().transaction() as session:
            _close_notify_step(session, run_id)
        messenger.ask()


def _close_notify_step(session: Session, run_id: int) -> None:
    """A failed run has been announced too: its last step is done, though its chain never got there."""
    run = transitions.get(session, run_id, lock=True)
    row = session.get(ChainStep, (run_id, run.part, Step.NOTIFY))
    if run.state is RunState.FAILED and row and row.state not in PASSED:
        row.state, row.finished_at = StepState.SUCCEEDED, now()
        if settings.load().channels:
            events.record(session, run, M("The failure has been announced."), step=Step.NOTIFY)
        else:
            _note_that_nobody_is_told(session, run)


def _note_that_nobody_is_told(session: Session, run: ChainRun) -> None:
    nobody = M("No channel is set up, so nobody was told.")
    events.record(session, run, nobody, step=Step.NOTIFY, level="warning")
