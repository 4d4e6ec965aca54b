"""``precheck``: at the drive, just before acting: period, then the tape in the drive."""

from __future__ import annotations

from sqlalchemy.orm import Session

from backup.scan import roots
from db import cartridges, catalog, drives, events, runs
from db.models import ChainRun
from db.states import Kind, Step, Trigger
from policy.message import M, Message
from policy.tapes import TapeFacts
from tape.drive import Medium
from tasks.step import Done, NotNeeded, SkipRun, step
from tasks.tape_rules import refusal
from tasks.work import Work, WrongTape


@step(Step.PRECHECK)
def precheck(work: Work) -> Done | NotNeeded | SkipRun:
    """Raises SourceMissing, WrongTape, DriveError."""
    refusal = work.db(lambda _session, run: _period(run))
    if refusal:
        return SkipRun(refusal)
    sources = work.db(lambda _session, run: _sources(run))
    if sources:
        # Before a tape is formatted for them: are they there?
        roots(sources)
    medium = work.drive().look()
    wrong = work.db(lambda session, run: _tape(session, run, medium))
    if wrong:
        raise wrong
    return Done({"tape": medium.label or medium.state.value})


def _period(run: ChainRun) -> Message | None:
    if run.schedule is None or run.trigger is not Trigger.SCHEDULE:
        return None
    return runs.period_refusal(run.schedule, run.due_at)


def _sources(run: ChainRun) -> list[str]:
    if run.schedule is None:
        return []
    return list(run.options.get("sources") or run.schedule.template.sources)


def _tape(session: Session, run: ChainRun, medium: Medium) -> WrongTape | None:
    """Note what is in the drive, whatever it is; a refusal is returned, so that the note stays."""
    said = medium.to_json()
    drives.looked(session, run.drive, said)
    facts = cartridges.tape_facts(session, said)
    events.record(
        session,
        run,
        M("In drive {drive}: {tape}.", drive=run.drive, tape=facts.describe()),
        step=Step.PRECHECK,
    )
    run.tape_seen = said
    return _not_the_sets(session, run, facts) if run.kind is Kind.RESTORE else _refused(session, run, facts)


def _refused(session: Session, run: ChainRun, facts: TapeFacts) -> WrongTape | None:
    wrong = refusal(session, run, facts)
    if wrong is None:
        return None
    if facts.state == "unreadable" and run.schedule and run.schedule.unreadable_label == "continue":
        events.record(
            session,
            run,
            M("The label cannot be read; going on because the schedule says unreadable_label: continue."),
            step=Step.PRECHECK,
            level="warning",
        )
        return None
    return WrongTape(wrong, M("With the right tape in the drive: tapeline runs retry {run}", run=run.id))


def _not_the_sets(session: Session, run: ChainRun, facts: TapeFacts) -> WrongTape | None:
    assert run.set_id is not None
    needed = catalog.tapes(session, run.set_id)
    if facts.known and facts.known.id in {cartridge.id for cartridge in needed}:
        return None
    return WrongTape(
        M(
            "Set {set} is not on the tape in drive {drive} ({found}).",
            set=run.set_id,
            drive=run.drive,
            found=facts.describe(),
        ),
        M(
            "Insert {tapes}, then: tapeline runs retry {run}",
            tapes=", ".join(cartridge.tape_id for cartridge in needed),
            run=run.id,
        ),
    )
