"""After a run at a drive: stores the condition of drive and cartridge in their rows, and their warnings in
the run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from celery_app import settings
from celery_app.drive_settings import feeder_of
from db import events
from db.libraries import cleanings, inventory
from db.models import ChainRun, Drive, TapeCartridge
from db.states import Step
from db.tapes import cartridges
from policy import health
from policy.message import M
from policy.tapes.facts import CartridgeState
from tape import drive
from tape.errors import DriveError
from tasks.work import Work


def note(work: Work, at: drive.Drive) -> None:
    """Ask the drive for its condition and the cartridge's. If it does not report it, no run fails.

    Raises LostClaim, DatabaseUnavailable.
    """
    work.db(_clean_after_hours)
    try:
        condition = at.health()
    except DriveError as error:
        message = M("The drive did not tell its condition: {error}", error=error.message.to_json())
        work.tell(message, level="warning")
        return
    if condition == drive.Health():
        return
    facts = asdict(condition)
    drive_warnings = settings.load().drive(work.drive_name).warn
    limits = health.HealthLimits(**drive_warnings.model_dump())
    work.db(lambda session, run: _record(session, run, work.held.step, facts, limits))


def _clean_after_hours(session: Session, run: ChainRun) -> None:
    """Let the library clean the drive after this run, if its settings say so by the hours of its work."""
    feeder = feeder_of(settings.load().changers, run.drive)
    library = inventory.of_drive(session, run.drive) if feeder else None
    row = session.get(Drive, run.drive)
    limit = feeder[1].clean_after_hours if feeder else None
    if library is None or row is None or limit is None:
        return
    worked = cleanings.hours_since(session, library, run.drive)
    if worked < limit:
        return
    row.clean_after = run.id
    reason = M(
        "Drive {drive} has worked {hours} h since it was cleaned: it is cleaned after this run.",
        drive=run.drive,
        hours=round(worked),
    )
    events.record(session, run, reason, step=Step.RUN_BACKUP)


def condemn(session: Session, run: ChainRun, cartridge_id: int) -> None:
    """A cartridge that could not be written must not be written again."""
    cartridge = session.get_one(TapeCartridge, cartridge_id)
    if cartridge.state is CartridgeState.ERROR:
        return
    cartridges.mark(session, cartridge.id, CartridgeState.ERROR)
    events.record(
        session,
        run,
        M(
            "Cartridge {tape_id} is marked '{state}': take it out of use.",
            tape_id=cartridge.tape_id,
            state=CartridgeState.ERROR.value,
        ),
        level="error",
    )


def _record(
    session: Session, run: ChainRun, step: Step, facts: dict[str, Any], limits: health.HealthLimits
) -> None:
    row = session.get(Drive, run.drive)
    medium = (row.medium if row else None) or run.tape_seen
    cartridge = cartridges.recognise(session, medium) if medium else None
    name = cartridge.tape_id if cartridge else str((medium or {}).get("label") or "-")
    alerts = list(health.alerts(name, facts))
    wear = list(health.wear(name, facts, limits)) if cartridge else []
    if cartridge is not None:
        cartridges.condition(session, cartridge, facts, wear)
    if row is not None:
        row.alerts = [each.to_json() for each in alerts]
        if health.wants_cleaning(facts) and inventory.of_drive(session, run.drive) is not None:
            row.clean_after = run.id
    for warning in alerts + wear:
        events.record(session, run, warning, step=step, level="warning")
        if warning.to_json() not in run.condition:
            run.condition = [*run.condition, warning.to_json()]
