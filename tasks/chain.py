"""Build, send, resume and retry a run's chain. Always: commit first, then send."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from celery import chain
from kombu.exceptions import OperationalError

from celery_app import settings, wiring
from celery_app.celery import app
from celery_app.config import BRIEF, STEADY
from celery_app.queues import CONTROL
from db import doubts
from db.admin import holds
from db.models import ChainRun, Options, now
from db.runs import admission, brackets, retrying, spools, starting
from db.schedules import schedules
from db.states import AT_THE_DRIVE, STEPS, RunState, Step, Trigger
from db.tapes import drives

log = structlog.get_logger("tapeline.chain")


def send(run: ChainRun, from_step: Step, *, brief: bool = False) -> bool:
    """Send the chain of a run from a step on, with the run's present dispatch number.

    ``brief``: do not wait for an unavailable broker. Returns whether it was sent; ``recover`` finds and sends
    what was not.
    """
    steps = STEPS[run.kind]
    queue = queue_of(run.drive)
    signatures = [_signature(run, step, queue) for step in steps[steps.index(from_step) :]]
    failed = app.signature("tapeline.chain_failed", kwargs={"run_id": run.id, "dispatch": run.dispatch})
    return publish(
        lambda **options: chain(*signatures).apply_async(link_error=failed.set(queue=CONTROL), **options),
        brief=brief,
    )


def queue_of(drive: str) -> str:
    """The queue of a drive on any host: the registered one, else as this host would name it."""
    with wiring.database().transaction() as session:
        return drives.queue_of(session, drive) or settings.load().queue_of(drive)


def _signature(run: ChainRun, step: Step, drive_queue: str) -> Any:
    queue = drive_queue if step in AT_THE_DRIVE else CONTROL
    return app.signature(
        f"tapeline.{step.value}",
        args=(run.id, run.dispatch),
        immutable=True,
        queue=queue,
        task_id=message_id(run, step),
    )


def message_id(run: ChainRun, step: Step, dispatch: int | None = None) -> str:
    """The task's id in Flower: run, dispatch (the present one if none is named) and step."""
    number = STEPS[run.kind].index(step) + 1
    return f"run{run.id}-{run.dispatch if dispatch is None else dispatch}-{number}-{step.value}"


def publish(send_it: Any, *, brief: bool = False) -> bool:
    """Publish a message; False when the broker does not answer."""
    try:
        send_it(retry_policy=BRIEF if brief else STEADY)
    except (OperationalError, OSError) as error:
        log.warning("the broker does not answer; the message will be sent later", error=str(error))
        return False
    return True


def ask(name: str, *, queue: str = CONTROL, brief: bool = False, **kwargs: Any) -> bool:
    """Send a single task."""
    return publish(lambda **options: app.send_task(name, kwargs=kwargs, queue=queue, **options), brief=brief)


def release(drive: str, *, brief: bool = False) -> ChainRun | None:
    """Give the drive to the next queued run, if it is free, and send its chain. Before it, the drive's worker
    runs the commands that earlier runs owe. After the last run the tape is ejected, if the schedule wants
    that; if that message is lost, the tape stays in until the next run ends."""
    with wiring.database().transaction() as session:
        holds.hold_back(session, drive)
        run = admission.admit(session, drive)
        opened = admission.first_open_step(session, run) if run else None
        to_eject = drives.eject_owed(session, drive)
        to_clean = drives.clean_owed(session, drive)
        owes = bool(brackets.owed(session, drive) or spools.left(session, drive))
    if owes:
        ask_for_after(drive, brief=brief)
    if to_eject is not None:
        ask("tapeline.eject", queue=queue_of(drive), brief=brief, run_id=to_eject)
    if to_clean is not None:
        ask("tapeline.clean", queue=queue_of(drive), brief=brief, run_id=to_clean)
    if run is not None and opened is not None:
        send(run, opened.step, brief=brief)
    return run


def ask_for_after(drive: str, *, brief: bool = False) -> None:
    """Let a drive's worker run the commands that runs owe after their end."""
    ask("tapeline.run_after", queue=queue_of(drive), brief=brief, drive=drive)


def start(
    schedule: str,
    *,
    requested_by: str,
    options: Options | None = None,
    due_at: datetime | None = None,
    brief: bool = False,
) -> ChainRun:
    """Start a run of a schedule by hand; ``options`` override the template. Raises NotFound.

    A refusal is a run in state SKIPPED with its reason. ``due_at``: the time of the request, now if not
    given; the same time again returns the run of the first request.
    """
    moment = due_at or now()
    with wiring.database().transaction() as session:
        row = schedules.get(session, schedule)
        # If two ask at once, the second finds the run of the first.
        session.refresh(row, with_for_update=True)
        run = starting.start(
            session,
            row,
            due_at=moment,
            trigger=Trigger.MANUAL,
            requested_by=requested_by,
            options=options,
        )
        if run is None:
            return starting.of_moment(session, row, moment)
    if run.state is RunState.SKIPPED:
        ask("tapeline.deliver", brief=brief, run_id=run.id)
    else:
        release(run.drive, brief=brief)
    return run


def retry(
    run_id: int,
    from_step: Step | None = None,
    *,
    requested_by: str,
    why: str | None = None,
    identity: str | None = None,
    target: str | None = None,
    brief: bool = False,
) -> ChainRun:
    """Resume a failed run by hand: the one function behind the CLI, the task and the dashboard.

    Raises NotFound, NotAllowed.
    """
    with wiring.database().transaction() as session:
        run = retrying.retry(session, run_id, from_step, requested_by, why, identity=identity, target=target)
    release(run.drive, brief=brief)
    return run


def accept(run_id: int, *, requested_by: str, why: str, brief: bool = False) -> ChainRun:
    """Let a run that is held for doubts about its sources continue. Raises NotFound, NotAllowed."""
    with wiring.database().transaction() as session:
        run = doubts.accept(session, run_id, requested_by, why)
    release(run.drive, brief=brief)
    return run


def cancel(run_id: int, *, requested_by: str, brief: bool = False) -> ChainRun:
    """Cancel a run, now or at its next safe point. Raises NotFound, NotAllowed."""
    with wiring.database().transaction() as session:
        run = retrying.cancel(session, run_id, requested_by)
    ask("tapeline.deliver", brief=brief, run_id=run_id)
    release(run.drive, brief=brief)
    return run
