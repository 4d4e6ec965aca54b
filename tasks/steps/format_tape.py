"""``format_tape``: under a permit consumed before the program starts, judged by the label read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.orm import Session

from backup.format import manifest
from celery_app.worker import guards
from db import events
from db.models import ChainRun, FormatPermit, now
from db.runs import lookup
from db.states import BackupType, Step
from db.tapes import cartridges, drives, mount_backoff, permits
from db.tapes.permits import VolumeContents
from policy.errors import Consequence, TapelineError
from policy.message import M, Message
from policy.tapes import label as labels
from policy.tapes.facts import described
from policy.tapes.medium import MediumReport
from policy.tapes.permit import Decision, Denial, decide
from tape.drive import Medium, MediumState
from tape.errors import DriveError, FormatFailed, TapeChanged
from tape.judge import FormatOutcome, format_cartridge
from tasks.drive import copy_format
from tasks.drive.mounting import mounted
from tasks.drive.patience import wait_out
from tasks.drive.tape_rules import (
    another_tape,
    expected,
    local_now,
    not_to_format,
    policy_of,
    tried,
    type_named,
)
from tasks.step import Done, NextPart, NotNeeded, step
from tasks.work import Work, WrongTape

log = structlog.get_logger("tapeline.step")


class CutOff(TapelineError):
    """A format of this part was started before and its end is not known."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the permit allows, once."""

    permit_id: int
    label: str
    identity: MediumReport


@step(Step.FORMAT_TAPE)
def format_tape(work: Work) -> Done | NotNeeded | NextPart:
    """Formats at most once for each part of a run. Raises WrongTape, CutOff, FormatFailed."""
    used = work.db(lambda session, run: permits.used(session, run.id, run.part))
    if used is not None:
        return _entered_again(work, used)
    medium = work.drive().look()
    shown = _shown(work, medium)
    decided = work.db(lambda session, run: _decide(session, run, medium, shown))
    if isinstance(decided, WrongTape):
        raise decided
    if isinstance(decided, NotNeeded):
        return decided
    work.check()
    moment = now()
    work.db(lambda session, _run: permits.consume(session, decided.permit_id, moment))
    return _format(work, decided)


def _shown(work: Work, medium: Medium) -> VolumeContents | None:
    """The contents of the volume itself, if a format would destroy data: the catalogue alone might be
    outdated."""
    if medium.state is not MediumState.FORMATTED or medium.empty or not work.db(_has_data_to_lose(medium)):
        return None
    with mounted(work, read_only=True) as volume:
        sets = tuple(each.set_id for each in manifest.sets_on(volume))
        return VolumeContents(sets, tuple(manifest.strangers(volume)))


def _has_data_to_lose(medium: Medium) -> Callable[[Session, ChainRun], bool]:
    def ask(session: Session, run: ChainRun) -> bool:
        if _appended_type(session, run) or copy_format.settled(session, run, medium.to_json()):
            return False
        tape = cartridges.tape_facts(session, medium.to_json())
        return decide(permits.facts_of(session, run, tape, policy_of(run), local_now(run))).allowed

    return ask


def _appended_type(session: Session, run: ChainRun) -> BackupType | None:
    """The type of a backup that formats nothing."""
    record = lookup.record_of(session, run)
    kind = record.type if record else None
    return kind if kind is not BackupType.FULL and run.part == 1 else None


def _decide(
    session: Session, run: ChainRun, medium: Medium, shown: VolumeContents | None
) -> Order | NotNeeded | WrongTape:
    """The decision is always stored, so a refusal is returned, not raised."""
    kind = _appended_type(session, run)
    if kind is not None:
        named = type_named(kind).to_json()
        return NotNeeded(M("A backup of type {type} is appended: only a full one formats.", type=named))
    report = medium.to_json()
    if (settled := copy_format.settled(session, run, report)) is not None:
        return settled if isinstance(settled, WrongTape) else NotNeeded(settled)
    decision = permits.judge(
        session,
        run,
        report,
        policy=policy_of(run),
        now_local=local_now(run),
        shown=shown,
    )
    label = permits.label_for(session, run, report, local_now(run))
    permit = permits.store(session, run, report, label, decision)
    if decision.append:
        return NotNeeded(M("The tape holds this month's data: the backup is appended to it."))
    _tell_decision(session, run, permit, decision)
    if not decision.allowed:
        return WrongTape(
            not_to_format(
                run.drive,
                policy_of(run),
                cartridges.tape_facts(session, report),
                decision,
                expected(session, run),
            ),
            _remedy(run, decision),
        )
    _tell_beforehand(session, run, medium, label)
    return Order(permit.id, label, permit.identity)


def _remedy(run: ChainRun, decision: Decision) -> Message:
    if Denial.CLOCK in decision.denials:
        return M("When the clock is right, or confirmed: tapeline runs retry {run}", run=run.id)
    if Denial.FROZEN in decision.denials:
        return M("When nothing is frozen any more: tapeline runs retry {run}", run=run.id)
    return M("With the right tape in the drive: tapeline runs retry {run}", run=run.id)


