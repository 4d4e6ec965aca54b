"""A step as a task: claim, body, result; and the meaning of each ending of the body for the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import structlog
from celery import Task
from celery.exceptions import Ignore
from sqlalchemy.orm import Session

from backup.errors import Ended
from celery_app import settings, wiring
from celery_app.celery import app
from celery_app.worker import guards
from db import events
from db.errors import DatabaseUnavailable, LostClaim
from db.models import ChainRun
from db.runs import admission, lookup, steps, transitions
from db.runs.steps import Claim
from db.states import AT_THE_DRIVE, RunState, Step, StepState
from policy.errors import Consequence, TapelineError
from policy.message import M, Message
from tape.errors import VolumeGone
from tasks import aside, chain
from tasks.drive import condition
from tasks.drive.patience import wait_out
from tasks.library import fetch
from tasks.periodic import recover
from tasks.work import Cancelled, SourcesDoubted, Work

log = structlog.get_logger("tapeline.step")


TOLD_WITHIN = 24 * 3600
"""Seconds for which a step that gave up without a database waits for one to report that."""


PAUSED_BEFORE = frozenset({Step.PRECHECK, Step.CREATE_RECORD, Step.FORMAT_TAPE})
"""A run whose window has closed begins none of these. It pauses in ``run_backup`` as well, unless its set is
complete; a tape that was formatted gets its label into the catalogue first."""


class StepFailed(Exception):
    """Ends the chain; the run's rows record why. It fires the chain's error callback and nothing else."""


@dataclass(frozen=True, slots=True)
class Done:
    """The step has done its work."""

    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotNeeded:
    """There was nothing to do, for this reason; the run continues."""

    reason: Message


@dataclass(frozen=True, slots=True)
class SkipRun:
    """The whole run has nothing to do, for this reason."""

    reason: Message


@dataclass(frozen=True, slots=True)
class NextPart:
    """The run passes the chain again with another cartridge, for this reason."""

    reason: Message
    result: dict[str, Any] | None = None
    """The result of the step with this cartridge; None: nothing."""


@dataclass(frozen=True, slots=True)
class TapeFetched:
    """The library has put another tape into the drive: the run passes this part again, from its precheck."""


Ending = Done | NotNeeded | SkipRun | NextPart | TapeFetched
Body = Callable[[Work], Ending]


def step(name: Step) -> Callable[[Body], Task]:
    """Make a task ``tapeline.<name>(run_id, dispatch)`` of a step's body.

    Early acknowledgement: a message is delivered at most once; a lost one is found by ``recover``. A stale,
    repeated, early or forged message finds nothing to claim and does nothing.
    """

    def decorate(body: Body) -> Task:
        @app.task(
            name=f"tapeline.{name.value}",
            bind=True,
            throws=(StepFailed,),
            acks_late=False,
            ignore_result=True,
            typing=True,
        )
        def task(self: Task, run_id: int, dispatch: int) -> str:
            with structlog.contextvars.bound_contextvars(run=run_id, step=name.value):
                return _perform(self, name, body, run_id, dispatch)

        return task

    return decorate


def _perform(task: Task, name: Step, body: Body, run_id: int, dispatch: int) -> str:
    held = wiring.database().attempt(
        lambda session: _claim(session, run_id, dispatch, name, task.request.hostname or "?"),
        patience=settings.load().database_patience_seconds,
    )
    if held is None:
        log.info("nothing to claim: a stale or repeated message", dispatch=dispatch)
        raise Ignore
    with Work(task, held) as work:
        try:
            return _done(work, body)
        except DatabaseUnavailable as error:
            # Nothing can be recorded; the volume is unmounted already.
            log.exception("the database has been away for too long")
            _tell_when_it_is_back(work, error)
            raise
        except LostClaim as error:
            log.warning("stopped: another worker owns the step", error=str(error))
            raise Ignore from error


def _done(work: Work, body: Body) -> str:
    """Do the step's work, and record how it ended. Raises DatabaseUnavailable, LostClaim."""
    try:
        work.check()
        if work.held.step in PAUSED_BEFORE:
            work.check_window()
        ending = _or_with_another_tape(work, body)
    except (DatabaseUnavailable, LostClaim):
        raise
    except Ended as error:
        if work.is_shut() and not guards.is_ending():
            _leave(work, *_LEFT[aside.pause(work)], str(error))
        else:
            _hand_over(work, error)
        raise Ignore from error
    except Cancelled as error:
        _end_run(work, RunState.CANCELLED, error)
        raise Ignore from error
    except TapelineError as error:
        _fail(work, error)
    except Exception as error:
        log.exception("unexpected error in a step")
        _fail(work, _unexpected(error))
    return _conclude(work, ending)


