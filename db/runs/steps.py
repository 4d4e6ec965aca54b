"""Steps: claim, heartbeat and result. A claim is a fence: a worker that lost it changes nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.errors import LostClaim
from db.models import ChainRun, ChainStep, now
from db.runs import transitions
from db.states import PASSED, STEPS, RunState, Step, StepState
from policy.errors import TapelineError
from policy.message import M


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a step of a run, until another worker or a person takes it away."""

    run_id: int
    part: int
    step: Step
    attempt: int
    dispatch: int
    worker: str
    cancelled: bool = False
    """An operator cancelled the run before this step began, and there is something left to stop."""
    closes_at: datetime | None = None
    """When the window of its schedule closes; None: no window applies to the run."""


def claim(session: Session, run_id: int, dispatch: int, step: Step, worker: str) -> Claim | None:
    """Claim a step by compare-and-set; None when this message is stale, repeated, early or forged."""
    run = session.get(ChainRun, run_id, with_for_update=True)
    if run is None or run.dispatch != dispatch or run.state is not RunState.RUNNING or run.is_held:
        return None
    if step not in STEPS[run.kind] or not _is_next(session, run, step):
        return None
    attempt = session.execute(
        update(ChainStep)
        .where(
            ChainStep.run_id == run_id,
            ChainStep.part == run.part,
            ChainStep.step == step,
            ChainStep.state == StepState.PENDING,
        )
        .values(
            state=StepState.RUNNING,
            attempts=ChainStep.attempts + 1,
            dispatch=dispatch,
            worker=worker,
            started_at=now(),
            heartbeat_at=now(),
            finished_at=None,
        )
        .returning(ChainStep.attempts)
    ).scalar_one_or_none()
    if attempt is None:
        return None
    run.moved_at = now()
    cancelled = run.cancel_requested_at is not None and step is not Step.NOTIFY
    return Claim(run_id, run.part, step, attempt, dispatch, worker, cancelled, run.closes_at)


def _is_next(session: Session, run: ChainRun, step: Step) -> bool:
    earlier = STEPS[run.kind][: STEPS[run.kind].index(step)]
    passed = session.scalars(
        select(ChainStep.step).where(
            ChainStep.run_id == run.id, ChainStep.part == run.part, ChainStep.state.in_(PASSED)
        )
    )
    return set(earlier) <= set(passed)


def _mine(held: Claim) -> Any:
    return (
        (ChainStep.run_id == held.run_id)
        & (ChainStep.part == held.part)
        & (ChainStep.step == held.step)
        & (ChainStep.attempts == held.attempt)
        & (ChainStep.state == StepState.RUNNING)
    )


def beat(
    session: Session, held: Claim, progress: dict[str, Any] | None = None, *, moved: bool = False
) -> bool:
    """Record the step's heartbeat and progress. Returns whether the run was asked to stop.

    ``moved``: it has made progress since the last time. Raises LostClaim.
    """
    values: dict[str, Any] = {} if progress is None else {"progress": progress}
    if moved:
        values["moved_at"] = now()
    if values:
        # The run before the step, as everywhere: in the other order two would block each other.
        session.execute(update(ChainRun).where(ChainRun.id == held.run_id).values(**values))
    _touch(session, held, heartbeat_at=now())
    asked = session.scalar(select(ChainRun.cancel_requested_at).where(ChainRun.id == held.run_id))
    return asked is not None


def closes_at(session: Session, held: Claim) -> datetime | None:
    """When the window of the run closes: somebody may have changed it."""
    return session.scalar(select(ChainRun.closes_at).where(ChainRun.id == held.run_id))


def running(session: Session, run: ChainRun) -> ChainStep | None:
    """The step of a run that a worker has claimed and not ended."""
    return session.scalar(
        select(ChainStep).where(
            ChainStep.run_id == run.id, ChainStep.part == run.part, ChainStep.state == StepState.RUNNING
        )
    )


def last_end(session: Session, run: ChainRun) -> datetime | None:
    """When a step of a run ended last."""
    ends = select(func.max(ChainStep.finished_at)).where(ChainStep.run_id == run.id)
    return session.scalar(ends)


def hold(session: Session, held: Claim) -> ChainRun:
    """The run, locked, for a change that only the owner of the claim may make. Raises LostClaim."""
    run = transitions.get(session, held.run_id, lock=True)
    _touch(session, held, heartbeat_at=now())
    run.moved_at = now()
    return run


def finish(
    session: Session,
    held: Claim,
    state: StepState,
    *,
    result: dict[str, Any] | None = None,
    error: TapelineError | None = None,
) -> None:
    """Record the step's end; doing so twice changes nothing. Raises LostClaim."""
    row = session.get(ChainStep, (held.run_id, held.part, held.step), populate_existing=True)
    if row and row.attempts == held.attempt and row.state is state:
        return
    session.execute(update(ChainRun).where(ChainRun.id == held.run_id).values(moved_at=now()))
    _touch(
        session,
        held,
        state=state,
        finished_at=now(),
        result=result,
        error=error_json(error) if error else None,
    )


def give_back(session: Session, held: Claim) -> None:
    """Make the step claimable again, by a message of a later dispatch. Raises LostClaim."""
    _touch(session, held, state=StepState.PENDING, heartbeat_at=None)


def _touch(session: Session, held: Claim, **values: Any) -> None:
    touched = session.execute(
        update(ChainStep).where(_mine(held)).values(**values).returning(ChainStep.run_id)
    ).scalar_one_or_none()
    if touched is None:
        raise LostClaim(
            M(
                "Step {step} of run {run} belongs to another worker by now.",
                step=held.step.value,
                run=held.run_id,
            )
        )


def error_json(error: TapelineError) -> dict[str, Any]:
    """An error in the form stored with its step: its kind, what happened, what to do."""
    return {
        "type": type(error).__name__,
        "message": error.message.to_json(),
        "remedy": error.remedy.to_json() if error.remedy else None,
    }


def is_dead(step: ChainStep, after: timedelta) -> bool:
    """Whether a running step has lost its heartbeat."""
    last = step.heartbeat_at or step.started_at
    return step.state is StepState.RUNNING and last is not None and now() - last > after


def fail_dead(session: Session, step: ChainStep) -> None:
    """End a step whose worker is gone."""
    session.execute(
        update(ChainStep)
        .where(
            ChainStep.run_id == step.run_id,
            ChainStep.part == step.part,
            ChainStep.step == step.step,
            ChainStep.attempts == step.attempts,
        )
        .values(state=StepState.FAILED, finished_at=now())
    )
