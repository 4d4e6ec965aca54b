"""``tapeline.look``: looks at the tape for a run that waits, without holding drive or worker."""

from __future__ import annotations

from celery_app import wiring
from celery_app.celery import app
from db import cartridges, drives, runs
from db.states import RunState
from policy.message import M
from tasks import chain
from tasks.tape_rules import local_now, policy_of


@app.task(name="tapeline.look", acks_late=False, ignore_result=True)
def look(run_id: int) -> str:
    """If the tape that the run waits for is in, queue the run again. Raises DriveError."""
    database = wiring.database()
    with database.transaction() as session:
        run = runs.get(session, run_id)
    if run.state is not RunState.WAITING_FOR_TAPE:
        return run.state.value
    medium = wiring.drive(run.drive).look().to_json()
    with database.transaction() as session:
        run = runs.get(session, run_id, lock=True)
        drives.looked(session, run.drive, medium)
        tape = cartridges.tape_facts(session, medium)
        if run.state is RunState.WAITING_FOR_TAPE and policy_of(run).accepts(tape, local_now(run)):
            runs.transition(
                session, run, RunState.QUEUED, M("Now in the drive: {tape}.", tape=tape.describe())
            )
    if run.state is RunState.QUEUED:
        chain.release(run.drive)
    return run.state.value
