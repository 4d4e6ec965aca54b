"""Why nothing happens at night: schedules that are off or have never run, no beat, no channel.

Doctor and the first page both ask here. Each answer has a warning and a remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from db.admin import processes
from db.schedules import planner, schedules
from db.schedules.schedules import ListedSchedule
from policy.message import M, Message
from policy.times.period import ScheduleType

Said = tuple[Message, Message]

NAMED = 20
"""How many schedules are named at most."""

NO_CHANNEL: Said = (
    M("No channel is set up: nobody learns how a run went."),
    M("Add [channels.NAME] to tapeline.toml on the control host, then: tapeline notify test"),
)


def _with_times(rows: Sequence[ListedSchedule]) -> Sequence[ListedSchedule]:
    """The schedules that should run automatically: that of 'tapeline run', and all of type manual, never
    do."""
    return [row for row in rows if row.schedule_type is not ScheduleType.MANUAL]


def all_off(rows: Sequence[ListedSchedule]) -> Said | None:
    """A warning if every schedule with times is switched off; None: one is on, or there is none."""
    timed = _with_times(rows)
    if not timed or any(row.enabled for row in timed):
        return None
    return (
        M(
            "Every schedule is switched off: nothing is backed up by itself. Enable those that shall run:"
            " {names}",
            names=_names(timed),
        ),
        M("Switch one on: tapeline schedule enable NAME"),
    )


def no_beat(session: Session, rows: Sequence[ListedSchedule]) -> Said | None:
    """A warning if nothing would start due runs."""
    if not any(row.enabled for row in _with_times(rows)) or processes.is_beat_there(session):
        return None
    return (
        M("No beat runs: nothing starts a run when it is due."),
        M("Start it: tapeline up, or tapeline beat as a service."),
    )


def not_by_itself(rows: Sequence[ListedSchedule]) -> Iterator[Said]:
    """Schedules that are off beside others that are on, and a warning if none has times."""
    timed = _with_times(rows)
    off = [row for row in timed if not row.enabled]
    if off and len(off) < len(timed):
        yield (
            M("Switched off, and not backed up by itself: {names}", names=_names(off)),
            M(
                "Switch it on: tapeline schedule enable NAME; if nobody needs it, remove it:"
                " tapeline schedule apply FILE --prune"
            ),
        )
    if rows and not timed:
        yield NOTHING_TIMED


NOTHING_TIMED: Said = (
    M("No schedule has times: nothing is backed up by itself."),
    M("Make one: tapeline schedule apply FILE"),
)


def without_a_backup(session: Session, moment: datetime) -> Iterator[tuple[str, Message, Message]]:
    """Schedules that are on and have never made a backup, each with its name; a run may be active. Of very
    many, those that are due first."""
    for row in schedules.never_run(session, NAMED):
        due = planner.next_start(row, moment)
        if due is not None:
            yield (
                row.name,
                M(
                    "{name} has made no backup yet; the first is due {at}.",
                    name=row.name,
                    at=planner.local(row, due),
                ),
                M("To see whether it will go ahead: tapeline precheck {name}", name=row.name),
            )


def _names(rows: Sequence[ListedSchedule]) -> str:
    shown = ", ".join(row.name for row in rows[:NAMED])
    return shown if len(rows) <= NAMED else f"{shown}, … ({len(rows)})"
