"""``tapeline.retry``: the retry of the CLI and the dashboard, for Flower's API."""

from __future__ import annotations

import structlog
from celery import Task
from celery.exceptions import Ignore

from celery_app.celery import app
from db.states import Step
from policy.errors import TapelineError, UsageError
from policy.message import M
from tasks import chain

log = structlog.get_logger("tapeline.retry")


class UnknownStep(UsageError):
    """The step to retry from does not exist."""


@app.task(name="tapeline.retry", bind=True, acks_late=False, ignore_result=True)
def retry(
    self: Task, run_id: int, from_step: str | None = None, requested_by: str = "api", why: str | None = None
) -> str:
    """Retry a run. A refusal is shown as such, with its reason, and is no failure of the program."""
    try:
        run = chain.retry(run_id, step_named(from_step), requested_by=requested_by, why=why)
    except TapelineError as error:
        log.warning("a retry was refused", run=run_id, error=str(error))
        self.update_state(state="REFUSED", meta={"reason": str(error)})
        self.send_event("task-refused", retry=False, result=str(error))
        raise Ignore from error
    return f"run {run.id}: {run.state.value}"


def step_named(name: str | None) -> Step | None:
    """A step by its name. Raises UnknownStep, which lists the names."""
    if name is None:
        return None
    try:
        return Step(name)
    except ValueError as error:
        raise UnknownStep(
            M("There is no step '{name}'.", name=name), M("Steps: {steps}.", steps=", ".join(Step))
        ) from error
