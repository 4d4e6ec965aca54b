"""The facts of a run's messages at the moment of the event, put into the outbox."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import events
from db.models import BackupSet, ChainRun, ChainStep, RunEvent, TapeCartridge, now
from db.runs import remedies, times
from db.sets import catalog
from db.states import (
    Kind,
    RunState,
    Step,
)
from db.tapes import cartridges
from policy.guard import Doubt
from policy.message import Message
from policy.tapes.facts import CartridgeState


def announce_state(
    session: Session, run: ChainRun, reason: Message | None, remedy: Message | None = None
) -> None:
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    event = events.ENDINGS[run.state]
    if run.state is RunState.SUCCEEDED and _came_to(session, run, stored).get("warnings"):
        event = "warnings"
    if run.state is RunState.SKIPPED and run.is_missed:
        event = "missed"
    if run.state is RunState.SUCCEEDED and run.condition:
        event = "warnings"
    if run.state is RunState.FAILED and _has_bad_tape(session, run, stored):
        event = "tape_error"
    if run.state is RunState.WAITING_FOR_TAPE and _is_said(session, run, reason):
        return
    announce(session, run, event, reason, remedy)


def _is_said(session: Session, run: ChainRun, reason: Message | None) -> bool:
    """A run that waits again for the same reason is not announced again; reminders have their own
    schedule."""
    last = events.last_of(session, run, "waiting_for_tape")
    return last is not None and last.created_at >= run.queued_at and last.facts["reason"] == _json(reason)


def _has_bad_tape(session: Session, run: ChainRun, stored: BackupSet | None) -> bool:
    """Whether nothing may write to the cartridge of the run any more."""
    known = [
        session.get(TapeCartridge, stored.cartridge_id) if stored and stored.cartridge_id else None,
        cartridges.recognise(session, run.tape_seen) if run.tape_seen else None,
    ]
    return any(cartridge and cartridge.state is CartridgeState.ERROR for cartridge in known)


def announce(
    session: Session,
    run: ChainRun,
    event: str,
    reason: Message | None,
    remedy: Message | None = None,
    *,
    label: str | None = None,
) -> None:
    """Put an event of the run into the outbox, with the facts of this moment.

    ``label``: the one tape that it is about, if the set may be on several.
    """
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    ended = run.finished_at or now()
    facts = {
        "event": event,
        "run_id": run.id,
        "schedule": run.schedule.name if run.schedule else None,
        "kind": run.kind.value,
        "trigger": run.trigger.value,
        "drive": run.drive,
        "label": label
        or (run.kind is not Kind.COPY and _labels(session, stored))
        or (run.tape_seen or {}).get("label"),
        # The set of a backup is in the catalogue from its first byte on.
        "set_id": run.set_id if stored or run.kind is not Kind.BACKUP else None,
        **_came_to(session, run, stored),
        "condition": run.condition,
        "doubts": [Doubt.from_json(each).in_words.to_json() for each in run.doubts]
        if event == "held"
        else [],
        "first_warnings": _first_warnings(session, run),
        "seconds": None if event == "started" else times.worked_seconds(run),
        "reason": _json(reason),
        "remedy": _json(remedies.remedy(session, run, event, remedy)),
        "safe": _json(remedies.safe(session, run, event)),
        "newest": _json(remedies.newest(session, run, event)),
        "next_command": remedies.command(session, run, event),
        "at": ended.isoformat(),
        # For a schedule with a wrong zone, this is reported on a clock that is right.
        "time_zone": run.schedule.time_zone if run.schedule and not run.schedule.plan_error else None,
        "cancelled_by": run.cancelled_by if run.cancel_requested_at else None,
    }
    events.announce(session, run, event, facts)


def _labels(session: Session, stored: BackupSet | None) -> str | None:
    """The label of the tape that a set is on, or those of all."""
    tapes = catalog.tapes(session, stored.id) if stored else []
    return ", ".join(tape.label or tape.tape_id for tape in tapes) or None


_WORKING = {Kind.RESTORE: Step.RESTORE, Kind.VERIFY: Step.VERIFY, Kind.COPY: Step.WRITE_COPY}
"""The step that did what a run without a schedule was started for."""


def _came_to(session: Session, run: ChainRun, stored: BackupSet | None) -> dict[str, Any]:
    """How much a backup has stored, or a restore has restored and where, or a verification has read, or was
    copied."""
    if run.kind is Kind.BACKUP and stored:
        return {"files": stored.files, "size": stored.bytes, "warnings": stored.warnings}
    working = _WORKING.get(run.kind)
    step = session.get(ChainStep, (run.id, run.part, working)) if working else None
    done = (step.result or {}) if step else {}
    return {
        "files": done.get("files"),
        "size": done.get("bytes"),
        "kept": done.get("kept", 0),
        "target": done.get("target"),
        "warnings": done.get("warnings", 0),
    }


def _json(message: Message | None) -> dict[str, Any] | None:
    return message.to_json() if message else None


def _first_warnings(session: Session, run: ChainRun) -> list[dict[str, Any]]:
    return list(
        session.scalars(
            select(RunEvent.message)
            .where(
                RunEvent.run_id == run.id,
                RunEvent.step.in_((Step.RUN_BACKUP, Step.RESTORE)),
                RunEvent.level == "warning",
            )
            .order_by(RunEvent.id)
            .limit(3)
        )
    )
