"""Format permits as rows: decided with their reasons, consumed once, then only their outcome changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import events, freezes, leaps
from db.errors import NotAllowed
from db.models import ChainRun, FormatPermit, ScheduledTask, now
from db.states import Step
from db.tapes import (
    cartridges,
    erasable,
    kin,
    labels,
    volumes,
)
from policy.message import M, Message
from policy.tapes import label as label_rule
from policy.tapes.facts import CartridgeState, TapeFacts, TapePolicy
from policy.tapes.medium import Mark, MediumReport, identity_of
from policy.tapes.permit import Decision, FormatFacts, decide
from policy.times import period


@dataclass(frozen=True, slots=True)
class VolumeContents:
    """The contents of a mounted volume: its sets by id, and the names of files that are not ours."""

    sets: tuple[str, ...]
    strangers: tuple[str, ...]


def named_label(run: ChainRun) -> str | None:
    """The label of the tape that an operator allowed to be erased: that of the run's first part."""
    return run.options.erase_label if run.part == 1 else None


def named_sets(session: Session, label: str | None) -> tuple[str, ...] | None:
    """The sets that the tape with a label to erase has now: those written to it later, before the run gets
    there, were never given up. None: no known tape has the label."""
    known = cartridges.find(session, label) if label else None
    return tuple(sorted(session.scalars(kin.on(known)))) if known else None


def used(session: Session, run_id: int, part: int) -> FormatPermit | None:
    """The permit that a part of a run has consumed, or None."""
    return session.scalar(
        select(FormatPermit).where(
            FormatPermit.run_id == run_id, FormatPermit.part == part, FormatPermit.consumed_at.is_not(None)
        )
    )


def judge(
    session: Session,
    run: ChainRun,
    medium: MediumReport,
    *,
    policy: TapePolicy,
    now_local: datetime,
    shown: VolumeContents | None = None,
) -> Decision:
    """Ask the rules whether the run may format the tape in the drive now. Stores nothing.

    ``shown``: the contents of the volume itself; None: nobody has mounted it to see.
    """
    has_files = medium["state"] == "formatted" and not medium.get("empty")
    facts = replace(
        facts_of(session, run, cartridges.tape_facts(session, medium), policy, now_local),
        seen_by_precheck=cartridges.identity(run.tape_seen) if run.tape_seen else None,
        permit_used=used(session, run.id, run.part) is not None,
        unknown_sets=volumes.unknown(session, shown.sets) if shown else (),
        strangers=shown.strangers if shown else (),
        is_unseen=shown is None and has_files,
    )
    return decide(facts)


def facts_of(
    session: Session, run: ChainRun, tape: TapeFacts, policy: TapePolicy, now_local: datetime
) -> FormatFacts:
    """The facts for a run that has seen this very tape in its precheck, and formatted nothing."""
    return replace(
        _facts(session, tape, policy, now_local),
        run_id=run.id,
        period=run.period,
        named_label=named_label(run),
        named_sets=None if run.notes.erase_sets is None else frozenset(run.notes.erase_sets),
    )


def facts_for(
    session: Session, schedule: ScheduledTask, tape: TapeFacts, moment: datetime, named: str | None = None
) -> FormatFacts:
    """The facts for a run of a schedule that starts at a local time; ``named``: the label of the tape that an
    operator allowed to be erased."""
    facts = _facts(session, tape, TapePolicy.parse(schedule.tape_policy), moment)
    return replace(facts_like(facts, schedule, moment), named_label=named)


def facts_like(others: FormatFacts, schedule: ScheduledTask, moment: datetime) -> FormatFacts:
    """The facts for a run of a schedule that starts at a local time, from those of another schedule for the
    same tape. Raises UsageError if the schedule cannot be planned."""
    return replace(
        others,
        policy=TapePolicy.parse(schedule.tape_policy),
        now_local=moment,
        period=period.key(schedule.schedule_type, moment, schedule.time_zone),
    )


def _facts(session: Session, tape: TapeFacts, policy: TapePolicy, now_local: datetime) -> FormatFacts:
    """Facts that are the same for every caller, also for a future moment: the present clock is in doubt."""
    return FormatFacts(
        tape=tape,
        seen_by_precheck=tape.identity,
        policy=policy,
        now_local=now_local,
        run_id=None,
        period=None,
        clock_doubt=leaps.doubt(session, now()),
        frozen=freezes.why(session),
    )


