"""``tapeline.remind``: before a run is due, names the tape it needs while there is time to insert it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.orm import Session

from celery_app import settings, wiring
from celery_app.celery import app
from db import events
from db.libraries import inventory
from db.models import BackupSet, Drive, ScheduledTask, TapeCartridge, now
from db.schedules import calendar, planner
from db.tapes import drives
from notify.events import Event
from notify.facts import Facts
from policy import units
from policy.errors import TapelineError
from policy.message import M, Message
from policy.tapes.facts import TapePolicy, described
from policy.tapes.medium import MediumReport
from policy.times import period, reminder
from policy.times.local_time import zone_named
from tasks import chain
from tasks.drive.tape_rules import is_full, type_named
from tasks.preview.preview import (
    Outlook,
    candidates,
    outlook,
    sets_named,
)

log = structlog.get_logger("tapeline.remind")

FRESH = timedelta(minutes=10)
"""How old the last inspection of a drive may be; if it is older, the drive is inspected first."""


@app.task(name="tapeline.remind", acks_late=False, ignore_result=True)
def remind(unseen: str | None = None) -> list[str]:
    """Every minute from beat. Returns the schedules that were announced.

    A drive is inspected first while no run has it; otherwise its last inspection is judged. ``unseen``: this
    drive could not be inspected; only its schedules are considered, by its last inspection.
    """
    with wiring.database().transaction() as session:
        answers = {row.name: _answer(session, row, unseen) for row in planner.coming(session, now(), unseen)}
    announced = [name for name, answer in answers.items() if answer is True]
    for drive in {answer for answer in answers.values() if isinstance(answer, DriveToInspect)}:
        chain.publish(drive.ask)
    if announced:
        chain.ask("tapeline.deliver")
    return announced


@dataclass(frozen=True, slots=True)
class DriveToInspect:
    """A drive that must be inspected first."""

    drive: str
    queue: str

    def ask(self, **options: Any) -> None:
        asked = {"drive": self.drive, "asked_at": now().isoformat()}
        app.send_task("tapeline.look_in", kwargs=asked, queue=self.queue, **options)


def _answer(session: Session, schedule: ScheduledTask, unseen: str | None) -> bool | DriveToInspect:
    """If one schedule has an impossible value, the others are still announced."""
    try:
        return _consider(session, schedule, unseen)
    except TapelineError as error:
        log.warning("a schedule cannot be judged", schedule=schedule.name, error=str(error))
        return False


def _consider(session: Session, schedule: ScheduledTask, unseen: str | None) -> bool | DriveToInspect:
    """Whether something was announced, or which drive to inspect first."""
    due = schedule.next_run_time
    assert due is not None
    kind = reminder.due(
        now(),
        due,
        before=timedelta(seconds=settings.load().reminder_before_seconds),
        again=timedelta(seconds=settings.load().reminder_again_seconds),
    )
    if (
        kind is None
        or _was_said(session, schedule, kind, Event.REMINDER)
        or _has_nothing_to_do(schedule, due)
    ):
        return False
    drive = session.get(Drive, schedule.drive)
    is_last_call = now() > due - timedelta(seconds=settings.load().reminder_again_seconds) / 2
    if drive is not None and unseen is None and not is_last_call and _should_be_looked_at(session, drive):
        return DriveToInspect(drive.name, drive.queue)
    facts = _facts(session, schedule, drive, due)
    if _was_said(session, schedule, kind, facts.event):
        return False
    if facts.event is Event.REMINDER and _is_brought_by_another(session, schedule, due):
        return False
    return events.announce_once(session, _about(schedule, kind), facts.event, facts.to_json())


def _about(schedule: ScheduledTask, kind: reminder.Reminder) -> str:
    return f"schedule:{schedule.id}:{kind.name}:{kind.due_at.isoformat()}"


def _was_said(session: Session, schedule: ScheduledTask, kind: reminder.Reminder, event: Event) -> bool:
    """A schedule that runs every hour is not a reason for a message every hour."""
    head = f"schedule:{schedule.id}:{kind.name}:"
    about = _about(schedule, kind)
    return events.is_announced(session, head, event, about=about, since=now() - reminder.PAUSE)


def _has_nothing_to_do(schedule: ScheduledTask, due: datetime) -> bool:
    zone_named(schedule.time_zone)
    return period.is_done(schedule.schedule_type, due, schedule.last_success_time, schedule.time_zone)


def _is_brought_by_another(session: Session, schedule: ScheduledTask, due: datetime) -> bool:
    """Whether a run that is due earlier leaves the tape in the drive, as the calendar plays it, or a library
    brings it.

    When that run fails, the calendar changes, and the reminder still comes before ``due``.
    """
    ahead = calendar.entries(session, now(), due)
    mine = [each for each in ahead if each.planned.schedule == schedule.name and each.planned.at == due]
    return any(each.slot is not None or (each.is_left and not each.insert) for each in mine)


def _should_be_looked_at(session: Session, drive: Drive) -> bool:
    """Nobody has inspected it lately, nobody uses it, and a worker would answer."""
    if drive.medium_at is not None and drive.medium_at > now() - FRESH:
        return False
    return not wiring.is_silent(drive.last_seen_at) and drives.running(session, drive.name) is None


def _facts(session: Session, schedule: ScheduledTask, drive: Drive | None, due: datetime) -> Facts:
    local_due = due.astimezone(zone_named(schedule.time_zone))
    medium = drive.medium if drive else None
    expected = outlook(session, schedule, medium, local_due) if medium else None
    is_ready = expected is not None and expected.wrong is None
    begins = is_full(session, schedule, schedule.template.type)
    return Facts(
        event=Event.READY if is_ready else Event.REMINDER,
        at=now(),
        time_zone=schedule.time_zone,
        schedule=schedule.name,
        drive=schedule.drive,
        due_at=due,
        reason=None if is_ready else _why(session, schedule.drive, medium),
        expected=TapePolicy.parse(schedule.tape_policy).expects(local_due, begins=begins),
        suitable=() if is_ready else _suitable(session, schedule, medium, local_due),
        found=_seen(drive, schedule.time_zone) if drive else None,
        on_tape=_named(session, expected.on_tape if expected else (), local_due),
        erased=_named(session, expected.erased if expected else (), local_due),
        next_command=f"tapeline precheck {schedule.name}",
        is_first_of_month=is_ready and _is_first_of_month(session, schedule),
    )


def _is_first_of_month(session: Session, schedule: ScheduledTask) -> bool:
    """Whether nobody got word in this month, by the schedule's clock, that its tape is ready."""
    local = now().astimezone(zone_named(schedule.time_zone))
    begin = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return not events.is_announced(session, f"schedule:{schedule.id}:", Event.READY, about="", since=begin)


