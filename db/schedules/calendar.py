"""The input of the calendar: future runs, tapes, and the sizes of earlier sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from statistics import median

from sqlalchemy import ARRAY, BigInteger, Text, cast, func, literal, select, true
from sqlalchemy.orm import Session

from db.libraries import inventory
from db.models import BackupArchive, BackupSet, ScheduledTask, TapeCartridge
from db.runs import times, windows
from db.runs.starting import period_refusal
from db.schedules import planner, plans
from db.sets import parents
from db.states import BackupType
from db.tapes import labels
from db.tapes.facts import Inside, LoadedTapes
from policy.tapes.facts import SetFacts, SetState, TapeFacts, TapePolicy
from policy.tapes.medium import MediumReport
from policy.times.calendar import CalendarEntry, Stock, play
from policy.times.nights import worked_out
from policy.times.shelf import PlannedRun, ShelfTape

MAX = 1000
"""How many runs are simulated at most."""
LOOKED_AT = 12
"""The number of earlier sets of a schedule for the median."""


def entries(
    session: Session,
    moment: datetime,
    until: datetime,
    size_at: Callable[[PlannedRun], int | None] | None = None,
) -> list[CalendarEntry]:
    """Every run of an enabled schedule up to ``until``, with the tape that it needs; none for a period that
    already has its backup. ``size_at``: the size of a future run, if it is not the median of earlier ones."""
    due = [(at, row) for at, row in _upcoming(session, moment, until) if period_refusal(row, at) is None]
    if not due:
        return []
    concerned = {row.id: row for _, row in due}
    sizes = _sizes(session, concerned.values())
    runs = [_planned(row, at, sizes.get(row.template_id)) for at, row in due]
    if size_at is not None:
        runs = [replace(run, size=size_at(run)) for run in runs]
    if any(run.window or run.run_after for run in runs):
        took = times.usual_seconds(session, concerned)
        runs = [replace(run, seconds=took.get(run.template_id)) for run in runs]
    return list(worked_out(_from_libraries(session, play(_stock(session, concerned.values()), runs))))


def complete_until(session: Session, moment: datetime, until: datetime) -> datetime:
    """Up to when ``entries`` has every run: before ``until`` if there are more than ``MAX``."""
    upcoming = _upcoming(session, moment, until)
    # Of the runs at the last moment, some may be missing.
    return until if len(upcoming) < MAX else upcoming[-1][0] - timedelta(microseconds=1)


def _upcoming(session: Session, moment: datetime, until: datetime) -> list[tuple[datetime, ScheduledTask]]:
    rows = plans.firing(session, moment, MAX)
    return list(islice(takewhile(lambda pair: pair[0] <= until, planner.ahead(rows, moment)), MAX))


def _from_libraries(session: Session, played: Iterator[CalendarEntry]) -> list[CalendarEntry]:
    """The entries with the libraries of their drives, and the slots that these bring their tapes from. A
    blank tape comes once."""
    supplies: dict[str, tuple[str, inventory.Supply]] = {}
    for row in inventory.every(session):
        # Its drives share what it has.
        supplies |= dict.fromkeys(row.drives.values(), (row.name, inventory.supply(session, row)))
    entries = []
    for entry in played:
        name, supply = supplies.get(entry.planned.drive, (None, None))
        slot = None
        if supply is not None and entry.needs_hands and entry.label is not None:
            known = entry.tape_id if entry.insert else None
            slot = supply.slots.get(known) if known else supply.take_blank(entry.planned.policy.pool)
        entries.append(replace(entry, slot=slot, library=name))
    return entries


def _planned(row: ScheduledTask, at: datetime, size: int | None) -> PlannedRun:
    return PlannedRun(
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
        window=windows.of_schedule(row),
        run_after=row.run_after,
    )


def _sizes(session: Session, rows: Iterable[ScheduledTask]) -> dict[int, int]:
    """The size on tape of the next set of each template: the median of its last ones of this type."""
    listed = sorted({(row.template_id, row.template.type.value) for row in rows})
    asked = (
        func.unnest(
            literal([template for template, _ in listed], ARRAY(BigInteger)),
            literal([kind for _, kind in listed], ARRAY(Text)),
        )
        .table_valued("template", "kind")
        .render_derived(name="asked")
    )
    last = (
        select(BackupSet.id)
        .where(
            BackupSet.template_id == asked.c.template,
            cast(BackupSet.type, Text) == asked.c.kind,
            BackupSet.state.in_([SetState.COMPLETE, SetState.DESTROYED]),
            BackupSet.finished_at.is_not(None),
        )
        .order_by(BackupSet.started_at.desc())
        .limit(LOOKED_AT)
        .lateral()
    )
    size = (
        select(func.sum(BackupArchive.bytes).label("bytes"))
        .where(BackupArchive.set_id == last.c.id)
        .lateral()
    )
    sizes: dict[int, list[int]] = defaultdict(list)
    joined = asked.join(last, true()).join(size, true())
    query = select(asked.c.template, size.c.bytes).select_from(joined)
    for template, count in session.execute(query.where(size.c.bytes.is_not(None))):
        sizes[template].append(count)
    return {template: int(median(counts)) for template, counts in sizes.items()}


def _stock(session: Session, rows: Collection[ScheduledTask]) -> Stock:
    shelf, holders = LoadedTapes(session, look=False), labels.Holders(session)
    inside = Inside(session, shelf)
    bounds = shelf.bounds(session)
    newest = parents.newest_whole(session, {row.template_id for row in rows})
    tapes = sorted(shelf.cartridges.values(), key=_longest_ago)

    def look(ids: Sequence[int]) -> dict[int, tuple[SetFacts, ...]]:
        shelf.look(session, TapeCartridge.id.in_(ids))
        return {number: shelf.known(number).sets for number in ids}

    def on_shelf(tape: TapeCartridge) -> ShelfTape:
        bound = bounds[tape.id]
        return ShelfTape(
            shelf.facts(tape.id),
            tape.bytes_used,
            tape.capacity,
            holders.own(tape.id, tape.medium_serial),
            kept_until=bound.kept_until,
            begun=bound.begun,
            is_known=False,
        )

    return Stock(
        loaded={
            drive: _loaded(medium, facts, holders.own(number, medium.get("medium_serial")))
            for drive, (medium, facts, number) in inside.tapes.items()
        },
        shelf=[on_shelf(tape) for tape in tapes if tape.id not in inside.cartridges],
        newest_full={row.template_id: newest.get((row.template_id, BackupType.DIFFERENTIAL)) for row in rows},
        newest={row.template_id: newest.get((row.template_id, BackupType.INCREMENTAL)) for row in rows},
        capacity=max((tape.capacity for tape in tapes if tape.capacity), default=None),
        labels=set(holders.labels),
        look=look,
    )


def _loaded(medium: MediumReport, facts: TapeFacts, own: frozenset[str]) -> ShelfTape:
    capacity, free = medium.get("capacity"), medium.get("free")
    used = capacity - free if capacity is not None and free is not None else 0
    return ShelfTape(facts, used, capacity, own)


def _longest_ago(tape: TapeCartridge) -> tuple[bool, datetime, int]:
    """The order in which tapes are taken from the shelf; a tape that was never formatted comes last."""
    return tape.formatted_at is None, tape.formatted_at or tape.created_at, tape.id
