"""The facts that the tape rules of a run need, gathered from its rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from db import cartridges, labels, lineage, permits
from db.models import BackupSet, ChainRun, ScheduledTask, TapeCartridge, now
from db.states import BackupType, Kind
from policy import media
from policy.message import M, Message
from policy.permit import Decision
from policy.tapes import CartridgeFacts, CartridgeState, TapeFacts, TapePolicy


def policy_of(run: ChainRun) -> TapePolicy:
    """The tape policy of the run's schedule."""
    return TapePolicy.parse(run.schedule.tape_policy if run.schedule else "current_month")


def local_now(run: ChainRun) -> datetime:
    """Now, in the time zone of the run's schedule."""
    return now().astimezone(ZoneInfo(run.schedule.time_zone if run.schedule else "UTC"))


def wanted_type(run: ChainRun) -> BackupType:
    """What was asked for, by hand or by the template."""
    assert run.schedule is not None
    return BackupType(run.options.get("type") or run.schedule.template.type)


def is_full(session: Session, schedule: ScheduledTask, wanted: BackupType) -> bool:
    """Whether a run makes a full set, because it is asked for or because nothing is there to follow."""
    return wanted is BackupType.FULL or lineage.parent_for(session, schedule.template_id, wanted) is None


def refusal(session: Session, run: ChainRun, tape: TapeFacts) -> Message | None:
    """Why the run may not go on with this tape, or None. Says nothing about formatting it."""
    if run.kind is not Kind.BACKUP:
        return _no_use_for(session, run, tape)
    moment = local_now(run)
    named = permits.named_label(run)
    wrong = _unusable(tape) or _no_room(session, run.drive, tape, moment, policy=policy_of(run), named=named)
    if wrong is not None:
        return wrong
    begun = begun_on(session, run)
    if begun is not None:
        if tape.known and tape.known.id == begun.id:
            return None
        return M(
            "Set {set} goes on where it was begun, on tape {tape} (in drive {drive}: {found}).",
            set=run.set_id,
            tape=begun.tape_id,
            drive=run.drive,
            found=tape.describe(),
        )
    is_good = _accepts(policy_of(run), tape, moment, begins=_begins(session, run), named=named)
    return None if is_good else wrong_tape(session, run, tape)


def _begins(session: Session, run: ChainRun) -> bool:
    """Whether a format may come before what this part of a run writes."""
    assert run.schedule is not None
    return run.part > 1 or is_full(session, run.schedule, wanted_type(run))


def refusal_at_first(
    session: Session, schedule: ScheduledTask, tape: TapeFacts, moment: datetime, named: str | None = None
) -> Message | None:
    """Why a run of a schedule that has written nothing yet may not go on with this tape at a local time.

    ``named``: the label of the tape that an operator has said may be erased.
    """
    policy = TapePolicy.parse(schedule.tape_policy)
    wrong = _unusable(tape) or _no_room(session, schedule.drive, tape, moment, policy=policy, named=named)
    if wrong is not None:
        return wrong
    begins = is_full(session, schedule, schedule.template.type)
    return (
        None
        if _accepts(policy, tape, moment, begins=begins, named=named)
        else _wrong(schedule.drive, tape, policy.expects(moment, begins=begins))
    )


def _accepts(
    policy: TapePolicy, tape: TapeFacts, moment: datetime, *, begins: bool, named: str | None
) -> bool:
    """An increment begins on a tape that it can be appended to; ``begins``: a format may come first, and one
    of a known tape that an operator has named is his decision."""
    if not begins:
        return policy.may_append(tape, moment)
    return _is_named(tape, named) or policy.accepts(tape, moment)


def _is_named(tape: TapeFacts, named: str | None) -> bool:
    return named is not None and tape.known is not None and named == tape.label


def _unusable(tape: TapeFacts) -> Message | None:
    known, wrong = tape.known, media.unusable(tape)
    if wrong is not None:
        return wrong
    if known is None or known.state in {CartridgeState.ACTIVE, CartridgeState.FULL}:
        return None
    return M("Cartridge {tape_id} is in state '{state}'.", tape_id=known.tape_id, state=known.state.value)


def _no_room(
    session: Session,
    drive: str,
    tape: TapeFacts,
    moment: datetime,
    *,
    policy: TapePolicy,
    named: str | None,
) -> Message | None:
    if tape.known is None or _is_named(tape, named) or not _is_full(tape.known, moment):
        return None
    if policy.pool is not None:
        return M(
            "Tape {tape} in drive {drive} is full. Put in another one of pool '{pool}'.",
            tape=tape.describe(),
            drive=drive,
            pool=policy.pool,
        )
    return M(
        "Tape {tape} in drive {drive} is full. Put in a blank one: it becomes {label}.",
        tape=tape.describe(),
        drive=drive,
        label=labels.of_a_blank_tape(session, moment),
    )


def _is_full(known: CartridgeFacts, moment: datetime) -> bool:
    """Nothing more fits, and something on it is kept: it can neither be appended to nor formatted."""
    return known.state is CartridgeState.FULL and not all(s.may_be_lost(moment) for s in known.sets)


