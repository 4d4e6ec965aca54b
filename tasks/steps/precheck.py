"""``precheck``: at the drive, just before acting: the period, then the tape in the drive."""

from __future__ import annotations

from sqlalchemy.orm import Session

from celery_app import drive_programs
from celery_app.drive_programs import ProgramMissing
from db import events
from db.models import ChainRun
from db.runs import announcing, starting
from db.states import WRITING, Kind, Step, Trigger
from db.tapes import cartridges, drives
from policy.errors import TapelineError
from policy.message import M, Message
from policy.tapes.facts import TapeFacts
from policy.tapes.medium import MediumReport
from tape.drive import Medium, WriteLock
from tasks.drive import condition, lost
from tasks.drive.host_clock import clock_doubt
from tasks.drive.tape_rules import (
    begun_on,
    is_let_pass,
    is_switch_alone,
    local_now,
    policy_of,
    refusal,
)
from tasks.library import arrival
from tasks.preview.preview import room_doubt
from tasks.requests import run_after
from tasks.step import Done, NotNeeded, SkipRun, step
from tasks.work import Work, WrongTape
from tasks.writing import commands, guard
from tasks.writing.sources import check, for_step


class ClockWrong(TapelineError):
    """The host's clock shows an impossible time: the wrong tapes would look right."""


@step(Step.PRECHECK)
def precheck(work: Work) -> Done | NotNeeded | SkipRun:
    """Raises ClockWrong, SetGone, SourceMissing, SourceUnreadable, SourceUnusable, SourceSilent,
    SourceUnmounted, SourcesDoubted, CommandUnusable, CommandFailed, WrongTape, ProgramMissing, DriveError."""
    done = work.db(lambda _session, run: _period(run))
    if done:
        return SkipRun(done)
    wrong_clock = work.db(_clock)
    if wrong_clock:
        raise ClockWrong(
            wrong_clock, M("Set the clocks by NTP, then: tapeline runs retry {run}", run=work.held.run_id)
        )
    run_after.settle(work.drive_name)
    commands.check(work)
    sources = work.db(lambda _session, run: _sources(run))
    if sources is not None:
        # Before a tape is formatted for them: can at least one be read? The backup warns about the others.
        wait = for_step(work)
        check(sources, wait, some_may_miss=True)
        guard.look(work, wait)
    barcode = arrival.barcode(work)
    medium = work.drive().look()
    barcode = arrival.confirmed(work, barcode, medium.to_json())
    wrong = work.db(lambda session, run: _tape(session, run, medium, barcode))
    if wrong:
        raise wrong
    return Done({"tape": medium.label or medium.state.value})


def _period(run: ChainRun) -> Message | None:
    if run.schedule is None or run.trigger is not Trigger.SCHEDULE:
        return None
    return starting.period_refusal(run.schedule, run.due_at)


def _clock(session: Session, run: ChainRun) -> Message | None:
    return clock_doubt(session, run.id) if run.kind in WRITING else None


def _sources(run: ChainRun) -> list[str] | None:
    if run.schedule is None:
        return None
    if run.schedule.template.has_only_dumps and not run.options.sources:
        return None
    return list(run.options.sources or run.schedule.template.sources)


def _tape(session: Session, run: ChainRun, medium: Medium, barcode: str | None) -> TapelineError | None:
    """Store what is in the drive in any case; a refusal is returned, so that the record stays.

    ``barcode``: what the library's robot has read on it.
    """
    report = medium.to_json()
    drives.looked(session, run.drive, report)
    run.tape_seen = report
    misnamed = arrival.broken(session, run, barcode, report)
    if misnamed is not None:
        return misnamed
    lost.note_volume(session, run, report, Step.PRECHECK)
    facts = cartridges.tape_facts(session, report)
    events.record(
        session,
        run,
        M("In drive {drive}: {tape}.", drive=run.drive, tape=facts.describe()),
        step=Step.PRECHECK,
    )
    if facts.lock == WriteLock.WRITE_ERROR and facts.known:
        condition.condemn(session, run, facts.known.id)
    gone = lost.set_gone(session, run) if run.kind is Kind.BACKUP else None
    if gone is not None:
        return gone
    wrong = _refused(session, run, facts, report)
    if wrong is None and run.kind is Kind.BACKUP:
        _warn_of_room(session, run, report)
        return _unable_to_format(session, run, facts)
    return wrong


def _unable_to_format(session: Session, run: ChainRun, facts: TapeFacts) -> ProgramMissing | None:
    """A tape that nothing can be appended to needs the format program: report now if that is missing."""
    if begun_on(session, run) is not None or policy_of(run).may_append(facts, local_now(run)):
        return None
    try:
        drive_programs.check_format(run.drive)
    except ProgramMissing as error:
        return error
    return None


def _warn_of_room(session: Session, run: ChainRun, medium: MediumReport) -> None:
    """A tape on which the backup may not fit is no failure, but somebody should have another one ready."""
    if run.schedule is None:
        return
    doubt = room_doubt(session, run.schedule, medium, local_now(run))
    if doubt is None or events.last_announced(session, run, "capacity"):
        return
    events.record(session, run, doubt, step=Step.PRECHECK, level="warning")
    announcing.announce(session, run, "capacity", doubt, M("Have another tape ready for it."))


def _refused(session: Session, run: ChainRun, facts: TapeFacts, medium: MediumReport) -> WrongTape | None:
    wrong = refusal(session, run, facts, medium)
    if wrong is None:
        return None
    if is_let_pass(run, facts):
        events.record(
            session,
            run,
            M("The label cannot be read; going on because the schedule says unreadable_label: continue."),
            step=Step.PRECHECK,
            level="warning",
        )
        return None
    if is_switch_alone(session, run, medium):
        return WrongTape(
            wrong,
            M(
                "Move the switch of the tape to writable, or insert another one, then:"
                " tapeline runs retry {run}",
                run=run.id,
            ),
        )
    return WrongTape(wrong, M("With the right tape in the drive: tapeline runs retry {run}", run=run.id))
