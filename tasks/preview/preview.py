"""What a run of a schedule would find in its drive: now, or when it is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy.orm import Session

from db.models import BackupSet, ScheduledTask, TapeCartridge
from db.schedules import forecast
from db.sets import catalog
from db.tapes import cartridges
from policy.message import Message
from policy.tapes import room, verdict
from policy.tapes.medium import MediumReport
from policy.tapes.verdict import Answer
from tasks.drive.tape_rules import question_for, refused, would_do_writable

CANDIDATES = 3
"""How many suitable tapes are named at most: operators read them on a phone."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Whether the run could continue with a tape, and what would happen to its sets."""

    wrong: Message | None
    """Why it could not; None: it could."""
    on_tape: tuple[str, ...]
    """The sets that are on the tape."""
    erased: tuple[str, ...]
    """Those that it would erase."""
    is_formatted: bool
    """Whether the run would format the tape."""


def outlook(session: Session, schedule: ScheduledTask, medium: MediumReport, moment: datetime) -> Outlook:
    """Judge a tape for a run at a local time, by the rules of the run itself. Stores nothing."""
    tape = cartridges.tape_facts(session, medium)
    question = question_for(session, schedule, tape, moment)
    judged = verdict.judge(question)
    return Outlook(
        wrong=refused(session, schedule, question, judged),
        on_tape=tuple(stored.id for stored in tape.known.sets) if tape.known else (),
        erased=judged.sets_lost,
        is_formatted=judged.answer is Answer.FORMAT,
    )


def is_switch_alone(
    session: Session, schedule: ScheduledTask, medium: MediumReport, moment: datetime
) -> bool:
    """Whether only its write-protect switch prevents the use of a tape, for a run at a local time."""
    return would_do_writable(medium, lambda writable: outlook(session, schedule, writable, moment).wrong)


def room_doubt(
    session: Session, schedule: ScheduledTask, medium: MediumReport, moment: datetime
) -> Message | None:
    """Why the backup may not fit on the tape in the drive, by the size of the last one; None: it does."""
    judged = outlook(session, schedule, medium, moment)
    expected = forecast.bytes_on_tape(session, schedule.template_id, schedule.template.type)
    free = medium.get("capacity") if judged.is_formatted else medium.get("free")
    return room.doubt(expected, free, medium.get("label") or "-")


def candidates(
    session: Session,
    schedule: ScheduledTask,
    moment: datetime,
    *,
    instead_of: MediumReport | None,
) -> list[tuple[TapeCartridge, Outlook]]:
    """Known tapes that a run at a local time could use, those that were formatted longest ago first.

    ``instead_of``: the unsuitable tape in the drive, which is left out.
    """
    refused = cartridges.recognise(session, instead_of) if instead_of else None
    rows = cartridges.in_use(session)
    judged = ((row, outlook(session, schedule, as_if_loaded(row), moment)) for row in rows if row != refused)
    return list(islice((pair for pair in judged if pair[1].wrong is None), CANDIDATES))


def as_if_loaded(cartridge: TapeCartridge) -> MediumReport:
    """A drive's report of a cartridge, as far as its row has it."""
    return {
        "state": "formatted",
        "label": cartridge.label,
        "volume_uuid": cartridge.volume_uuid,
        "serial": cartridge.serial,
        "medium_serial": cartridge.medium_serial,
        "barcode": cartridge.barcode,
        "write_protected": False,
        "empty": cartridge.bytes_used == 0,
        "capacity": cartridge.capacity,
        "free": cartridge.capacity - cartridge.bytes_used if cartridge.capacity else None,
    }


def sets_named(session: Session, ids: tuple[str, ...]) -> list[BackupSet]:
    """The sets of an outlook, oldest first."""
    return sorted(catalog.these(session, ids), key=lambda stored: stored.started_at)