def _tell_decision(session: Session, run: ChainRun, permit: FormatPermit, decision: Decision) -> None:
    head = (
        M("Format permit {id} for label {label}: allowed.", id=permit.id, label=permit.label)
        if decision.allowed
        else M("Format permit {id} for label {label}: denied.", id=permit.id, label=permit.label)
    )
    for message in (head, *decision.reasons):
        events.record(session, run, message, step=Step.FORMAT_TAPE)


def _tell_beforehand(session: Session, run: ChainRun, medium: Medium, label: str) -> None:
    """A format may take two hours and can be cut off: its story has the old label from the beginning."""
    for message in (
        M("Label before the format: {label}.", label=_named(medium)),
        M("Label asked for: {label}.", label=label),
    ):
        events.record(session, run, message, step=Step.FORMAT_TAPE)


def _format(work: Work, order: Order) -> Done | NotNeeded:
    outcome = _formatted(work, order)
    work.db(lambda session, run: _record(session, run, order, outcome))
    if outcome.ok:
        return Done({"label": order.label, "summary": f"formatted as {order.label}"})
    return _failed(work, outcome)


def _formatted(work: Work, order: Order) -> FormatOutcome:
    """One format; if it cannot begin for a temporary reason, wait for that to pass."""
    may_have_begun = False

    def attempt() -> FormatOutcome:
        nonlocal may_have_begun
        # It may have slept, or been treated as dead, since the permit was consumed: does it still own the
        # run?
        work.db(lambda _session, _run: None)
        may_have_begun = True
        try:
            outcome = _attempted(work, order)
        except DriveError:
            may_have_begun = False
            raise
        if outcome.run is None and outcome.error and outcome.error.consequence is Consequence.RETRY:
            may_have_begun = False
            raise outcome.error
        return outcome

    try:
        return wait_out(work, attempt, limit=work.settings.drive_patience_seconds)
    except TapelineError as error:
        if not may_have_begun:
            not_begun = {
                "ok": False,
                "started": False,
                "error": str(error),
                "failure": error.message.to_json(),
            }
            work.db(lambda session, _run: permits.close(session, order.permit_id, not_begun))
        raise


def _attempted(work: Work, order: Order) -> FormatOutcome:
    """Raises DriveError if nothing was begun."""
    held = guards.held()
    drive = work.drive()
    return format_cartridge(
        drive,
        order.label,
        expected=order.identity,
        serial=labels.serial_for(order.label),
        read_back=lambda: wait_out(work, drive.look, limit=work.settings.drive_patience_seconds),
        on_output=lambda line: log.info("format", line=line),
        inherit=(held.descriptor,) if held else (),
    )


def _record(session: Session, run: ChainRun, order: Order, outcome: FormatOutcome) -> None:
    """The story of the format, and the new state of the cartridge, in one transaction."""
    for message in _story(outcome):
        events.record(session, run, message, step=Step.FORMAT_TAPE)
    drives.looked(session, run.drive, outcome.after.to_json())
    if not outcome.ok:
        mount_backoff.failed(session, run)
    permits.close(session, order.permit_id, _outcome_json(outcome))
    before, after = outcome.before.to_json(), outcome.after.to_json()
    if outcome.ok:
        cartridge = cartridges.formatted(session, None, before, after, permit_id=order.permit_id)
        events.record(
            session,
            run,
            M(
                "Cartridge {tape_id}: generation {generation}.",
                tape_id=cartridge.tape_id,
                generation=cartridge.generation,
            ),
            step=Step.FORMAT_TAPE,
        )
    elif outcome.run and cartridges.identity(before) != cartridges.identity(after):
        permits.doubt(session, run, before)


def _story(outcome: FormatOutcome) -> list[Message]:
    story = []
    if outcome.run:
        story.append(
            M(
                "Command: {command}; return code {code}, {seconds} s.",
                command=" ".join(outcome.run.command),
                code=outcome.run.return_code,
                seconds=round(outcome.run.seconds, 1),
            )
        )
        story.append(M("Label read back: {label}.", label=_named(outcome.after)))
    if outcome.warning:
        story.append(outcome.warning)
    return story


def _named(medium: Medium) -> str | dict[str, Any]:
    return described(medium.state.value, medium.label)


def _outcome_json(outcome: FormatOutcome) -> dict[str, Any]:
    return {
        "ok": outcome.ok,
        "started": outcome.run is not None,
        "after": outcome.after.to_json(),
        "return_code": outcome.run.return_code if outcome.run else None,
        "seconds": outcome.run.seconds if outcome.run else None,
        "output": outcome.run.output[-4000:] if outcome.run else None,
        "error": str(outcome.error) if outcome.error else None,
        "failure": outcome.error.message.to_json() if outcome.error else None,
    }


