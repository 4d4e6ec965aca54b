"""All prechecks of a schedule at once, without a run: what its next run would find, or one right now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from sqlalchemy.orm import Session

from backup.format.age import recipients
from backup.request import check_patterns
from celery_app import settings, wiring
from celery_app.health import BrokerUnavailable
from db.libraries import inventory
from db.models import Drive, ScheduledTask, now
from db.runs import lookup, starting
from db.schedules import blanks, forecast, planner, schedules
from db.tapes import cartridges, drives
from policy import units
from policy.errors import TapelineError
from policy.finding import Finding, PrecheckVerdict
from policy.message import M, Message
from policy.tapes.facts import TapePolicy
from policy.tapes.medium import MediumReport
from policy.times.local_time import zone_named
from policy.times.period import ScheduleType
from tasks.drive.tape_rules import is_full
from tasks.library import supply
from tasks.preview.preview import (
    Outlook,
    candidates,
    is_switch_alone,
    outlook,
    room_doubt,
)
from tasks.preview.source_findings import of_sources
from tasks.requests import check_drive
from tasks.requests.check_drive import said
from tasks.writing import trying


class WhichRun(Enum):
    """Which run is judged."""

    DUE = auto()
    """The one that is due next; one that starts now, if nothing is due automatically."""
    NOW = auto()
    """One that starts automatically now."""
    BY_HAND = auto()
    """One that is started by hand now: the period check does not apply."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The findings, and the moment for which they are valid."""

    as_of: datetime
    """On the schedule's clock."""
    findings: list[Finding]


def findings(name: str, when: WhichRun) -> Judged:
    """Check everything for a run of a schedule; changes nothing. Raises NotFound, UsageError (the schedule
    has an impossible value).

    If only the drive's host can see something, the drive's worker is asked.
    """
    with wiring.database().transaction() as session:
        schedule = schedules.get(session, name)
        due = planner.next_start(schedule, now()) if when is WhichRun.DUE else None
        as_of = (due or now()).astimezone(zone_named(schedule.time_zone))
        of_schedule = list(_of_the_schedule(session, schedule, when, due))
        drive = session.get(Drive, schedule.drive)
        busy = _busy(session, schedule)
        sources = list(schedule.template.sources)
        named = trying.to_try(schedule.template)
    if drive is None or busy or wiring.is_silent(drive.last_seen_at):
        return Judged(as_of, [*of_schedule, busy or no_worker(schedule.drive, drive)])
    try:
        answer = check_drive.ask(drive, sources, named=named)
    except BrokerUnavailable as error:
        return Judged(
            as_of, [*of_schedule, Finding("drive", error.message, PrecheckVerdict.REFUSED, error.remedy)]
        )
    if answer is None:
        return Judged(as_of, [*of_schedule, no_answer(drive)])
    with wiring.database().transaction() as session:
        schedule = schedules.get(session, name)
        return Judged(as_of, [*of_schedule, *_at_the_drive(session, schedule, drive, answer, as_of)])


def _of_the_schedule(
    session: Session, schedule: ScheduledTask, when: WhichRun, due: datetime | None
) -> Iterator[Finding]:
    problem = planner.problem_of(schedule)
    if schedule.is_held:
        yield Finding(
            "schedule",
            M("Schedule '{schedule}' is held since the database was restored.", schedule=schedule.name),
            PrecheckVerdict.REFUSED,
            M("Release it: tapeline database release --schedule {schedule}", schedule=schedule.name),
        )
    elif not schedule.enabled:
        yield Finding(
            "schedule",
            M("Schedule '{schedule}' is disabled.", schedule=schedule.name),
            PrecheckVerdict.REFUSED,
            M("Enable it."),
        )
    elif problem is not None and when is not WhichRun.BY_HAND:
        yield Finding("schedule", problem, PrecheckVerdict.REFUSED)
    else:
        yield Finding("schedule", M("Schedule '{schedule}' is enabled.", schedule=schedule.name))
    is_planned = when is WhichRun.DUE and schedule.enabled and problem is None
    yield _due(schedule, due) if is_planned else _period(schedule, when)
    yield _running(session, schedule)
    yield _template(schedule)


def _due(schedule: ScheduledTask, due: datetime | None) -> Finding:
    if due is not None:
        at = planner.local(schedule, due)
        return Finding("period", M("Its next run starts {at}: that period has no backup yet.", at=at))
    if schedule.schedule_type is ScheduleType.MANUAL:
        return Finding("period", M("It runs only when it is started by hand: this is as of now."))
    return Finding(
        "period",
        M("Nothing of it is due by itself."),
        PrecheckVerdict.REFUSED,
        M("Change its times, or start it by hand: tapeline schedule run {schedule}", schedule=schedule.name),
    )


