"""The tape that a future run needs, in words."""

from __future__ import annotations

from collections.abc import Iterable

from policy.message import M, Message
from policy.times.calendar import CalendarEntry
from policy.times.local_time import zone_named


def needed(entry: CalendarEntry) -> Message:
    """The tape that a future run needs, in a few words."""
    if entry.label is None:
        return M("no tape is known that it could write on")
    if not entry.insert:
        return _in_the_drive(entry, entry.label)
    if entry.slot is not None:
        tape = entry.tape_id or M("a blank tape").to_json()
        return M("{tape}, which the library brings from slot {slot}", tape=tape, slot=entry.slot)
    if entry.library is not None:
        tape = entry.tape_id or M("a blank tape").to_json()
        return M("put {tape} into library {library}", tape=tape, library=entry.library)
    if entry.tape_id is None:
        return M("insert a blank tape")
    return M("insert {tape}", tape=entry.tape_id)


def _in_the_drive(entry: CalendarEntry, label: str) -> Message:
    """A label that nobody has written yet is described as a future one."""
    if entry.is_left:
        return M("{label}, which an earlier run will leave in the drive", label=label)
    if entry.tape_id is None:
        return M("the blank tape in the drive: it becomes {label}", label=label)
    if entry.tape_id != label and entry.format:
        return M("{tape}, in the drive: it becomes {label}", tape=entry.tape_id, label=label)
    return M("{label}, in the drive", label=label)


def short_nights(entries: Iterable[CalendarEntry]) -> list[Message]:
    """Of each schedule the first run that its window is too short for, in words."""
    first: dict[str, CalendarEntry] = {}
    for entry in entries:
        if entry.nights > 1:
            first.setdefault(entry.planned.schedule, entry)
    return [_too_short(entry) for entry in first.values()]


def _too_short(entry: CalendarEntry) -> Message:
    run = entry.planned
    assert run.window is not None, "what may work at any time needs no second night"
    local = (entry.begins or entry.opens).astimezone(run.window.zone)
    return M(
        "{schedule} on {day}: about {hours} h of work do not fit into what is left of its window {window};"
        " it takes {nights} nights.",
        schedule=run.schedule,
        day=f"{local:%Y-%m-%d}",
        hours=round((run.seconds or 0) / 3600, 1),
        window=run.window.text,
        nights=entry.nights,
    )


def preparation(entry: CalendarEntry) -> Message:
    """What must be done before a future run."""
    local = entry.planned.at.astimezone(zone_named(entry.planned.time_zone))
    at = f"{local:%Y-%m-%d %H:%M} ({entry.planned.time_zone})"
    facts = {"at": at, "drive": entry.planned.drive, "schedule": entry.planned.schedule}
    if entry.label is None:
        return M("Before {at}: no tape is known that {schedule} could write on in {drive}.", **facts)
    if entry.library is not None:
        tape = M("a blank tape").to_json() if entry.needs_a_blank else entry.tape_id
        return M(
            "Before {at}: put {tape} into library {library} for {schedule}.",
            at=at,
            tape=tape,
            library=entry.library,
            schedule=entry.planned.schedule,
        )
    if not entry.insert:
        return M(
            "Before {at}: have another tape ready, {schedule} will not fit on the one in {drive}.", **facts
        )
    if entry.tape_id is None:
        return M("Before {at}: put a blank tape into {drive} for {schedule}.", **facts)
    return M("Before {at}: put tape {tape} into {drive} for {schedule}.", tape=entry.tape_id, **facts)
