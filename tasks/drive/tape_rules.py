"""The facts that the tape rules of a run need, gathered from its rows."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from celery_app import settings
from db.models import BackupSet, ChainRun, ScheduledTask, TapeCartridge, now
from db.sets import lineage
from db.states import BackupType, Kind
from db.tapes import cartridges, labels, permits
from policy.message import M, Message
from policy.tapes import verdict
from policy.tapes.facts import CartridgeState, PolicyKind, TapeFacts, TapePolicy
from policy.tapes.medium import MediumReport
from policy.tapes.permit import Decision, Denial
from policy.tapes.verdict import (
    Answer,
    Objection,
    Objections,
    Question,
    Verdict,
)
from tasks.drive import copy_target


def policy_of(run: ChainRun) -> TapePolicy:
    """The tape policy of the run's schedule; of a copy, that of what it was given."""
    if run.schedule is None and run.options.pool is not None:
        return TapePolicy(PolicyKind.POOL, run.options.pool)
    return TapePolicy.parse(run.schedule.tape_policy if run.schedule else "current_month")


def local_now(run: ChainRun) -> datetime:
    """Now, in the time zone of the run's schedule; without one, by the operators' clock."""
    return now().astimezone(ZoneInfo(run.schedule.time_zone) if run.schedule else settings.load().zone)


def wanted_type(run: ChainRun) -> BackupType:
    """The requested type, by hand or by the template."""
    assert run.schedule is not None
    return run.options.type or run.schedule.template.type


_TYPES = {
    BackupType.FULL: M("full"),
    BackupType.INCREMENTAL: M("incremental"),
    BackupType.DIFFERENTIAL: M("differential"),
}


def type_named(kind: BackupType) -> Message:
    """A type of backup in the reader's words."""
    return _TYPES[kind]


def is_full(session: Session, schedule: ScheduledTask, wanted: BackupType) -> bool:
    """Whether a run makes a full set, because it was requested or because there is nothing to follow."""
    return wanted is BackupType.FULL or lineage.parent_for(session, schedule.template_id, wanted) is None


def refusal(session: Session, run: ChainRun, tape: TapeFacts, medium: MediumReport) -> Message | None:
    """Why the run may not continue with this tape, or None. Does not decide about formatting it."""
    if copy_target.only_reads(run):
        return _no_use_for(session, run, tape)
    objection = copy_target.objection(session, run, tape, medium)
    if objection is not None:
        return objection.told(policy_of(run).expects(local_now(run), begins=True))
    objections = verdict.at_first(replace(question_of(session, run, tape), is_let_pass=False))
    return _in_words(session, _asked_by(session, run), tape, objections) if objections else None


def question_of(session: Session, run: ChainRun, tape: TapeFacts) -> Question:
    """The requirements of a run that begins its part anew for a tape."""
    begun = begun_on(session, run)
    return Question(
        permits.facts_of(session, run, tape, policy_of(run), local_now(run)),
        begins=_begins(session, run),
        begun_here=None if begun is None else tape.known is not None and tape.known.id == begun.id,
        is_let_pass=is_let_pass(run, tape),
        appends_first=run.kind is Kind.COPY,
    )


def question_for(
    session: Session, schedule: ScheduledTask, tape: TapeFacts, moment: datetime, named: str | None = None
) -> Question:
    """The requirements of a new run of a schedule for a tape at a local time.

    ``named``: the label of the tape that an operator allowed to be erased.
    """
    return Question(
        permits.facts_for(session, schedule, tape, moment, named),
        begins=is_full(session, schedule, schedule.template.type),
    )


def _begins(session: Session, run: ChainRun) -> bool:
    """Whether a format may come before this part of a run writes."""
    if run.schedule is None:
        return True
    return run.part > 1 or is_full(session, run.schedule, wanted_type(run))


@dataclass(frozen=True, slots=True)
class Asker:
    """The caller that refuses a tape: what its words need."""

    drive: str
    policy: TapePolicy
    moment: datetime
    expects: Message
    schedule: str
    begins: bool
    """A format may come first: a blank tape would do."""
    run: ChainRun | None = None


def _asked_by(session: Session, run: ChainRun) -> Asker:
    begins = _begins(session, run)
    moment, policy = local_now(run), policy_of(run)
    name = run.schedule.name if run.schedule else ""
    return Asker(run.drive, policy, moment, policy.expects(moment, begins=begins), name, begins, run)


def refused_at_first(
    session: Session, schedule: ScheduledTask, question: Question, judged: Verdict
) -> Message | None:
    """The objection of a schedule's precheck to a tape, in its words; None: none."""
    if not judged.objections:
        return None
    return _in_words(session, _asked_for(schedule, question), question.facts.tape, judged.objections)


def refused(session: Session, schedule: ScheduledTask, question: Question, judged: Verdict) -> Message | None:
    """Why a run of a schedule would refuse a tape, in its words; None: it would not."""
    asker = _asked_for(schedule, question)
    return _refused(session, asker, question.facts.tape, judged)