def _period(schedule: ScheduledTask, when: WhichRun) -> Finding:
    refusal = starting.period_refusal(schedule, now())
    if refusal is None:
        return Finding("period", M("This period has no backup yet."))
    if when is WhichRun.BY_HAND:
        return Finding("period", M("This period has its backup already; a run by hand makes another."))
    return Finding("period", refusal, PrecheckVerdict.REFUSED, M("A run by hand is exempt: --manual."))


def _running(session: Session, schedule: ScheduledTask) -> Finding:
    active = lookup.active_of(session, schedule.id)
    if active is None:
        return Finding("running", M("No other run of it is under way."))
    return Finding(
        "running",
        M("Run {run} of schedule '{schedule}' is not finished yet.", run=active, schedule=schedule.name),
        PrecheckVerdict.REFUSED,
        M("Wait for it or cancel it: tapeline runs cancel {run}", run=active),
    )


def _template(schedule: ScheduledTask) -> Finding:
    """Values that nobody could have checked when they were written into the table."""
    try:
        check_patterns(schedule.template.excludes)
        recipients(schedule.template.encrypt_to)
    except TapelineError as error:
        return Finding("template", error.message, PrecheckVerdict.REFUSED, error.remedy)
    return Finding("template", M("Patterns and keys of the template are understood."))


def _busy(session: Session, schedule: ScheduledTask) -> Finding | None:
    running = drives.running(session, schedule.drive)
    if running is None:
        return None
    return Finding(
        "drive",
        M(
            "Drive {drive} is at work for run {run}: a run now would wait for it.",
            drive=schedule.drive,
            run=running,
        ),
        PrecheckVerdict.REFUSED,
        M("Look again when it has ended: tapeline runs watch {run}", run=running),
    )


def no_worker(name: str, drive: Drive | None) -> Finding:
    """Nobody knows what is in a drive: its worker is silent, or there was never one."""
    remedy = M("Start its worker on the drive's host: tapeline worker QUEUE, or tapeline up.")
    if drive is None:
        return Finding(
            "drive", M("Drive {drive} has never had a worker.", drive=name), PrecheckVerdict.REFUSED, remedy
        )
    return Finding(
        "drive",
        M(
            "The worker of drive {drive} on {host} was last heard of at {moment}.",
            drive=name,
            host=drive.host,
            moment=f"{drive.last_seen_at.astimezone(settings.load().zone):%Y-%m-%d %H:%M}",
        ),
        PrecheckVerdict.REFUSED,
        remedy,
    )


def no_answer(drive: Drive) -> Finding:
    """The worker of a drive lives, but did not report in time what is in it."""
    return Finding(
        "drive",
        M(
            "The worker of drive {drive} gave no answer in {seconds} s.",
            drive=drive.name,
            seconds=round(check_drive.TIMEOUT),
        ),
        PrecheckVerdict.REFUSED,
        M("Read its log on {host}; check that the broker is up: tapeline doctor", host=drive.host),
    )


def _at_the_drive(
    session: Session, schedule: ScheduledTask, drive: Drive, answer: dict[str, Any], moment: datetime
) -> Iterator[Finding]:
    wrong_clock = said(answer["clock"])
    if wrong_clock:
        yield Finding("clock", wrong_clock, PrecheckVerdict.REFUSED, M("Set the clocks by NTP."))
    else:
        yield Finding("clock", M("The clock of {host} is right.", host=drive.host))
    yield from of_sources(session, schedule, answer)
    # A worker of the previous version does not report it.
    named = answer.get("commands") or []
    yield from trying.findings(trying.to_try(schedule.template), drive.host, named)
    error = said(answer["error"])
    if error:
        yield Finding(
            "drive",
            error,
            PrecheckVerdict.REFUSED,
            M("See to the drive: tapeline doctor, on {host}", host=drive.host),
        )
        return
    yield Finding("drive", M("Drive {drive} on {host} answers.", drive=drive.name, host=drive.host))
    # A worker of the previous version does not report it.
    no_format = said(answer.get("no_format"))
    if no_format and outlook(session, schedule, answer["medium"], moment).is_formatted:
        yield Finding(
            "drive",
            no_format,
            PrecheckVerdict.REFUSED,
            M("See to the drive: tapeline doctor, on {host}", host=drive.host),
        )
    yield from of_the_tape(session, schedule, answer["medium"], moment)
    yield from _blanks(session, schedule)