def label_for(session: Session, run: ChainRun, medium: MediumReport, now_local: datetime) -> str:
    """The label to request: no other cartridge has it, and no run at another drive is about to write it.

    The tape's own, if an operator wants to keep it; else the next of the month. Until the transaction ends
    nobody else gets a label. Raises UsageError if the month has none left, or if Tapeline does not write
    labels like the one to keep.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('tapeline labels'))"))
    taken = labels.taken(session, medium, run)
    own = medium.get("label")
    if run.options.keep_label and own and own not in taken:
        return label_rule.check(own)
    return label_rule.to_ask_for(now_local, taken)


def store(
    session: Session, run: ChainRun, medium: MediumReport, label: str, decision: Decision
) -> FormatPermit:
    """Store a decision with its reasons."""
    cartridge = cartridges.recognise(session, medium)
    permit = FormatPermit(
        run_id=run.id,
        part=run.part,
        cartridge_id=cartridge.id if cartridge else None,
        drive=run.drive,
        identity=identity_of(medium),
        label=label,
        allowed=decision.allowed,
        denials=[denial.value for denial in decision.denials],
        reasons=[reason.to_json() for reason in decision.reasons],
        sets_lost=list(decision.sets_lost),
    )
    session.add(permit)
    session.flush()
    return permit


def is_same_cartridge(permit: FormatPermit, medium: MediumReport) -> bool | None:
    """Whether a medium is the cartridge that a permit was for, by marks that survive a format: the chip's
    serial; else the barcode, which some format programs rewrite. None: no mark decides."""
    marks: tuple[Mark, ...] = ("medium_serial", "barcode")
    for name in marks:
        before, after = permit.identity.get(name), medium.get(name)
        if before and after:
            return bool(before == after)
    return None


def has_failed(permit: FormatPermit) -> bool:
    """Whether the format under a permit is known to have made no volume, begun or not."""
    return permit.outcome is not None and not permit.outcome["ok"]


def is_spent_on(run: ChainRun, permit: FormatPermit, medium: MediumReport) -> bool:
    """Whether the tape in the drive is the one whose format under this permit has failed.

    If no mark distinguishes cartridges, it counts as the same, until the drive has shown something else or an
    operator has retried the run (``run.tape_failed``).
    """
    if permit.outcome is None or not has_failed(permit):
        return False
    if medium.get("label") == permit.label and medium.get("empty"):
        return False
    is_same = is_same_cartridge(permit, medium)
    if is_same is None or (is_same and not permit.outcome["started"]):
        return run.tape_failed is not None
    return is_same


def failure(permit: FormatPermit) -> Message | None:
    """Why the format under a permit failed, for an operator; None: it is not known."""
    reason = (permit.outcome or {}).get("failure")
    return Message.from_json(reason) if reason else None


def consume(session: Session, permit_id: int, moment: datetime) -> None:
    """Use up a permit. The caller commits this before the format program starts. Raises NotAllowed.

    ``moment``: made once by the step that wants to format. A caller with the same moment is that step, whose
    connection broke after the commit.
    """
    session.execute(_DURABLE)
    permit = session.get(FormatPermit, permit_id, populate_existing=True)
    if permit is not None and permit.consumed_at == moment:
        return
    # Somebody may have frozen the formats since the decision.
    freezes.check(session)
    try:
        consumed = session.execute(
            update(FormatPermit)
            .where(
                FormatPermit.id == permit_id,
                FormatPermit.allowed,
                FormatPermit.consumed_at.is_(None),
            )
            .values(consumed_at=moment)
            .returning(FormatPermit.id)
        ).scalar_one_or_none()
    except IntegrityError as error:
        raise _spent() from error
    if consumed is None:
        raise _spent()
    erasable.use(session, session.get_one(FormatPermit, permit_id))


# If somebody has set the server to report a commit before it is on disk, a crash would lose the use.
_DURABLE = text(
    "SELECT set_config('synchronous_commit', 'on', true)"
    " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
)


def _spent() -> NotAllowed:
    return NotAllowed(
        M("The format permit of this part of the run was used: it formats once. Start a new run.")
    )


def close(session: Session, permit_id: int, outcome: dict[str, Any]) -> None:
    """Store the outcome of a consumed permit, once."""
    session.execute(
        update(FormatPermit)
        .where(FormatPermit.id == permit_id, FormatPermit.outcome.is_(None))
        .values(outcome=outcome, outcome_at=now())
    )


def doubt(session: Session, run: ChainRun, identity: MediumReport) -> None:
    """The contents of the cartridge that a permit was for are unknown: nothing writes to it from now on."""
    cartridge = cartridges.recognise(session, identity)
    if cartridge is None or cartridge.state is CartridgeState.UNKNOWN:
        return
    cartridges.mark(session, cartridge.id, CartridgeState.UNKNOWN)
    events.record(
        session,
        run,
        M(
            "Cartridge {tape_id} is marked '{state}': an operator decides.",
            tape_id=cartridge.tape_id,
            state=CartridgeState.UNKNOWN.value,
        ),
        step=Step.FORMAT_TAPE,
        level="error",
    )


def doubt_unread(session: Session, run: ChainRun) -> None:
    """Mark every cartridge as unknown that this run was permitted to format and whose label nobody read
    afterwards."""
    unread = select(FormatPermit).where(
        FormatPermit.run_id == run.id, FormatPermit.consumed_at.is_not(None), FormatPermit.outcome.is_(None)
    )
    for permit in session.scalars(unread):
        doubt(session, run, permit.identity)
