"""A run fetches its tape: where it would wait for an operator, its drive's library is asked first."""

from __future__ import annotations

import time

import structlog
from sqlalchemy.orm import Session

from celery_app.drive_settings import feeder_of
from db import events
from db.models import ChainRun
from db.tapes import mount_backoff
from policy.errors import TapelineError
from policy.message import M, Message
from policy.tapes.candidates import Offer
from policy.tapes.facts import TapeFacts
from policy.tapes.verdict import Answer, judge
from tape.changer import Bay, Inventory
from tape.errors import (
    DoorOpen,
    DriveBusy,
    DriveError,
    DriveFull,
    LabelReadTimeout,
    MoveFailed,
    NoMedium,
    RobotBusy,
    SlotEmpty,
)
from tasks.drive import copy_target, tape_rules
from tasks.drive.patience import wait_out
from tasks.library import robot, supply
from tasks.library.robot import Robot
from tasks.work import Work, WrongTape

log = structlog.get_logger("tapeline.library")

READY_POLL_SECONDS = 2.0
ANOTHER = (MoveFailed, SlotEmpty, DriveFull)
"""After these, a new inventory shows what is where, and another cartridge may do."""

BLANK = TapeFacts("blank", None, empty=None, write_protected=False, identity=(), known=None)


def instead_of_waiting(work: Work, error: TapelineError) -> TapelineError | None:
    """Have the library put a tape into the drive that this run could use, instead of the one for which it
    would wait for an operator.

    None: another tape is in the drive, and the run begins this part anew with it: it is looked at and judged
    as any other. Else the error that the run waits with. Raises LostClaim, Cancelled, Ended.
    """
    feeder = feeder_of(work.settings.changers, work.drive_name)
    if feeder is None:
        return error
    name, _, number = feeder
    try:
        if wait_out(work, lambda: _fetch(work, name, number), limit=work.settings.drive_patience_seconds):
            return None
    except DriveError as why:
        return _not_fetched(work, error, why)
    error.remedy = work.db(lambda session, run: _wanted(session, run, name)) or error.remedy
    return error


def _fetch(work: Work, name: str, number: int) -> bool:
    """Whether another tape is in the drive now. Each cartridge is tried once: what is put away or did not
    come is not asked for again."""
    run_id = work.held.run_id
    with robot.held(name, asked_by=f"run {run_id}", run_id=run_id, pause=lambda s: _pause(work, s)) as arm:
        inventory = arm.look()
        if _has_come(work, inventory.bay(number)):
            _wait_until_ready(work, arm)
            return True
        while True:
            work.check()
            offer = _best(work, inventory)
            if offer is None:
                return False
            bay = inventory.bay(number)
            if bay is not None and bay.full:
                _put_away(work, arm, inventory, bay)
            stored = offer.stored
            work.tell(
                M(
                    "Library {library} loads {barcode} from slot {slot} into drive {drive}.",
                    library=name,
                    barcode=stored.barcode,
                    slot=stored.slot,
                    drive=work.drive_name,
                )
            )
            try:
                arm.load(stored.slot, number, stored.barcode)
            except ANOTHER as error:
                _note_tried(work, stored.barcode)
                work.tell(
                    M("{error} Another tape is fetched.", error=error.message.to_json()), level="warning"
                )
                inventory = arm.look()
                continue
            _wait_until_ready(work, arm)
            return True


def _has_come(work: Work, bay: Bay | None) -> bool:
    """Whether a tape is in the drive that was empty when the run looked: the move of a worker that died went
    on. It counts as fetched, so that one which the drive does not thread is put away the next time."""

    def ask(_session: Session, run: ChainRun) -> bool:
        was_empty = run.tape_seen is not None and run.tape_seen["state"] == "no_medium"
        if not was_empty or bay is None or bay.barcode is None or bay.barcode in run.fetched:
            return False
        _tried(run, bay.barcode)
        return True

    return work.db(ask)


def _best(work: Work, inventory: Inventory) -> Offer | None:
    return work.db(lambda session, run: supply.best(session, run, inventory))


def _note_tried(work: Work, barcode: str) -> None:
    work.db(lambda _session, run: _tried(run, barcode))


def _put_away(work: Work, arm: Robot, inventory: Inventory, bay: Bay) -> None:
    """Put the tape that is of no use back into its slot, or into another empty one, which is named: the robot
    itself would choose any. Raises DriveBusy while it is mounted, SlotFull, ChangerError."""
    slot = inventory.free_slot(bay.home)
    if slot is None:
        raise robot.no_free_slot(arm.name)
    arm.unload(bay.number, slot, bay.barcode)

    def note(session: Session, run: ChainRun) -> None:
        if bay.barcode is not None:
            _tried(run, bay.barcode)
        message = M(
            "Library {library} has put {barcode} from drive {drive} into slot {slot}.",
            library=arm.name,
            barcode=bay.barcode or "-",
            drive=run.drive,
            slot=slot,
        )
        events.record(session, run, message, step=work.held.step)

    work.db(note)


def _tried(run: ChainRun, barcode: str) -> None:
    if barcode not in run.fetched:
        run.fetched = [*run.fetched, barcode]


def _wait_until_ready(work: Work, arm: Robot) -> None:
    """A drive answers 'becoming ready' for up to a minute. What is in it then, the precheck finds out; one
    that does not get ready is reported there, too."""
    ends = time.monotonic() + arm.settings.ready_limit_seconds
    while True:
        try:
            work.drive().load()
        except (DriveBusy, LabelReadTimeout, NoMedium) as error:
            if time.monotonic() >= ends:
                work.tell(
                    M("The drive is not ready after it was loaded: {error}", error=error.message.to_json()),
                    level="warning",
                )
                return
            _pause(work, READY_POLL_SECONDS)
        else:
            return


def _pause(work: Work, seconds: float) -> None:
    """Between two looks is a safe point, and progress: the robot has limits of its own."""
    work.check()
    time.sleep(seconds)


def _not_fetched(work: Work, error: TapelineError, why: DriveError) -> TapelineError:
    """The run waits as it would without a library, and reports why that did not help. An open door is seen
    when it is closed; anything else is tried again after growing pauses."""

    def note(session: Session, run: ChainRun) -> None:
        if not isinstance(why, DoorOpen | RobotBusy):
            mount_backoff.failed(session, run)

    work.db(note)
    log.warning("the library brings no tape", error=str(why))
    return WrongTape(
        M(
            "{error} The library brings no other: {reason}",
            error=error.message.to_json(),
            reason=why.message.to_json(),
        ),
        why.remedy or error.remedy,
    )


def _wanted(session: Session, run: ChainRun, name: str) -> Message | None:
    """What to put into the library, if that helps."""
    if copy_target.only_reads(run):
        return M("Put that tape into library {library}.", library=name)
    question = tape_rules.question_of(session, run, BLANK)
    if judge(question).answer is Answer.REFUSE:
        return None
    return M("Put a blank tape into library {library}; its mail slot will do.", library=name)
