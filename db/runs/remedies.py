"""What an operator wants to know when a run stops: what is safe, what exists, and what continues."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import freezes, leaps
from db.models import BackupSet, ChainRun, FormatPermit, ScheduledTask, now
from db.runs import lookup
from db.sets import catalog
from db.states import Kind
from db.tapes import cartridges, permits
from policy import units
from policy.errors import UsageError
from policy.message import M, Message
from policy.tapes.facts import SetState, described
from policy.tapes.medium import MediumReport
from policy.times.local_time import zone_named

STOPPED = frozenset({"failed", "tape_error", "cancelled", "waiting_for_tape", "held"})
"""Events after which the operator asks what is safe."""

_WITHOUT_BACKUP = frozenset({"failed", "tape_error", "waiting_for_tape", "held", "missed"})
"""Events that leave a schedule without the backup that was due."""


def safe(session: Session, run: ChainRun, event: str) -> Message | None:
    """What is unchanged, and what can be restored, if a run stopped before its end."""
    if event not in STOPPED:
        return None
    if run.kind is Kind.COPY:
        return M("Set {set} is on its own tapes as before; nothing else was erased.", set=run.set_id)
    if run.kind is not Kind.BACKUP:
        return M("This run only reads: nothing on the tape was changed.")
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    if stored and stored.files:
        return M(
            "{files} files ({size}) are sealed on tape and can be restored.",
            files=f"{stored.files:,}",
            size=units.size(stored.bytes),
        )
    permit = permits.used(session, run.id, run.part)
    return _after_a_format(permit) if permit else _untouched(run)


def _after_a_format(permit: FormatPermit) -> Message:
    outcome = permit.outcome
    if outcome and outcome["ok"]:
        return M("Tape {label} was formatted for this run; nothing is on it yet.", label=permit.label)
    tape = _named(permit.identity)
    if outcome and _changed_nothing(permit, outcome):
        return M("The format changed nothing: {tape} holds what it held.", tape=tape)
    return M("What {tape} holds now is not known; nothing writes on it until you decide.", tape=tape)


def _changed_nothing(permit: FormatPermit, outcome: dict[str, Any]) -> bool:
    if not outcome.get("started", True):
        return True
    after = outcome.get("after")
    return after is not None and cartridges.identity(after) == cartridges.identity(permit.identity)


def _untouched(run: ChainRun) -> Message:
    if run.tape_seen is None or run.tape_seen["state"] == "no_medium":
        return M("Nothing was written on any tape.")
    return M("Nothing was written: {tape} holds what it held.", tape=_named(run.tape_seen))


def _named(medium: MediumReport) -> str | dict[str, object]:
    return described(medium["state"], medium.get("label"))


def remedy(session: Session, run: ChainRun, event: str, stored: Message | None) -> Message | None:
    """The remedy from the error; a waiting run needs the tape, or a clock that is not in doubt."""
    if event not in {"waiting_for_tape", "held"} or run.wait_until is None:
        return stored
    until = _until(session, run, run.wait_until)
    if event == "held":
        return M("It is held until {until}. {remedy}", until=until, remedy=stored.to_json() if stored else "")
    if leaps.doubt(session, now()) is not None:
        return M(
            "Compare the clock with another one. The run goes on by itself when it is set right, or"
            " confirmed. It waits until {until}.",
            until=until,
        )
    if freezes.standing(session):
        return M(
            "Lift the freeze when it is time: the run goes on by itself. It waits until {until}.",
            until=until,
        )
    if (run.tape_seen or {}).get("write_protected"):
        return M(
            "If it is the right tape, move its switch to writable; else change it. The run goes on by itself."
            " It waits until {until}.",
            until=until,
        )
    return M("Change the tape: the run goes on by itself. It waits until {until}.", until=until)


def _until(session: Session, run: ChainRun, moment: datetime) -> str:
    """On the schedule's clock; for a run without a schedule on that of its set's schedule, which is named."""
    if run.schedule is not None:
        return f"{_local(moment, run.schedule.time_zone):%Y-%m-%d %H:%M}"
    of_set = select(ScheduledTask.time_zone).join(
        BackupSet, BackupSet.template_id == ScheduledTask.template_id
    )
    zone = session.scalar(of_set.where(BackupSet.id == run.set_id).limit(1)) or "UTC"
    return f"{_local(moment, zone):%Y-%m-%d %H:%M} ({zone})"


def newest(session: Session, run: ChainRun, event: str) -> Message | None:
    """The newest complete backup of the run's template, if the one that was due is missing."""
    if event not in _WITHOUT_BACKUP or run.schedule is None:
        return None
    stored = session.scalar(
        select(BackupSet)
        .where(BackupSet.template_id == run.schedule.template_id, BackupSet.state == SetState.COMPLETE)
        .order_by(BackupSet.finished_at.desc())
        .limit(1)
    )
    if stored is None or stored.finished_at is None:
        return M("none yet")
    return M(
        "{day}, on tape {tapes} (set {set})",
        day=f"{_local(stored.finished_at, run.schedule.time_zone):%Y-%m-%d}",
        tapes=", ".join(tape.label or tape.tape_id for tape in catalog.tapes(session, stored.id)) or "?",
        set=stored.id,
    )


def command(session: Session, run: ChainRun, event: str) -> str | None:
    """The command to continue with after an event."""
    schedule = run.schedule
    following: str | None = None
    match event:
        case "failed":
            following = f"tapeline runs retry {run.id}"
        case "tape_error":
            # A set continues where it was begun: one that was begun on a bad tape cannot.
            following = _anew(schedule.name) if schedule else f"tapeline runs retry {run.id}"
        case "missed" if schedule:
            following = _anew(schedule.name)
        case "skipped" if schedule:
            following = _unblock(session, schedule)
        case "waiting_for_tape":
            following = _for_a_tape(session, run)
        case "held":
            following = f"tapeline runs accept {run.id} --why TEXT"
        case "sets_lost":
            following = "tapeline sets list"
        case "warnings" | "format_warning" | "stalled" | "after_failed":
            following = f"tapeline runs show {run.id}"
    return following


def _for_a_tape(session: Session, run: ChainRun) -> str:
    """What somebody has to do for a run that waits for a tape."""
    if leaps.doubt(session, now()) is not None:
        return "tapeline clock confirm --why TEXT"
    frozen = freezes.standing(session)
    return (
        f"tapeline unfreeze {frozen[0].name} --why TEXT" if frozen else f"tapeline drive status {run.drive}"
    )


def _unblock(session: Session, schedule: ScheduledTask) -> str | None:
    """The command that lets the schedule run again, or shows the obstacle; None: there was nothing to do."""
    if not schedule.enabled:
        return f"tapeline schedule enable {shlex.quote(schedule.name)}"
    if schedule.is_held:
        return f"tapeline database release --schedule {shlex.quote(schedule.name)}"
    active = lookup.active_of(session, schedule.id)
    return f"tapeline runs show {active}" if active else None


def _anew(schedule: str) -> str:
    return f"tapeline schedule run {shlex.quote(schedule)}"


def _local(moment: datetime, time_zone: str) -> datetime:
    """On the schedule's clock; a broken time zone is no reason to lose a message."""
    try:
        return moment.astimezone(zone_named(time_zone))
    except UsageError:
        return moment