def _why(session: Session, drive: str, medium: MediumReport | None) -> Message:
    library = inventory.of_drive(session, drive)
    if library is not None:
        return M(
            "Neither library {library} nor drive {drive} has a tape that this run may use.",
            library=library.name,
            drive=drive,
        )
    if medium is None:
        return M("What is in drive {drive} is not known.", drive=drive)
    if medium["state"] == "no_medium":
        return M("There is no tape in drive {drive}.", drive=drive)
    return M("The tape in drive {drive} is not one that this run may use.", drive=drive)


def _seen(drive: Drive, time_zone: str) -> Message | None:
    if drive.medium is None or drive.medium_at is None:
        return None
    return M(
        "{tape}, as of {moment}",
        tape=described(drive.medium["state"], drive.medium.get("label")),
        moment=f"{drive.medium_at.astimezone(zone_named(time_zone)):%Y-%m-%d %H:%M}",
    )


def _suitable(
    session: Session, schedule: ScheduledTask, medium: MediumReport | None, moment: datetime
) -> tuple[Message, ...]:
    tapes = candidates(session, schedule, moment, instead_of=medium)
    return tuple(_would_do(session, tape, each, moment) for tape, each in tapes)


def _would_do(session: Session, tape: TapeCartridge, outlook: Outlook, moment: datetime) -> Message:
    """A tape with its sets and what would be erased."""
    on_it = _named(session, outlook.on_tape, moment)
    if not on_it:
        return M("{tape} (nothing is on it)", tape=tape.tape_id)
    facts = {"tape": tape.tape_id, "count": len(on_it), "set": on_it[-1].to_json()}
    if not outlook.is_formatted:
        return M("{tape} (is appended to, after {set})", **facts)
    if len(on_it) == 1:
        return M("{tape} (erases {set})", **facts)
    return M("{tape} (erases {count} sets; the newest: {set})", **facts)


def _named(session: Session, ids: tuple[str, ...], moment: datetime) -> tuple[Message, ...]:
    return tuple(_set(stored, moment) for stored in sets_named(session, ids))


def _set(stored: BackupSet, moment: datetime) -> Message:
    facts = {"set": stored.id, "type": type_named(stored.type).to_json(), "size": units.size(stored.bytes)}
    if stored.retention_until is None:
        return M("set {set}, {type}, {size}, kept for ever", **facts)
    until = f"{stored.retention_until.astimezone(moment.tzinfo):%Y-%m-%d}"
    if stored.retention_until <= moment:
        return M("set {set}, {type}, {size}, expired {until}", until=until, **facts)
    return M("set {set}, {type}, {size}, kept until {until}", until=until, **facts)
