"""The format permit's decision for the tape that is in a drive now, on any host; nothing changes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from celery_app import wiring
from db.errors import NotAllowed
from db.models import Drive, ScheduledTask, now
from db.schedules import schedules
from db.sets import catalog
from db.sets.as_json import sets_json
from db.tapes import cartridges, drives
from policy.errors import TapelineError, UsageError
from policy.message import M, Message
from policy.tapes import verdict
from policy.tapes.medium import MediumReport
from policy.tapes.permit import Denial, decide
from policy.tapes.verdict import Answer, Question, Verdict
from policy.times.local_time import zone_named
from tasks.drive.tape_rules import question_for, refused_at_first, type_named
from tasks.preview import prechecks
from tasks.requests import check_drive


class NoAnswer(TapelineError):
    """No worker or host that could inspect the drive answers."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """Whether a run that started now would format the tape in its drive, and why."""

    schedule: str
    drive: str
    medium: MediumReport
    allowed: bool
    append: bool
    """It would append instead of formatting."""
    why_appended: Message | None
    """The reason for that, if the permit has several."""
    denials: tuple[Denial, ...]
    reasons: tuple[Message, ...]
    sets_lost: list[dict[str, Any]]
    """The sets that are on the tape: a format would destroy them."""


def dry_run(schedule: str | None, drive: str | None, *, named_label: str | None = None) -> DryRun:
    """Ask the rules for a run of a schedule, or of the only schedule that a drive has.

    ``named_label``: the label of the tape that the operator allows to be erased. Raises NotFound, UsageError,
    NotAllowed (a run works at the drive), NoAnswer, DriveError.
    """
    with wiring.database().transaction() as session:
        row = _schedule(session, schedule, drive)
        name, at = row.name, row.drive
        _refuse_busy(session, at)
        registered = session.get(Drive, at)
    medium = _look(at, registered)
    with wiring.database().transaction() as session:
        return _judge(session, schedules.get(session, name), medium, named_label)


def _schedule(session: Session, name: str | None, drive: str | None) -> ScheduledTask:
    if name is not None:
        schedule = schedules.get(session, name)
        if drive not in {None, schedule.drive}:
            raise UsageError(
                M("Schedule '{schedule}' is for drive {drive}.", schedule=name, drive=schedule.drive),
                M("Leave --drive out."),
            )
        return schedule
    rows = [row for row in schedules.present(session) if row.drive == drive]
    if len(rows) == 1:
        return rows[0]
    if not rows:
        raise UsageError(
            M("No schedule is for drive {drive}: nothing would format what is in it.", drive=drive),
            M("'tapeline schedule list' shows them; name another drive with --drive."),
        )
    raise UsageError(
        M("Drive {drive} has several schedules, each with its own rules.", drive=drive),
        M("Name one with --schedule: {schedules}.", schedules=", ".join(row.name for row in rows)),
    )


def _refuse_busy(session: Session, drive: str) -> None:
    running = drives.running(session, drive)
    if running is not None:
        raise NotAllowed(
            M("Run {run} works at drive {drive} now.", run=running, drive=drive),
            M("Look again when it has ended: tapeline runs watch {run}", run=running),
        )


def _look(name: str, drive: Drive | None) -> MediumReport:
    """By the drive's worker, on any host; without one by this host, if the drive is here."""
    if drive is not None and not wiring.is_silent(drive.last_seen_at):
        return _asked(drive)
    if drive is None or drive.host == socket.gethostname():
        return wiring.drive(name).look().to_json()
    trouble = prechecks.no_worker(name, drive)
    raise NoAnswer(trouble.detail, trouble.remedy)


def _asked(drive: Drive) -> MediumReport:
    answer = check_drive.ask(drive, [])
    if answer is None:
        trouble = prechecks.no_answer(drive)
        raise NoAnswer(trouble.detail, trouble.remedy)
    error = check_drive.said(answer["error"])
    if error is not None:
        raise NoAnswer(error, M("See to the drive: tapeline doctor, on {host}", host=drive.host))
    medium: MediumReport = answer["medium"]
    return medium


def _judge(session: Session, schedule: ScheduledTask, medium: MediumReport, named: str | None) -> DryRun:
    moment = now().astimezone(zone_named(schedule.time_zone))
    tape = cartridges.tape_facts(session, medium)
    question = question_for(session, schedule, tape, moment, named)
    judged = verdict.judge(question)
    decision = decide(question.facts)
    return DryRun(
        schedule=schedule.name,
        drive=schedule.drive,
        medium=medium,
        allowed=judged.answer is Answer.FORMAT,
        append=judged.answer is Answer.APPEND,
        why_appended=judged.decision.why_appended if judged.decision and judged.decision.append else None,
        denials=decision.denials,
        reasons=tuple(_reasons(session, schedule, question, judged)),
        sets_lost=sets_json(session, catalog.these(session, decision.sets_lost)),
    )


def _reasons(
    session: Session, schedule: ScheduledTask, question: Question, judged: Verdict
) -> Iterator[Message]:
    """The precheck's refusal, in its words, and then the permit."""
    wrong = refused_at_first(session, schedule, question, judged)
    if wrong is not None:
        yield wrong
    if judged.decision is None:
        kind = type_named(schedule.template.type).to_json()
        yield M("A backup of type {type} is appended: only a full one formats.", type=kind)
    elif not (wrong and judged.decision.allowed):
        yield from judged.decision.reasons
