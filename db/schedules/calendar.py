"""The input of the calendar: future runs, tapes, and the sizes of earlier sets."""

from __future__ import annotations

from datetime import datetime
from itertools import islice, takewhile
from statistics import median

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import BackupArchive, BackupSet, Drive, ScheduledTask, TapeCartridge
from db.runs.starting import period_refusal
from db.schedules import planner, schedules
from db.sets import lineage
from db.states import BackupType
from db.tapes import cartridges, labels
from db.tapes.facts import Shelf
from policy.tapes.facts import SetState, TapePolicy
from policy.times.calendar import (
    Entry,
    Planned,
    Stock,
    Tape,
    play,
)

MAX = 1000
"""How many runs are simulated at most."""
LOOKED_AT = 12
"""The number of earlier sets of a schedule for the median."""


def entries(session: Session, moment: datetime, until: datetime) -> list[Entry]:
    """Every run of an enabled schedule up to ``until``, with the tape that it needs; none for a period that
    already has its backup."""
    rows = schedules.present(session)
    upcoming = islice(takewhile(lambda pair: pair[0] <= until, planner.ahead(rows, moment)), MAX)
    sizes = {row.id: _size(session, row) for row in rows}
    runs = [_planned(row, at, sizes[row.id]) for at, row in upcoming if period_refusal(row, at) is None]
    return list(play(_stock(session, rows), runs))


def _planned(row: ScheduledTask, at: datetime, size: int | None) -> Planned:
    return Planned(
        at=at,
        schedule=row.name,
        schedule_type=row.schedule_type,
        time_zone=row.time_zone,
        drive=row.drive,
        policy=TapePolicy.parse(row.tape_policy),
        template_id=row.template_id,
        retention_days=row.template.retention_days,
        keep_sets=row.template.keep_sets,
        type=row.template.type.value,
        size=size,
    )


def _size(session: Session, row: ScheduledTask) -> int | None:
    """The size of a schedule's run on tape: the median of its last sets."""
    last = (
        select(BackupSet.id)
        .where(
            BackupSet.template_id == row.template_id,
            BackupSet.type == row.template.type,
            BackupSet.state.in_([SetState.COMPLETE, SetState.DESTROYED]),
            BackupSet.finished_at.is_not(None),
        )
        .order_by(BackupSet.finished_at.desc())
        .limit(LOOKED_AT)
    )
    found = session.scalars(
        select(func.sum(BackupArchive.bytes))
        .where(BackupArchive.set_id.in_(last))
        .group_by(BackupArchive.set_id)
    ).all()
    return int(median(found)) if found else None


def _stock(session: Session, rows: list[ScheduledTask]) -> Stock:
    shelf, holders = Shelf(session), labels.Holders(session)
    tapes = sorted(shelf.cartridges.values(), key=_longest_ago)
    loaded, inside = {}, set()
    for drive in session.scalars(select(Drive)):
        medium = drive.medium
        if medium and medium["state"] != "no_medium":
            found = cartridges.recognise(session, medium)
            number = found.id if found else None
            loaded[drive.name] = _loaded(session, medium, holders.own(number, medium.get("medium_serial")))
            inside.add(number)
    return Stock(
        loaded=loaded,
        shelf=[
            Tape(
                shelf.facts(tape.id),
                tape.bytes_used,
                tape.capacity,
                holders.own(tape.id, tape.medium_serial),
            )
            for tape in tapes
            if tape.id not in inside
        ],
        newest_full={row.template_id: _newest(session, row, BackupType.DIFFERENTIAL) for row in rows},
        newest={row.template_id: _newest(session, row, BackupType.INCREMENTAL) for row in rows},
        capacity=max((tape.capacity for tape in tapes if tape.capacity), default=None),
        labels=set(holders.labels),
    )


def _newest(session: Session, row: ScheduledTask, kind: BackupType) -> str | None:
    """The set that the next increment would follow."""
    found = lineage.parent_for(session, row.template_id, kind)
    return found.id if found else None


def _loaded(session: Session, medium: cartridges.Medium, own: frozenset[str]) -> Tape:
    capacity, free = medium.get("capacity"), medium.get("free")
    used = capacity - free if capacity is not None and free is not None else 0
    return Tape(cartridges.tape_facts(session, medium), used, capacity, own)


def _longest_ago(tape: TapeCartridge) -> tuple[bool, datetime, int]:
    """The order in which tapes are taken from the shelf; a tape that was never formatted comes last."""
    return tape.formatted_at is None, tape.formatted_at or tape.created_at, tape.id