def _asked_for(schedule: ScheduledTask, question: Question) -> Asker:
    policy, moment = question.facts.policy, question.facts.now_local
    expects = policy.expects(moment, begins=question.begins)
    return Asker(schedule.drive, policy, moment, expects, schedule.name, question.begins)


def _refused(session: Session, asker: Asker, tape: TapeFacts, judged: Verdict) -> Message | None:
    if judged.answer is not Answer.REFUSE:
        return None
    if judged.objections:
        return _in_words(session, asker, tape, judged.objections)
    assert judged.decision is not None
    return not_to_format(asker.drive, asker.policy, tape, judged.decision, asker.expects)


def _in_words(session: Session, asker: Asker, tape: TapeFacts, objections: Objections) -> Message:
    """The first objection in the operators' words: with the drive, its contents, and what to insert."""
    objection, reason = objections[0]
    match objection:
        case Objection.FULL:
            return _no_room(session, asker, tape)
        case Objection.BEGUN_ELSEWHERE if asker.run is not None:
            return _begun_elsewhere(session, asker.run, tape)
        case Objection.NOT_ACCEPTED if tape.state == "blank" and _only_appends(asker):
            return M(
                "The tape in drive {drive} is blank, and an increment is appended: insert {expected}."
                " A full backup would take the blank one: {command}",
                drive=asker.drive,
                expected=asker.expects.to_json(),
                command=_in_full(asker),
            )
        case Objection.NOT_ACCEPTED:
            return _wrong(asker.drive, asker.policy, tape, asker.expects)
    return reason


def _only_appends(asker: Asker) -> bool:
    """Whether a blank tape, which a full backup could use, is of no use to this one."""
    return not asker.begins and asker.policy.pool is None


def _in_full(asker: Asker) -> str:
    return f"tapeline schedule run {shlex.quote(asker.schedule)} --type full"


def _begun_elsewhere(session: Session, run: ChainRun, tape: TapeFacts) -> Message:
    begun = begun_on(session, run)
    assert begun is not None
    return M(
        "Set {set} goes on where it was begun, on tape {tape} (in drive {drive}: {found}).",
        set=run.set_id,
        tape=begun.tape_id,
        drive=run.drive,
        found=tape.describe(),
    )


def _no_room(session: Session, asker: Asker, tape: TapeFacts) -> Message:
    if asker.policy.pool is not None:
        return M(
            "Tape {tape} in drive {drive} is full. Put in another one of pool '{pool}'.",
            tape=tape.describe(),
            drive=asker.drive,
            pool=asker.policy.pool,
        )
    if _only_appends(asker):
        return M(
            "Tape {tape} in drive {drive} is full, and an increment is appended: insert {expected} that has"
            " room. Or put in a blank one, for a full backup: {command}",
            tape=tape.describe(),
            drive=asker.drive,
            expected=asker.expects.to_json(),
            command=_in_full(asker),
        )
    return M(
        "Tape {tape} in drive {drive} is full. Put in a blank one: it becomes {label}.",
        tape=tape.describe(),
        drive=asker.drive,
        label=labels.of_a_blank_tape(session, asker.moment),
    )


def _no_use_for(session: Session, run: ChainRun, tape: TapeFacts) -> Message | None:
    """Why a run that only reads cannot use this tape, or None."""
    if run.kind is Kind.IMPORT:
        if run.options.tape is not None and run.options.tape not in _names(session, tape):
            return M(
                "Insert tape {tape} to import it (in drive {drive}: {found}).",
                tape=run.options.tape,
                drive=run.drive,
                found=tape.describe(),
            )
        if tape.state == "formatted":
            return None
        in_drive = tape.describe()
        return M("There is nothing to import in drive {drive}: {found}.", drive=run.drive, found=in_drive)
    # The archives still to be read; if that is not known yet, all of the set and of those that it follows.
    needed = lineage.tapes(session, run.set_id or "", only=run.notes.cartridges)
    wanted = {cartridge.id for cartridge in needed}
    # A verification reads the very tape that it was asked to read; what is only read may be any copy.
    others = [] if run.kind is Kind.VERIFY else lineage.instead_of(session, run.set_id or "", wanted)
    if tape.known and tape.known.id in wanted | {cartridge.id for cartridge in others}:
        return None
    if others:
        return M(
            "Insert tape {tapes} for set {set}, or a tape with a copy: {copies} (in drive {drive}: {found}).",
            set=run.set_id,
            drive=run.drive,
            found=tape.describe(),
            tapes=", ".join(cartridge.tape_id for cartridge in needed),
            copies=", ".join(cartridge.tape_id for cartridge in others),
        )
    return M(
        "Insert tape {tapes} for set {set} (in drive {drive}: {found}).",
        set=run.set_id,
        drive=run.drive,
        found=tape.describe(),
        tapes=", ".join(cartridge.tape_id for cartridge in needed),
    )