def _no_use_for(session: Session, run: ChainRun, tape: TapeFacts) -> Message | None:
    """Why a run that only reads has no use for this tape, or None."""
    if run.kind is Kind.IMPORT:
        if tape.state == "formatted":
            return None
        found = tape.describe()
        return M("There is nothing to import in drive {drive}: {found}.", drive=run.drive, found=found)
    # Those that are still to be read; where it is not known yet, all of the set and of what it follows.
    needed = lineage.tapes(session, run.set_id or "", only=run.options.get("cartridges"))
    if tape.known and tape.known.id in {cartridge.id for cartridge in needed}:
        return None
    return M(
        "Insert tape {tapes} for set {set} (in drive {drive}: {found}).",
        set=run.set_id,
        drive=run.drive,
        found=tape.describe(),
        tapes=", ".join(cartridge.tape_id for cartridge in needed),
    )


def begun_on(session: Session, run: ChainRun) -> TapeCartridge | None:
    """The cartridge that the run's set has archives on, if there is room on it."""
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    if stored is None or not stored.archives:
        return None
    cartridge = stored.archives[-1].cartridge
    return None if cartridge.state is CartridgeState.FULL else cartridge


def wrong_tape(session: Session, run: ChainRun, tape: TapeFacts) -> Message:
    """The refusal that operators know, with what is in the drive and what was expected."""
    return _wrong(run.drive, tape, expected(session, run))


def expected(session: Session, run: ChainRun) -> Message:
    """Which tape this part of a run would take."""
    return policy_of(run).expects(local_now(run), begins=_begins(session, run))


def refusal_of_all(session: Session, run: ChainRun, medium: cartridges.Medium) -> Message | None:
    """Why a run that begins its part anew with this tape would come to stand again, or None.

    By its precheck, its format permit, or the format that was tried: a run that waits goes on only with a
    tape that gets past all of them.
    """
    tape = cartridges.tape_facts(session, medium)
    may_format = _may_format(session, run)
    permit = permits.used(session, run.id, run.part) if may_format else None
    if permit is not None and permits.is_spent_on(run, permit, medium):
        return permits.failure(permit) or tried(tape.describe())
    wrong = refusal(session, run, tape)
    if not may_format or (wrong is not None and not is_let_pass(run, tape)):
        return wrong
    if permit is not None:
        return None
    decision = permits.outlook(session, run, medium, policy=policy_of(run), now_local=local_now(run))
    if decision.allowed or decision.append:
        return wrong
    return not_to_format(run.drive, tape, decision, expected(session, run))


def _may_format(session: Session, run: ChainRun) -> bool:
    if run.kind is not Kind.BACKUP or run.schedule is None or begun_on(session, run) is not None:
        return False
    return _begins(session, run)


def is_switch_alone(session: Session, run: ChainRun, medium: cartridges.Medium) -> bool:
    """Whether nothing but its write-protect switch speaks against a tape, for a run."""
    return would_do_writable(medium, lambda writable: refusal_of_all(session, run, writable))


def would_do_writable(
    medium: cartridges.Medium, refused: Callable[[cartridges.Medium], Message | None]
) -> bool:
    """Whether a tape whose write-protect switch is set would not be refused without it."""
    return bool(medium.get("write_protected")) and refused({**medium, "write_protected": False}) is None


def another_tape(run: ChainRun) -> Message:
    """What to do about a tape whose format failed."""
    return M("Look at the tape. With another one in the drive: tapeline runs retry {run}", run=run.id)


def tried(found: str | dict[str, Any]) -> Message:
    """A part of a run formats once, whatever came of it."""
    return M(
        "The format of this run has been tried; the tape now reads '{found}'. It is not formatted again.",
        found=found,
    )


def _wrong(drive: str, tape: TapeFacts, wanted: Message) -> Message:
    if tape.state == "no_medium":
        return M(
            "There is no tape in drive {drive}. Insert {expected}.", drive=drive, expected=wanted.to_json()
        )
    return M(
        "The tape in the drive is not this month's: change it and retry"
        " (in drive {drive}: {found}; expected: {expected}).",
        drive=drive,
        found=tape.describe(),
        expected=wanted.to_json(),
    )


def is_let_pass(run: ChainRun, tape: TapeFacts) -> bool:
    """Whether the schedule has a run go on to the format with a tape whose label cannot be read."""
    laxer = run.schedule is not None and run.schedule.unreadable_label == "continue"
    return laxer and tape.state == "unreadable"


def not_to_format(drive: str, tape: TapeFacts, decision: Decision, wanted: Message) -> Message:
    """The refusal of a tape that the policy accepts and the format permit does not."""
    if tape.state == "no_medium":
        return _wrong(drive, tape, wanted)
    return M(
        "The tape in drive {drive} ({tape}) may not be formatted: {reason} Expected: {expected}.",
        tape=tape.describe(),
        drive=drive,
        reason=decision.main_reason.to_json(),
        expected=wanted.to_json(),
    )
