"""``tapeline.look``: inspects the tape for a waiting run, without occupying drive or worker."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from celery_app import settings, wiring
from celery_app.celery import app
from db import events
from db.models import ChainRun, now
from db.runs import announcing, transitions
from db.states import RunState
from db.tapes import cartridges, drives, mount_backoff
from policy.message import M
from policy.tapes.medium import MediumReport
from tape.changer import Inventory
from tasks import chain
from tasks.drive.tape_rules import refusal_of_all
from tasks.library import supply

GOOD_FOR = 10
"""A question to inspect the tape is waited for so many times as long as checking all runs takes; a later
answer is of no use, and after that time it is asked again."""


def is_on_its_way(run: ChainRun) -> bool:
    """Whether the drive's worker was asked to inspect the tape for this run, and may still do so."""
    lasts = timedelta(seconds=GOOD_FOR * settings.load().recover_seconds)
    return run.look_asked_at is not None and now() - run.look_asked_at < lasts


@app.task(name="tapeline.look", acks_late=False, ignore_result=True)
def look(run_id: int) -> str:
    """If the tape that the run waits for is in, queue the run again. Raises DriveError."""
    database = wiring.database()
    with database.transaction() as session:
        run = transitions.get(session, run_id)
        was_expected = is_on_its_way(run)
        run.look_asked_at = None
    if not was_expected:
        return "expired"
    if run.state is not RunState.WAITING_FOR_TAPE or run.is_held:
        return run.state.value
    medium = wiring.drive(run.drive).look().to_json()
    inventory = supply.look(run.drive)
    with database.transaction() as session:
        run = transitions.get(session, run_id, lock=True)
        drives.looked(session, run.drive, medium)
        if run.state is RunState.WAITING_FOR_TAPE:
            _consider(session, run, medium, inventory)
    if run.state is RunState.QUEUED:
        chain.release(run.drive)
    else:
        chain.ask("tapeline.deliver", run_id=run_id)
    return run.state.value


def _consider(session: Session, run: ChainRun, medium: MediumReport, inventory: Inventory | None) -> None:
    """Queue the run if it can use this tape, or fetch another one; report it if it is another wrong one than
    before.

    If the run could use it, but the drive could not, it is not tried for a while.
    """
    may_try = mount_backoff.may_try(run, medium)
    reason = refusal_of_all(session, run, medium)
    if reason is None and not may_try:
        return
    offered = supply.best(session, run, inventory) if inventory and reason and may_try else None
    if offered is not None:
        message = M(
            "The library has a tape for it: {barcode} in slot {slot}.",
            barcode=offered.stored.barcode,
            slot=offered.stored.slot,
        )
        transitions.transition(session, run, RunState.QUEUED, message)
        return
    if reason is None:
        tape = cartridges.tape_facts(session, medium)
        transitions.transition(
            session, run, RunState.QUEUED, M("Now in the drive: {tape}.", tape=tape.describe())
        )
        return
    if run.reason != reason.to_json():
        run.reason = reason.to_json()
        events.record(session, run, reason)
        announcing.announce(session, run, "waiting_for_tape", reason)