def of_the_tape(
    session: Session, schedule: ScheduledTask, medium: MediumReport, moment: datetime
) -> Iterator[Finding]:
    """What a run would do with the tape in the drive, at a local time."""
    expected = outlook(session, schedule, medium, moment)
    if expected.wrong is None:
        yield Finding("tape", _good(session, schedule, medium, expected))
        yield _erased(expected)
        yield _room(session, schedule, medium, moment)
    elif (brought := supply.for_schedule(session, schedule, moment)) is not None:
        yield Finding(
            "tape",
            M(
                "{problem} The library brings {barcode} from slot {slot}.",
                problem=expected.wrong.to_json(),
                barcode=brought.stored.barcode,
                slot=brought.stored.slot,
            ),
        )
        yield _erased_of(brought.verdict.sets_lost if brought.verdict else ())
    elif medium["state"] == "no_medium":
        yield Finding(
            "tape",
            M("There is no tape in drive {drive}.", drive=schedule.drive),
            PrecheckVerdict.WAIT,
            _change(session, schedule, medium, moment),
        )
    elif medium["state"] == "unreadable" and schedule.unreadable_label == "continue":
        yield Finding(
            "tape",
            M(
                "The label cannot be read. As unreadable_label is continue, a run looks once more before it"
                " formats, and stops if it cannot be read then."
            ),
            PrecheckVerdict.WAIT,
            _change(session, schedule, medium, moment),
        )
    else:
        yield Finding(
            "tape", expected.wrong, PrecheckVerdict.WAIT, _change(session, schedule, medium, moment)
        )


def _blanks(session: Session, schedule: ScheduledTask) -> Iterator[Finding]:
    """Whether the library of its drive has blank tapes enough, for whichever schedule needs them first."""
    row = inventory.of_drive(session, schedule.drive)
    for entry in blanks.ends(session, now()) if row else ():
        if row is not None and entry.library == row.name:
            yield Finding("library", blanks.in_words(entry), PrecheckVerdict.WARNING, blanks.REMEDY)


def _good(session: Session, schedule: ScheduledTask, medium: MediumReport, outlook: Outlook) -> Message:
    tape = cartridges.tape_facts(session, medium).describe()
    if outlook.is_formatted:
        return M("In drive {drive}: {tape}. A run would format it.", drive=schedule.drive, tape=tape)
    return M("In drive {drive}: {tape}. A run would append to it.", drive=schedule.drive, tape=tape)


def _erased(outlook: Outlook) -> Finding:
    return _erased_of(outlook.erased)


def _erased_of(lost: Sequence[str]) -> Finding:
    if not lost:
        return Finding("erased", M("Nothing would be erased."))
    return Finding(
        "erased",
        M(
            "{count} expired sets would be erased: {sets}.",
            count=len(lost),
            sets=", ".join(lost),
        ),
        PrecheckVerdict.WARNING,
    )


def _room(session: Session, schedule: ScheduledTask, medium: MediumReport, moment: datetime) -> Finding:
    doubt = room_doubt(session, schedule, medium, moment)
    if doubt is not None:
        return Finding("room", doubt, PrecheckVerdict.WARNING, M("Have another tape ready for it."))
    expected = forecast.bytes_on_tape(session, schedule.template_id, schedule.template.type)
    if expected is None:
        return Finding("room", M("There is no earlier backup to judge the room by."))
    return Finding("room", M("The last backup took {expected}: it fits.", expected=units.size(expected)))


def _change(session: Session, schedule: ScheduledTask, medium: MediumReport, moment: datetime) -> Message:
    """The remedy for a refused tape: it must not name that tape itself."""
    begins = is_full(session, schedule, schedule.template.type)
    facts: dict[str, Any] = {
        "expected": TapePolicy.parse(schedule.tape_policy).expects(moment, begins=begins).to_json()
    }
    known = candidates(session, schedule, moment, instead_of=medium)
    facts["tapes"] = ", ".join(tape.tape_id for tape, _ in known)
    if is_switch_alone(session, schedule, medium, moment):
        return _move_the_switch(facts)
    if known:
        return M("Insert {expected}; of the known tapes: {tapes}.", **facts)
    return M("Insert {expected}.", expected=facts["expected"])


def _move_the_switch(facts: dict[str, Any]) -> Message:
    if facts["tapes"]:
        return M(
            "Move the switch of the tape to writable, or insert {expected}; of the known tapes: {tapes}.",
            **facts,
        )
    return M("Move the switch of the tape to writable, or insert {expected}.", expected=facts["expected"])
