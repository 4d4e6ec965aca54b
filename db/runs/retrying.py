"""What an operator decides about a run: try it again, or end it."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import events
from db.errors import NotAllowed
from db.models import ChainRun, now
from db.runs import admission, lookup, starting, steps, transitions
from db.states import (
    STEPS,
    Kind,
    RunState,
    Step,
)
from policy.message import M

MAY_RETRY = frozenset({RunState.FAILED, RunState.CANCELLED, RunState.HELD})
"""A cancelled run goes on where it was stopped; a held run checks its sources once more."""


def retry(
    session: Session,
    run_id: int,
    from_step: Step | None,
    requested_by: str,
    why: str | None,
    *,
    identity: str | None = None,
    target: str | None = None,
) -> ChainRun:
    """Queue a failed or cancelled run again, from the step at which it stopped or from an earlier one.

    ``identity``, ``target``: for a restore, another file with the secret key, another folder.
    Raises NotFound, NotAllowed.
    """
    run = transitions.get(session, run_id, lock=True)
    if run.state not in MAY_RETRY:
        raise only_failed(run)
    if run.shortened_at is not None:
        raise NotAllowed(
            M("Run {id} ended too long ago to be tried again: its steps are not kept.", id=run.id),
            M("Start it anew."),
        )
    if identity or target:
        if run.kind is not Kind.RESTORE:
            raise NotAllowed(
                M("Run {id} is no restore: it takes no --identity and no --to.", id=run.id),
                M("Retry it without: tapeline runs retry {id}", id=run.id),
            )
        given = run.options
        run.options = replace(given, identity=identity or given.identity, target=target or given.target)
    failed = admission.first_open_step(session, run)
    order = STEPS[run.kind]
    failed_step = failed.step if failed else order[-1]
    step = from_step or failed_step
    if step not in order or order.index(step) > order.index(failed_step):
        raise NotAllowed(
            M(
                "Run {id} stopped at '{failed}' and cannot go on from '{step}'.",
                id=run.id,
                failed=failed_step.value,
                step=step.value,
            ),
            M("Name '{failed}' or an earlier step.", failed=failed_step.value),
        )
    _refuse_second_active(session, run)
    admission.reopen(session, run, step)
    reason = M("retry from {step} by {who}", step=step.value, who=requested_by)
    if why:
        reason = M("retry from {step} by {who}: {why}", step=step.value, who=requested_by, why=why)
    run.cancel_requested_at = run.cancelled_by = None
    run.dismissed_at = None
    run.home = func.database_home()
    run.recoveries = 0
    run.resumed = None
    run.tape_failed = None
    run.fetched = []
    run.wait_until = None
    run.queued_at = now()
    run.opens_at = None
    run.notes = replace(run.notes, at_once=True)
    if not transitions.transition(session, run, RunState.QUEUED, reason):
        raise NotAllowed(M("Run {id} was changed by somebody else just now.", id=run.id))
    return run


def only_failed(run: ChainRun) -> NotAllowed:
    """The answer to a retry of a run that has not stopped."""
    return NotAllowed(
        M(
            "Run {id} is {state}; only a FAILED or CANCELLED run can be retried.",
            id=run.id,
            state=run.state.value,
        ),
        M("'tapeline runs show {id}' tells its story.", id=run.id),
    )


def _refuse_second_active(session: Session, run: ChainRun) -> None:
    if run.schedule_id is None:
        return
    active = lookup.active_of(session, run.schedule_id, other_than=run.id)
    if active:
        raise NotAllowed(
            starting.already_active(run.schedule.name if run.schedule else "", active),
            M("Wait for it or cancel it: tapeline runs cancel {run}", run=active),
        )


def cancel(session: Session, run_id: int, requested_by: str) -> ChainRun:
    """Cancel a run at once if no step of it runs, else ask its step to stop at the next safe point.

    Raises NotFound, NotAllowed (it has ended).
    """
    run = transitions.get_active(session, run_id, lock=True)
    reason = M("Cancelled by {who}.", who=requested_by)
    if steps.running(session, run) is None:
        run.cancelled_by = requested_by
        transitions.transition(session, run, RunState.CANCELLED, reason)
    elif run.cancel_requested_at is None:
        run.cancel_requested_at, run.cancelled_by = now(), requested_by
        events.record(session, run, M("Asked to stop at the next safe point by {who}.", who=requested_by))
    return run