def _tell_when_it_is_back(work: Work, error: DatabaseUnavailable) -> None:
    """Report why a step gave up as soon as there is a database: this worker can do nothing else meanwhile. If
    it is too late, or ends, ``recover`` finds the step silent."""
    reason = M(
        "Step {step} gave up after {minutes} min without the database: {error}",
        step=work.held.step.value,
        minutes=round(work.settings.database_patience_seconds / 60),
        error=error.message.to_json(),
    )
    ends = time.monotonic() + TOLD_WITHIN
    while not guards.is_ending() and time.monotonic() < ends and not _is_told(work.held, reason):
        time.sleep(1.0)


def _is_told(held: Claim, reason: Message) -> bool:
    try:
        recover.gave_up(held, reason)
    except DatabaseUnavailable:
        return False
    return True


def _or_with_another_tape(work: Work, body: Body) -> Ending:
    """Where the run would wait for an operator, the library of its drive is asked for another tape first."""
    try:
        return wait_out(work, lambda: _and_once_more(work, body), limit=work.settings.drive_patience_seconds)
    except TapelineError as error:
        if error.consequence is not Consequence.WAIT_FOR_OPERATOR:
            raise
        left = fetch.instead_of_waiting(work, error)
        if left is not None:
            raise left from error
    return TapeFetched()


def _and_once_more(work: Work, body: Body) -> Ending:
    """A volume whose process ended unexpectedly is no evidence against the tape: sealed data is there, and
    each body continues from it. Only once: a second time it is no accident."""
    try:
        return body(work)
    except VolumeGone as error:
        work.tell(M("{error} Trying once more.", error=error.message.to_json()), level="warning")
    return body(work)


def _claim(session: Session, run_id: int, dispatch: int, name: Step, worker: str) -> Claim | None:
    if name in AT_THE_DRIVE and not _holds_its_drive(session, run_id):
        return None
    return steps.claim(session, run_id, dispatch, name, worker)


def _holds_its_drive(session: Session, run_id: int) -> bool:
    """Only the worker that has the drive executes it, in whichever queue the message was put."""
    held = guards.held()
    return held is not None and held.drive == lookup.drive_of(session, run_id)


def _unexpected(error: Exception) -> TapelineError:
    return TapelineError(
        M("Unexpected error: {kind}: {detail}", kind=type(error).__name__, detail=str(error)[:500]),
        M("The worker's log has the details. Retry when the cause is gone."),
    )


def _conclude(work: Work, ending: Ending) -> str:
    if isinstance(ending, SkipRun):
        return _skip_run(work, ending.reason)
    if isinstance(ending, NextPart):
        return _begin_part(work, ending)
    if isinstance(ending, TapeFetched):
        return _pass_again(work)
    if isinstance(ending, NotNeeded):
        work.database.attempt(
            lambda session: _finish_not_needed(session, work, ending.reason),
            patience=work.settings.database_patience_seconds,
        )
        return f"not needed: {ending.reason}"
    result = ending.result
    work.database.attempt(
        lambda session: steps.finish(session, work.held, StepState.SUCCEEDED, result=result),
        patience=work.settings.database_patience_seconds,
    )
    return str(result.get("summary", "done"))


