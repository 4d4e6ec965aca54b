"""``tapeline calendar``: which schedule fires when, and which tape it needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from typing import Annotated, Any

import typer

from celery_app import wiring
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from db.models import now
from db.schedules import calendar as tapes_ahead
from db.schedules import needs as needs_of
from policy import units
from policy.message import M, Message
from policy.tapes.facts import PolicyKind
from policy.times.calendar import CalendarEntry
from policy.times.local_time import zone_named


def calendar(
    days: Annotated[int, typer.Option(min=1, max=3660, help="How far ahead.")] = 60,
    as_json: AsJson = False,
) -> None:
    """Show which schedule fires when, which tape it needs, what it would erase and how full the tape will be.

    The calendar simulates future runs from the present contents of drives and tapes. It assumes that every
    run happens and is as large as the median of its schedule's last sets. A run with a window is shown when
    that opens, and a night that is too short for it is named.
    """
    with stack.database() as database, database.transaction() as session:
        moment = now()
        entries = tapes_ahead.entries(session, moment, moment + timedelta(days=days))
    if as_json:
        output.print_json([_json(entry) for entry in entries])
        return
    output.print_table(
        [M("When"), M("Schedule"), M("Drive"), M("Tape"), M("What it needs"), M("Fill"), M("Time zone")],
        (_row(list(alike)) for _, alike in groupby(entries, _what_to_do)),
        M("Nothing is due by itself in the next {days} days.", days=days),
    )
    _print_remarks(entries)


def _what_to_do(entry: CalendarEntry) -> Any:
    """Consecutive runs for which nobody has to do anything share one line."""
    quiet = not (entry.insert or entry.format)
    return (entry.planned.schedule, entry.label) if quiet else (entry.planned.at, entry.planned.schedule)


def _row(alike: list[CalendarEntry]) -> list[Any]:
    first, last = alike[0], alike[-1]
    needs = _needs(first)
    if len(alike) > 1:
        until = f"{_local(last):%Y-%m-%d}"
        needs = M("{needs} ({count} runs until {day})", needs=needs.to_json(), count=len(alike), day=until)
    return [
        wiring.words().clock(_local(first)),
        _name(first),
        first.planned.drive,
        first.label,
        output.in_words(needs),
        _fill(replace(last, used_before=first.used_before)),
        first.planned.time_zone,
    ]


def _name(entry: CalendarEntry) -> str:
    run = entry.planned
    if run.run_after is None:
        return run.schedule
    return output.in_words(M("{schedule}, after {first}", schedule=run.schedule, first=run.run_after))


def _local(entry: CalendarEntry) -> Any:
    """When it may begin, on the clock of its schedule."""
    return entry.opens.astimezone(zone_named(entry.planned.time_zone))


def state(entry: CalendarEntry) -> str:
    """The state of the tape: loaded, known, expired, blank, or none if no tape will do."""
    if entry.label is None:
        return "none"
    if entry.tape_id is None:
        return "blank"
    if entry.erases:
        return "expired"
    return "known" if entry.insert else "loaded"


def _needs(entry: CalendarEntry) -> Message:
    if entry.insert and entry.slot is not None:
        return needs_of.needed(entry)
    if entry.tape_id is None:
        return _needs_blank(entry)
    tape, count = entry.tape_id, len(entry.erases)
    if entry.format:
        return (
            M("insert {tape}: it is formatted, {count} sets are erased", tape=tape, count=count)
            if entry.insert
            else M("{tape} in the drive: it is formatted, {count} sets are erased", tape=tape, count=count)
        )
    return (
        M("insert {tape}: it is appended to", tape=tape)
        if entry.insert
        else M("the tape in the drive: it is appended to")
    )


def _needs_blank(entry: CalendarEntry) -> Message:
    if entry.label is None:
        return M("a tape that it can be appended to: run a full backup first")
    if not entry.insert:
        return M("the blank tape in the drive: it is formatted")
    if entry.planned.policy.kind is PolicyKind.POOL:
        return M("insert a tape of pool '{pool}': none is free", pool=entry.planned.policy.pool)
    return M("insert a blank tape: it is formatted")


def _fill(entry: CalendarEntry) -> str | None:
    if entry.used_after is None:
        return None
    if not entry.capacity:
        return f"{units.size(entry.used_before)} → {units.size(entry.used_after)}"
    before, after = (round(100 * used / entry.capacity) for used in (entry.used_before, entry.used_after))
    return f"{before} → {after} % / {units.size(entry.capacity)}"


def _print_remarks(entries: list[CalendarEntry]) -> None:
    for text in needs_of.short_nights(entries):
        output.say(text, style="yellow")
    for entry in entries:
        if entry.erases:
            output.say(
                M("{tape} loses: {sets}", tape=entry.tape_id or "", sets=", ".join(entry.erases)), style="red"
            )
        if entry.fits is False:
            output.say(
                M(
                    "{schedule} on {day}: {size} more than fits on {tape}; have another blank tape ready.",
                    schedule=entry.planned.schedule,
                    day=f"{_local(entry):%Y-%m-%d}",
                    size=units.size((entry.used_after or 0) - (entry.capacity or 0)),
                    tape=entry.label or "",
                ),
                style="yellow",
            )


def _json(entry: CalendarEntry) -> dict[str, Any]:
    return {
        "at": entry.planned.at.isoformat(),
        "local": entry.planned.at.astimezone(zone_named(entry.planned.time_zone)).isoformat(),
        "window": entry.planned.window.text if entry.planned.window else None,
        "run_after": entry.planned.run_after,
        "opens": entry.opens.isoformat(),
        "begins": entry.begins.isoformat() if entry.begins else None,
        "seconds": entry.planned.seconds,
        "nights": entry.nights,
        "schedule": entry.planned.schedule,
        "drive": entry.planned.drive,
        "tape": entry.tape_id,
        "label": entry.label,
        "state": state(entry),
        "insert": entry.insert,
        "slot": entry.slot,
        "format": entry.format,
        "erases": list(entry.erases),
        "bytes": entry.planned.size,
        "used_before": entry.used_before,
        "used_after": entry.used_after,
        "capacity": entry.capacity,
        "fits": entry.fits,
    }
