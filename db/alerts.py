"""Everything that needs somebody: problems that do not solve themselves, and tasks that are due soon.

This is the only such list: the page Today, the commands ``status`` and ``doctor``, and ``/metrics`` ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from db import (
    events,
    failures,
    freezes,
    idle,
    leaps,
    outbox,
)
from db.admin import alive, holds, processes, server
from db.libraries import troubles
from db.models import BackupSet, ChainRun, ScheduledTask, TapeCartridge, now
from db.runs import transitions
from db.schedules import blanks, calendar, needs, planner, plans, schedules
from db.schedules.schedules import ListedSchedule
from db.states import ACTIVE, Kind, RunState
from db.tapes import drives
from policy.message import M, Message
from policy.tapes.facts import CartridgeState, SetState
from policy.times.calendar import CalendarEntry

LATELY = timedelta(days=7)
"""How long a failure of a run without a schedule is shown."""
FULL = 0.9
"""From which part of the database's connections on their number is shown."""
SOON = timedelta(days=2)
"""How long before a run the tape that it needs is requested."""


class Topic(StrEnum):
    """What an alert is about."""

    CLOCK = "clock"
    FREEZE = "freeze"
    RUN = "run"
    START = "start"
    """Whether schedules start their runs."""
    BACKUP = "backup"
    """A backup that a schedule owes."""
    DRIVE = "drive"
    TAPE = "tape"
    SET = "set"
    CHANNEL = "channel"
    ALIVE = "alive"
    """The sign of life that goes to a monitoring service."""
    DATABASE = "database"
    SETTINGS = "settings"
    """Those that a process uses."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that needs somebody, and what it is about."""

    message: Message
    topic: Topic
    remedy: Message | None = None
    """What to do, unless the message names it."""
    is_urgent: bool = True
    """Something went wrong, or waits; otherwise it only needs preparation."""
    run: int | None = None
    may_retry: bool = False
    may_release: bool = False
    """It is held since the database was restored."""
    may_accept: bool = False
    freeze: str | None = None
    schedule: str | None = None
    drive: str | None = None
    tape: int | None = None
    channel: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The form for scripts."""
        return {
            "message": self.message.to_json(),
            "urgent": self.is_urgent,
            "run": self.run,
            "schedule": self.schedule,
            "drive": self.drive,
            "channel": self.channel,
        }


def alerts(
    session: Session, moment: datetime, ahead: Iterable[CalendarEntry], is_silent: Callable[[datetime], bool]
) -> list[Alert]:
    """Everything that needs somebody, the most urgent first.

    ``ahead``: the calendar from ``moment`` on. ``is_silent``: whether a drive's worker, last seen at that
    time, has been silent for too long.
    """
    listed = schedules.listed(session)
    rows = plans.in_doubt(session, moment)
    failed = failures.newest(session)
    dismissed = failures.dismissed_until(session)
    owed = list(_owed(session, rows, moment, {run.schedule_id for run in failed}, dismissed))
    return [
        *_clock(session, moment),
        *_frozen(session),
        *_standing_still(session),
        *_held(session),
        *_doubted(session),
        *_waiting(session),
        *_failed(session, moment, failed),
        *_not_by_itself(session, listed),
        *_unplanned(rows, moment),
        *owed,
        *_silent(session, is_silent),
        *_doubtful_tapes(session),
        *_conditions(session),
        *_libraries(session, moment),
        *_damaged(session),
        *_channels(session),
        *_connections(session),
        *_alive(session),
        *_behind(session),
        *_untold(session),
        *_without_a_backup(session, moment, {each.schedule for each in owed}),
        *_to_prepare(ahead, moment),
    ]


def current(session: Session, is_silent: Callable[[datetime], bool]) -> list[Alert]:
    """As ``alerts``, for callers without a calendar."""
    moment = now()
    return alerts(session, moment, calendar.entries(session, moment, moment + SOON), is_silent)


def _clock(session: Session, moment: datetime) -> Iterator[Alert]:
    doubt = leaps.doubt(session, moment)
    if doubt is not None:
        remedy = M("Is that the time? Then: tapeline clock confirm --why TEXT")
        yield Alert(doubt, Topic.CLOCK, remedy)


def _frozen(session: Session) -> Iterator[Alert]:
    for freeze in freezes.standing(session):
        text = M("Formats are frozen ({name}): {reason}", name=freeze.name, reason=freeze.reason)
        yield Alert(text, Topic.FREEZE, run=freeze.run_id, freeze=freeze.name)


def standing_still(session: Session) -> list[dict[str, Any]]:
    """The runs that were announced as stalled and have made no progress since, each with its reason."""
    stalled = []
    for run in _runs(session, ChainRun.state == RunState.RUNNING):
        announced = events.last_of(session, run, "stalled")
        if announced is not None and (run.moved_at is None or announced.created_at >= run.moved_at):
            stalled.append({"run": run.id, "reason": announced.facts["reason"]})
    return stalled


def _standing_still(session: Session) -> Iterator[Alert]:
    for stalled in standing_still(session):
        run = transitions.get(session, stalled["run"])
        text = M("{what} stands still: {reason}", what=_what(run), reason=stalled["reason"])
        yield Alert(text, Topic.RUN, run=run.id, drive=run.drive)


def _held(session: Session) -> Iterator[Alert]:
    for run in holds.held_runs(session):
        text = M("{what} does not go on: {reason}", what=_what(run), reason=holds.why(run).to_json())
        yield Alert(text, Topic.RUN, run=run.id, may_release=True)


def _doubted(session: Session) -> Iterator[Alert]:
    for run in _runs(session, ChainRun.state == RunState.HELD, ~ChainRun.is_held):
        text = M(
            "{what} is held, its sources are not as they were: {reason}",
            what=_what(run),
            reason=run.reason or "",
        )
        yield Alert(text, Topic.RUN, run=run.id, may_accept=True)


def _waiting(session: Session) -> Iterator[Alert]:
    for run in _runs(session, ChainRun.state == RunState.WAITING_FOR_TAPE, ~ChainRun.is_held):
        text = M("{what} waits for a tape: {reason}", what=_what(run), reason=run.reason or "")
        yield Alert(text, Topic.RUN, run=run.id, drive=run.drive)


def _failed(session: Session, moment: datetime, of_schedules: list[ChainRun]) -> Iterator[Alert]:
    by_hand = failures.of_no_schedule(session, moment - LATELY)
    for run in sorted([*of_schedules, *by_hand], key=lambda run: -run.id):
        text = M("{what} has failed: {reason}", what=_what(run), reason=run.reason or "")
        yield Alert(text, Topic.RUN, run=run.id, may_retry=True)


def _runs(session: Session, *conditions: object) -> list[ChainRun]:
    query = select(ChainRun).where(*conditions).options(joinedload(ChainRun.schedule))  # type: ignore[arg-type]
    return list(session.scalars(query.order_by(ChainRun.id)))


def _what(run: ChainRun) -> dict[str, object]:
    """A run as a part of a sentence."""
    if run.schedule is not None:
        return M("Run {id} of schedule '{schedule}'", id=run.id, schedule=run.schedule.name).to_json()
    kinds = {
        Kind.BACKUP: M("Backup {id}", id=run.id),
        Kind.RESTORE: M("Restore {id}", id=run.id),
        Kind.VERIFY: M("Verification {id}", id=run.id),
        Kind.IMPORT: M("Import {id}", id=run.id),
        Kind.COPY: M("Copy {id}", id=run.id),
    }
    return kinds[run.kind].to_json()


def _not_by_itself(session: Session, rows: Sequence[ListedSchedule]) -> Iterator[Alert]:
    """The state after a restore from a dump, or on a host where nobody started beat."""
    wrong = idle.all_off(rows) or idle.no_beat(session, rows)
    if wrong is not None:
        yield Alert(wrong[0], Topic.START, wrong[1], schedule=rows[0].name)
    for text, remedy in [] if wrong else idle.not_by_itself(rows):
        yield Alert(text, Topic.START, remedy, is_urgent=False, schedule=rows[0].name)


def _without_a_backup(session: Session, moment: datetime, named: set[str | None]) -> Iterator[Alert]:
    for name, text, remedy in idle.without_a_backup(session, moment):
        if name not in named:
            yield Alert(text, Topic.START, remedy, is_urgent=False, schedule=name)


def _unplanned(rows: list[ScheduledTask], moment: datetime) -> Iterator[Alert]:
    remedy = M("'tapeline schedule list' shows them; start beat with 'tapeline up'.")
    for row in rows:
        problem, due = planner.problem_of(row), planner.planned_time(row)
        if problem is not None:
            text = M("{name}: {problem}", name=row.name, problem=problem.to_json())
            yield Alert(text, Topic.START, remedy, schedule=row.name, may_release=row.is_held)
        elif due is not None and moment - due > planner.PUNCTUAL:
            at = planner.local(row, due)
            text = M("{name} was due {at} and has not started: is beat running?", name=row.name, at=at)
            yield Alert(text, Topic.START, remedy, schedule=row.name)


def _owed(
    session: Session,
    rows: list[ScheduledTask],
    moment: datetime,
    failed: set[int | None],
    dismissed: dict[int | None, datetime],
) -> Iterator[Alert]:
    """A running run may still provide it, and a failed one is listed already. A dismissed one, and what was
    due before, is not wanted any more."""
    active = select(ChainRun.schedule_id).where(ChainRun.state.in_(ACTIVE))
    passed_over = failed | set(session.scalars(active))
    for row in rows:
        due = planner.owed_since(row, moment, dismissed.get(row.id)) if row.id not in passed_over else None
        if due is not None and moment - due > planner.PUNCTUAL:
            at = planner.local(row, due)
            text = M("Schedule '{name}' owes a backup that was due {at}.", name=row.name, at=at)
            yield Alert(text, Topic.BACKUP, schedule=row.name)


def _silent(session: Session, is_silent: Callable[[datetime], bool]) -> Iterator[Alert]:
    for drive in drives.every(session):
        if is_silent(drive.last_seen_at):
            text = M(
                "The worker of drive {drive} on {host} is silent: is it running?",
                drive=drive.name,
                host=drive.host,
            )
            yield Alert(text, Topic.DRIVE, drive=drive.name)


def _doubtful_tapes(session: Session) -> Iterator[Alert]:
    query = select(TapeCartridge).where(
        TapeCartridge.state.in_([CartridgeState.UNKNOWN, CartridgeState.ERROR])
    )
    for tape in session.scalars(query.order_by(TapeCartridge.tape_id)):
        text = (
            M(
                "Tape {tape} is in doubt: a format was cut off, or its barcode is wrong. Look at it, then:"
                " tapeline tape mark {tape} active (or retired)",
                tape=tape.tape_id,
            )
            if tape.state is CartridgeState.UNKNOWN
            else M(
                "Tape {tape} had a write error: nothing writes on it. Take it out of use:"
                " tapeline tape mark {tape} retired",
                tape=tape.tape_id,
            )
        )
        yield Alert(text, Topic.TAPE, tape=tape.id)


def _conditions(session: Session) -> Iterator[Alert]:
    for warning, drive, tape in warned_of(session):
        yield Alert(warning, Topic.DRIVE if drive else Topic.TAPE, is_urgent=False, drive=drive, tape=tape)


def warned_of(session: Session) -> Iterator[tuple[Message, str | None, int | None]]:
    """Warnings of drives after their last run, and of tapes in use; with the drive, or the tape."""
    for drive in drives.every(session):
        yield from ((Message.from_json(alert), drive.name, None) for alert in drive.alerts)
    in_use = select(TapeCartridge).where(
        TapeCartridge.state.in_([CartridgeState.ACTIVE, CartridgeState.FULL]), TapeCartridge.wear != []
    )
    for tape in session.scalars(in_use.order_by(TapeCartridge.tape_id)):
        yield from ((Message.from_json(each), None, tape.id) for each in tape.wear)


def _libraries(session: Session, moment: datetime) -> Iterator[Alert]:
    """What needs somebody at a library now, and that its blank tapes end. A run that is near is listed
    already, with the tape that it needs."""
    for trouble in troubles.every(session, moment):
        yield Alert(trouble.message, Topic.DRIVE, trouble.remedy, is_urgent=trouble.is_urgent)
    for entry in blanks.ends(session, moment):
        if entry.planned.at - moment > SOON:
            yield Alert(blanks.in_words(entry), Topic.TAPE, blanks.REMEDY, is_urgent=False)


def _damaged(session: Session) -> Iterator[Alert]:
    query = select(BackupSet).where(
        BackupSet.damaged > 0, BackupSet.state != SetState.DESTROYED, BackupSet.expired_at.is_(None)
    )
    for stored in session.scalars(query.order_by(BackupSet.id)):
        text = M(
            "Set {set}: its verification found {count} damaged. Back up again:"
            " tapeline schedule run NAME --type full; then: tapeline sets expire {set}",
            set=stored.id,
            count=stored.damaged,
        )
        yield Alert(text, Topic.SET, tape=stored.cartridge_id)


def _channels(session: Session) -> Iterator[Alert]:
    for name, trouble in outbox.troubles(session).items():
        why = trouble["said"] or trouble["error"]
        text = M("Channel {name} does not take messages: {error}", name=name, error=why)
        remedy = M(
            "Send one to see whether it goes through: tapeline notify test --channel {name}", name=name
        )
        yield Alert(text, Topic.CHANNEL, remedy, channel=name)


def _alive(session: Session) -> Iterator[Alert]:
    problem = alive.problem(session)
    if problem is not None:
        yield Alert(problem[0], Topic.ALIVE, problem[1])


def _untold(session: Session) -> Iterator[Alert]:
    """The process that delivers knows no channel."""
    deliverers = processes.deliverers(session)
    if deliverers and not any(process.channels for process in deliverers):
        yield Alert(idle.NO_CHANNEL[0], Topic.CHANNEL, idle.NO_CHANNEL[1], is_urgent=False)


def _connections(session: Session) -> Iterator[Alert]:
    """When none is left, runs stay queued, and nobody can ask why."""
    used, most = server.connections(session)
    if used > FULL * most:
        text = M(
            "The database has {used} of {most} connections in use: when none is left, runs wait.",
            used=used,
            most=most,
        )
        yield Alert(text, Topic.DATABASE, M("Raise max_connections of its server."))


def _behind(session: Session) -> Iterator[Alert]:
    remedy = M("Correct the file, or start the process anew.")
    yield from (Alert(text, Topic.SETTINGS, remedy) for text in processes.behind(session))


def _to_prepare(ahead: Iterable[CalendarEntry], moment: datetime) -> Iterator[Alert]:
    """The first run of each drive that needs another tape soon; later runs may look different then."""
    seen: set[str] = set()
    for entry in ahead:
        drive = entry.planned.drive
        is_soon = entry.planned.at - moment <= SOON
        if is_soon and drive not in seen and entry.needs_hands:
            seen.add(drive)
            text = needs.preparation(entry)
            yield Alert(text, Topic.TAPE, is_urgent=False, schedule=entry.planned.schedule, drive=drive)