def _finish_not_needed(session: Session, work: Work, reason: Message) -> None:
    run = transitions.get(session, work.held.run_id)
    events.record(session, run, M("Not needed: {reason}", reason=reason.to_json()), step=work.held.step)
    steps.finish(session, work.held, StepState.SKIPPED, result={"reason": reason.to_json()})


def _skip_run(work: Work, reason: Message) -> NoReturn:
    """The row first, then the dashboard's state, then the message, then the end of the chain."""

    def skip(session: Session, run: ChainRun) -> None:
        steps.finish(session, work.held, StepState.SKIPPED, result={"reason": reason.to_json()})
        transitions.transition(session, run, RunState.SKIPPED, reason)

    work.db(skip)
    _leave(work, "SKIPPED", "task-skipped", str(reason))
    raise Ignore


def _begin_part(work: Work, ending: NextPart) -> NoReturn:
    """This chain ends here; the chain of the next part begins with its precheck."""
    state = StepState.SKIPPED if ending.result is None else StepState.SUCCEEDED
    result = ending.result or {"reason": ending.reason.to_json()}

    def begin(session: Session, run: ChainRun) -> ChainRun:
        steps.finish(session, work.held, state, result=result)
        admission.begin_part(session, run, ending.reason)
        admission.new_dispatch(run)
        return run

    run = work.db(begin)
    chain.send(run, Step.PRECHECK)
    raise Ignore


def _pass_again(work: Work) -> NoReturn:
    """This chain ends here; another one of the same part begins with its precheck, at the same drive."""

    def again(session: Session, run: ChainRun) -> ChainRun:
        admission.reopen(session, run, Step.PRECHECK)
        admission.new_dispatch(run)
        return run

    chain.send(work.db(again), Step.PRECHECK)
    raise Ignore


def _leave(work: Work, state: str, event: str, text: str) -> None:
    """The run gives its drive back before the end of its chain."""
    work.task.update_state(state=state, meta={"reason": text})
    work.send_event(event, text)
    chain.ask("tapeline.deliver", run_id=work.held.run_id)
    chain.release(work.drive_name)


def _fail(work: Work, error: TapelineError) -> None:
    """The class of the error decides: wait for an operator if the schedule allows it, else fail."""
    if error.consequence is Consequence.WAIT_FOR_OPERATOR:
        became = aside.wait(work, error)
        if became is not None:
            _leave(work, *_LEFT[became], str(error))
            raise Ignore from error
    if isinstance(error, SourcesDoubted):
        _leave(work, *_LEFT[aside.hold(work, error)], str(error))
        raise Ignore from error
    _end_run(work, RunState.FAILED, error)
    raise StepFailed(str(error)) from None


_LEFT = {
    RunState.WAITING_FOR_TAPE: ("WAITING", "task-waiting"),
    RunState.HELD: ("HELD", "task-held"),
    RunState.QUEUED: ("PAUSED", "task-paused"),
    RunState.CANCELLED: ("CANCELLED", "task-cancelled"),
}
"""The dashboard's state of a step whose run has left its chain for such a state."""


def _hand_over(work: Work, error: Ended) -> None:
    """The worker ends; the step stays claimable for the next worker, which looks for it when it starts."""

    def give_back(session: Session, run: ChainRun) -> None:
        steps.give_back(session, work.held)
        events.record(session, run, error.message, step=work.held.step)

    work.db(give_back)


def _end_run(work: Work, state: RunState, error: TapelineError) -> None:
    def end(session: Session, run: ChainRun) -> None:
        steps.finish(session, work.held, StepState.FAILED, error=error)
        if error.consequence is Consequence.RETIRE_TAPE and work.writes_on is not None:
            condition.condemn(session, run, work.writes_on)
        if run.state is RunState.RUNNING:
            transitions.transition(session, run, state, error.message, error.remedy)

    work.db(end)
    if state is RunState.CANCELLED:
        _leave(work, "CANCELLED", "task-cancelled", str(error))
    else:
        chain.release(work.drive_name)