def _names(session: Session, tape: TapeFacts) -> set[str | None]:
    """What an operator may call the tape in a drive: its label, its number, the barcode on its sticker."""
    row = session.get(TapeCartridge, tape.known.id) if tape.known else None
    mine = {tape.label, dict(tape.identity).get("barcode")}
    return mine | ({row.tape_id, row.label, row.barcode} if row else set())


def begun_on(session: Session, run: ChainRun) -> TapeCartridge | None:
    """The cartridge that the run's set has archives on, if it has free space."""
    stored = session.get(BackupSet, run.set_id) if run.set_id and run.kind is Kind.BACKUP else None
    if stored is None or not stored.archives:
        return None
    cartridge = stored.archives[-1].cartridge
    return None if cartridge.state is CartridgeState.FULL else cartridge


def wrong_tape(session: Session, run: ChainRun, tape: TapeFacts) -> Message:
    """The refusal in the operators' words, with what is in the drive and what was expected."""
    return _wrong(run.drive, policy_of(run), tape, expected(session, run))


def expected(session: Session, run: ChainRun) -> Message:
    """The tape that this part of a run would accept."""
    return policy_of(run).expects(local_now(run), begins=_begins(session, run))


def refusal_of_all(session: Session, run: ChainRun, medium: MediumReport) -> Message | None:
    """Why a run that begins its part anew with this tape would wait again, or None.

    Because of its precheck, its format permit, or the format that was tried: a waiting run continues only
    with a tape that passes all of them.
    """
    tape = cartridges.tape_facts(session, medium)
    if run.kind is not Kind.BACKUP or run.schedule is None:
        refused_at_first = refusal(session, run, tape, medium)
        if refused_at_first is not None or copy_target.only_reads(run):
            return refused_at_first
    question = question_of(session, run, tape)
    permit = permits.used(session, run.id, run.part) if question.asks_permit else None
    if permit is not None and permits.is_spent_on(run, permit, medium):
        return permits.failure(permit) or tried(tape.describe())
    judged = verdict.judge(question)
    if permit is not None and not judged.objections:
        return None
    return _refused(session, _asked_by(session, run), tape, judged)


def is_switch_alone(session: Session, run: ChainRun, medium: MediumReport) -> bool:
    """Whether only its write-protect switch prevents the use of a tape, for a run."""
    return would_do_writable(medium, lambda writable: refusal_of_all(session, run, writable))


def would_do_writable(medium: MediumReport, refused: Callable[[MediumReport], Message | None]) -> bool:
    """Whether a write-protected tape would be accepted without its switch."""
    return bool(medium.get("write_protected")) and refused({**medium, "write_protected": False}) is None


def another_tape(run: ChainRun) -> Message:
    """The remedy for a tape whose format failed."""
    return M("Look at the tape. With another one in the drive: tapeline runs retry {run}", run=run.id)


def tried(tape: str | dict[str, Any]) -> Message:
    """A part of a run formats once, with any result."""
    return M(
        "The format of this run has been tried; the tape now reads '{found}'. It is not formatted again.",
        found=tape,
    )


def _wrong(drive: str, policy: TapePolicy, tape: TapeFacts, wanted: Message) -> Message:
    if tape.state == "no_medium":
        return M(
            "There is no tape in drive {drive}. Insert {expected}.", drive=drive, expected=wanted.to_json()
        )
    facts = {"drive": drive, "found": tape.describe(), "expected": wanted.to_json()}
    pool = tape.known.pool if tape.known else None
    if policy.pool is not None:
        return M(
            "The tape in the drive is not of pool '{pool}': change it"
            " (in drive {drive}: {found}; expected: {expected}).",
            pool=policy.pool,
            **facts,
        )
    if pool is not None:
        return M(
            "The tape in the drive is kept for pool '{pool}': change it"
            " (in drive {drive}: {found}; expected: {expected}).",
            pool=pool,
            **facts,
        )
    return M(
        "The tape in the drive is not this month's: change it and retry"
        " (in drive {drive}: {found}; expected: {expected}).",
        **facts,
    )


def is_let_pass(run: ChainRun, tape: TapeFacts) -> bool:
    """Whether the schedule lets a run continue to the format with a tape whose label cannot be read."""
    laxer = run.schedule is not None and run.schedule.unreadable_label == "continue"
    return laxer and tape.state == "unreadable"


def not_to_format(
    drive: str, policy: TapePolicy, tape: TapeFacts, decision: Decision, wanted: Message
) -> Message:
    """The refusal of a tape that the policy accepts and the format permit does not."""
    if {Denial.CLOCK, Denial.FROZEN} & set(decision.denials):
        return decision.main_reason
    if tape.state == "no_medium":
        return _wrong(drive, policy, tape, wanted)
    return M(
        "The tape in drive {drive} ({tape}) may not be formatted: {reason} Expected: {expected}.",
        tape=tape.describe(),
        drive=drive,
        reason=decision.main_reason.to_json(),
        expected=wanted.to_json(),
    )