def _failed(work: Work, outcome: FormatOutcome) -> NotNeeded:
    """Stop or continue, as the schedule demands; run_backup itself checks the tape that it would write to."""
    error = outcome.error or FormatFailed(M("The format failed."))
    if isinstance(error, TapeChanged):
        raise error
    goes_on = work.db(
        lambda _session, run: bool(run.schedule and run.schedule.on_format_failure == "continue")
    )
    if not goes_on:
        raise error
    work.announce("format_warning", error.message)
    work.tell(error.message, level="warning")
    return NotNeeded(M("The format failed; going on because of on_format_failure: continue."))


def _entered_again(work: Work, permit: FormatPermit) -> Done | NextPart:
    """The permit is used: read the tape. New label and empty → done; anything else → an operator decides.

    The permit was not for another cartridge: that one gets its own part, and its own permit.
    """
    medium = wait_out(work, work.drive().look, limit=_limit(work, permit))
    if _is_closed_well(permit, medium):
        return Done({"label": permit.label, "summary": f"formatted as {permit.label} before"})
    if permit.outcome is not None and not permit.outcome["started"]:
        return NextPart(M("The format under the permit of part {part} was not begun.", part=permit.part))
    if medium.label == permit.label and medium.empty and _is_new(permit, medium):
        work.db(lambda session, run: _record_found(session, run, permit, medium))
        return Done({"label": permit.label, "summary": f"formatted as {permit.label}"})
    ending = work.db(lambda session, run: _not_done(session, run, permit, medium))
    if isinstance(ending, CutOff):
        raise ending
    return ending


def _limit(work: Work, permit: FormatPermit) -> float:
    """A program that outlived its worker may keep the drive busy for as long as a format takes."""
    patience = work.settings.drive_patience_seconds
    if permit.outcome is None:
        return max(patience, work.settings.drive(work.drive_name).format_limit_seconds)
    return patience


def _record_found(session: Session, run: ChainRun, permit: FormatPermit, medium: Medium) -> None:
    report = medium.to_json()
    permits.close(session, permit.id, {"ok": True, "started": True, "after": report, "recovered": True})
    # A label alone identifies no cartridge: if there was only the label, the decision has already chosen the
    # row.
    before = permit.identity if _is_told(permit.identity) else {}
    cartridges.formatted(session, permit.cartridge_id, before, report, permit_id=permit.id)
    events.record(
        session,
        run,
        M("The format was done before the interruption: label {label}, empty.", label=permit.label),
        step=Step.FORMAT_TAPE,
    )


def _is_told(identity: MediumReport) -> bool:
    return bool(identity.get("volume_uuid") or identity.get("medium_serial"))


def _not_done(session: Session, run: ChainRun, permit: FormatPermit, medium: Medium) -> NextPart | CutOff:
    """A failed format is not tried again on this cartridge; another one gets its own part."""
    tape = _named(medium)
    if permit.outcome is None:
        permits.doubt(session, run, permit.identity)
    if _is_another_cartridge(run, permit, medium):
        return NextPart(
            M("The permit of part {part} was for another tape than {found}.", part=permit.part, found=tape)
        )
    message = tried(tape) if permit.outcome else _close_cut_off(session, run, permit, medium)
    return CutOff(message, another_tape(run))


def _close_cut_off(session: Session, run: ChainRun, permit: FormatPermit, medium: Medium) -> Message:
    """Nobody knows how far the program came, and nobody ever will: that ends the permit."""
    message = M(
        "The format of this run was cut off; the tape now reads '{found}'. It is not formatted again.",
        found=_named(medium),
    )
    drives.looked(session, run.drive, medium.to_json())
    mount_backoff.failed(session, run)
    failed = {"ok": False, "started": True, "error": str(message), "failure": message.to_json()}
    permits.close(session, permit.id, failed)
    return message


def _is_closed_well(permit: FormatPermit, medium: Medium) -> bool:
    """Whether the format of this permit is known to have succeeded, and this is its volume."""
    if permit.outcome is None or not permit.outcome["ok"]:
        return False
    after = permit.outcome["after"]
    return bool((after["volume_uuid"], after["label"]) == (medium.volume_uuid, medium.label))


def _is_new(permit: FormatPermit, medium: Medium) -> bool:
    """A new volume on the cartridge that the permit was for; another tape may have the same label."""
    if permit.outcome is not None and permit.outcome["ok"]:
        return False
    return permits.is_same_cartridge(permit, medium.to_json()) is not False and (
        medium.volume_uuid is None or medium.volume_uuid != permit.identity.get("volume_uuid")
    )


def _is_another_cartridge(run: ChainRun, permit: FormatPermit, medium: Medium) -> bool:
    """Whether it is another cartridge than the permit's. If no mark decides: after a successful format, a
    different volume proves another cartridge; after a failed one, the operator who has retried the run
    decides."""
    is_same = permits.is_same_cartridge(permit, medium.to_json())
    if is_same is not None:
        return not is_same
    return permit.outcome is not None and (bool(permit.outcome["ok"]) or run.tape_failed is None)
