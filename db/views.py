"""Runs and tapes in the form for scripts; the names are fixed (docs/operations.md, For scripts)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CompoundSelect, Select, distinct, func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from db import events
from db.admin import holds
from db.models import (
    ArchiveCopy,
    BackupArchive,
    BackupSet,
    ChainRun,
    ChainStep,
    FormatPermit,
    Notification,
    RunEvent,
    ScheduledTask,
    TapeCartridge,
)
from db.runs import lookup, remedies, times
from db.sets.as_json import sets_json
from db.states import PING, RunState, Step, StepState
from policy.tapes.facts import SetState
from policy.tapes.permit import appends


def held_json(session: Session) -> dict[str, list[Any]]:
    """What does not start automatically since the database was restored: runs by number, schedules by
    name."""
    return {
        "runs": [run.id for run in holds.held_runs(session)],
        "schedules": [row.name for row in holds.held_schedules(session)],
    }


def runs_json(session: Session, wanted: lookup.RunFilter) -> list[dict[str, Any]]:
    """Runs with the number of their warnings, newest first; with the same number of queries for any count."""
    return _runs_json(session, wanted.query())


def newest_runs(session: Session, rows: Sequence[ScheduledTask]) -> dict[str, dict[str, Any]]:
    """The newest run of each of some schedules that was not merely skipped, by the schedule's name."""
    newest = lookup.newest(session, [row.id for row in rows])
    runs = runs_json(session, lookup.RunFilter(ids=newest.values()))
    return {run["schedule"]: run for run in runs}


def _runs_json(session: Session, query: Select[ChainRun]) -> list[dict[str, Any]]:
    query = query.options(joinedload(ChainRun.schedule), selectinload(ChainRun.steps))
    runs = session.scalars(query.order_by(ChainRun.id.desc())).all()
    warned = _warnings(session, [run.id for run in runs])
    return [{**run_json(run), "warnings": warned.get(run.id, 0) + _of_run(run)} for run in runs]


def _of_run(run: ChainRun) -> int:
    """How many warnings a run that ended well has itself: of drive and tapes, and of a restore the files that
    are not in its folder as in the backup."""
    if run.state is not RunState.SUCCEEDED:
        return 0
    restored = (step for step in run.steps if step.step is Step.RESTORE and step.part == run.part)
    return len(run.condition) + sum(int((step.result or {}).get("warnings", 0)) for step in restored)


def _warnings(session: Session, run_ids: list[int]) -> dict[int | None, int]:
    """How much the runs that ended well and left something out have left out."""
    rows = session.execute(
        select(BackupSet.run_id, BackupSet.warnings)
        .join(ChainRun, ChainRun.id == BackupSet.run_id)
        .where(ChainRun.id.in_(run_ids), ChainRun.state == RunState.SUCCEEDED, BackupSet.warnings > 0)
    )
    return {run_id: count for run_id, count in rows}  # noqa: C416 - rows are no dictionary's items to mypy


def whole_run_json(session: Session, run: ChainRun) -> dict[str, Any]:
    """A run with the number of its warnings, and its remedy from the time when it reached its present
    state."""
    notification = _said(session, run)
    facts = notification.facts if notification else {}
    shown = run_json(run)
    return {
        **shown,
        "steps": waits_at(run.state, with_told(session, run.id, shown["steps"])),
        "warnings": _warnings(session, [run.id]).get(run.id, 0) + _of_run(run),
        "remedy": facts.get("remedy"),
        "next_command": facts.get("next_command") or _way_on(session, run),
    }


_ENDED_WITH = {*events.ENDINGS.values(), "warnings", "tape_error"}


def told(session: Session, run_id: int) -> str | None:
    """The delivery of the newest message of a run's state: ``sent`` by a channel at least, ``waits``,
    ``lost``, ``nobody`` if no channel wanted it; None: there is none."""
    newest = session.scalar(
        select(Notification)
        .where(Notification.run_id == run_id, Notification.event.in_(_ENDED_WITH))
        .order_by(Notification.id.desc())
        .limit(1)
    )
    if newest is None:
        return None
    deliveries = [each for name, each in newest.deliveries.items() if not name.startswith(PING)]
    if any("sent_at" in each for each in deliveries):
        return "sent"
    if newest.next_attempt_at is not None:
        return "waits"
    return "lost" if deliveries else "nobody"


def waits_at(state: str, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Steps of the last part of a run; for a run that waits for a tape, the waiting step is named."""
    first = next((each for each in steps if each["state"] == StepState.PENDING), None)
    is_waiting = state == RunState.WAITING_FOR_TAPE
    return [{**step, "waits": True} if is_waiting and step is first else step for step in steps]


def with_told(session: Session, run_id: int, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Steps of a run; that of the message with its delivery."""
    return [
        {**step, "told": told(session, run_id)} if step["name"] == Step.NOTIFY.value else step
        for step in steps
    ]


_SAID_OF: dict[RunState, tuple[str, ...]] = {
    RunState.FAILED: ("failed", "tape_error"),
    RunState.WAITING_FOR_TAPE: ("waiting_for_tape",),
    RunState.HELD: ("held",),
}
"""The announced events of a run which somebody has to act on."""


def _said(session: Session, run: ChainRun) -> Notification | None:
    notifications = (events.last_of(session, run, event) for event in _SAID_OF.get(run.state, ()))
    return max(filter(None, notifications), key=lambda row: row.id, default=None)


def _way_on(session: Session, run: ChainRun) -> str | None:
    stopped = run.state in {RunState.FAILED, RunState.CANCELLED} and run.shortened_at is None
    return remedies.command(session, run, "failed") if stopped else None


def run_json(run: ChainRun) -> dict[str, Any]:
    """A run with the steps of its latest part."""
    return {
        "id": run.id,
        "schedule": run.schedule.name if run.schedule else None,
        "kind": run.kind.value,
        "trigger": run.trigger.value,
        "state": run.state.value,
        "reason": run.reason,
        "period": run.period,
        "drive": run.drive,
        "part": run.part,
        "set_id": run.set_id,
        "requested_by": run.requested_by,
        "due_at": iso(run.due_at),
        "wait_until": iso(run.wait_until),
        "opens_at": iso(run.opens_at),
        "awaits": run.awaits,
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
        "seconds": times.worked_seconds(run),
        "dismissed_at": iso(run.dismissed_at),
        "shortened_at": iso(run.shortened_at),
        "doubts": run.doubts,
        "accepted": run.accepted,
        "progress": run.progress,
        "steps": [step_json(step) for step in run.steps if step.part == run.part],
    }


def step_json(step: ChainStep) -> dict[str, Any]:
    return {
        "name": step.step.value,
        "state": step.state.value,
        "attempts": step.attempts,
        "worker": step.worker,
        "error": step.error,
        "result": step.result,
        "started_at": iso(step.started_at),
        "finished_at": iso(step.finished_at),
    }


def parts_json(run: ChainRun) -> list[dict[str, Any]]:
    """Every part of a run with its steps, each with the dispatch whose message claimed it last."""
    return [
        {
            "part": part,
            "steps": [
                {**step_json(step), "dispatch": step.dispatch} for step in run.steps if step.part == part
            ],
        }
        for part in sorted({step.part for step in run.steps})
    ]


def messages_json(session: Session, run_id: int) -> list[dict[str, Any]]:
    """The messages of a run, and their delivery on each channel."""
    rows = session.scalars(
        select(Notification).where(Notification.run_id == run_id).order_by(Notification.id)
    )
    return [
        {
            "event": row.event,
            "created_at": iso(row.created_at),
            "deliveries": row.deliveries,
            "next_attempt_at": iso(row.next_attempt_at),
        }
        for row in rows
    ]


def events_json(
    session: Session, run_id: int, after: int = 0, *, newest: int | None = None
) -> list[dict[str, Any]]:
    """The story of a run, oldest first, after the event ``after``; only the ``newest`` so many lines of
    it."""
    query = select(RunEvent).where(RunEvent.run_id == run_id, RunEvent.id > after)
    rows = session.scalars(query.order_by(RunEvent.id.desc()).limit(newest)).all()[::-1]
    return [
        {
            "id": event.id,
            "at": iso(event.at),
            "part": event.part,
            "step": event.step.value if event.step else None,
            "level": event.level,
            "message": event.message,
        }
        for event in rows
    ]


def events_before(session: Session, run_id: int, event_id: int) -> int:
    """How many lines of the story of a run precede one of them."""
    earlier = select(func.count()).where(RunEvent.run_id == run_id, RunEvent.id < event_id)
    return session.scalars(earlier).one()


def permits_json(session: Session, run_id: int) -> list[dict[str, Any]]:
    """The format permits of a run, with their reasons."""
    rows = session.scalars(
        select(FormatPermit).where(FormatPermit.run_id == run_id).order_by(FormatPermit.id)
    )
    return [
        {
            "part": permit.part,
            "label": permit.label,
            "allowed": permit.allowed,
            "append": appends(permit.denials),
            "reasons": permit.reasons,
            "sets_lost": permit.sets_lost,
            "decided_at": iso(permit.decided_at),
            "consumed_at": iso(permit.consumed_at),
            "outcome": permit.outcome,
        }
        for permit in rows
    ]


def tape_json(session: Session, cartridge: TapeCartridge) -> dict[str, Any]:
    """A cartridge with every set that ever was on it."""
    return tapes_json(session, [cartridge])[0]


def tapes_json(session: Session, cartridges: Sequence[TapeCartridge]) -> list[dict[str, Any]]:
    """Cartridges with every set that ever was on them, the newest first."""
    on: dict[int | None, set[str]] = {cartridge.id: set() for cartridge in cartridges}
    for cartridge_id, set_id in session.execute(_ever_on([cartridge.id for cartridge in cartridges])):
        on[cartridge_id].add(set_id)
    wanted = {set_id for ids in on.values() for set_id in ids}
    query = select(BackupSet).where(BackupSet.id.in_(wanted)).order_by(BackupSet.started_at.desc())
    sets = sets_json(session, session.scalars(query).all())
    sets_of: dict[int | None, list[dict[str, Any]]] = {cartridge_id: [] for cartridge_id in on}
    places: dict[str, list[int | None]] = {}
    for cartridge_id, ids in on.items():
        for set_id in ids:
            places.setdefault(set_id, []).append(cartridge_id)
    for stored in sets:
        for cartridge_id in places[stored["id"]]:
            sets_of[cartridge_id].append(stored)
    return [{**_tape(cartridge), "sets": sets_of[cartridge.id]} for cartridge in cartridges]


def tapes_counted(session: Session) -> list[dict[str, Any]]:
    """All cartridges, each with the number of its sets that are not destroyed."""
    is_there = BackupSet.state != SetState.DESTROYED
    begun = select(BackupSet.cartridge_id, func.count()).where(is_there).group_by(BackupSet.cartridge_id)
    # Most sets lie on the tape on which they were begun: only those of others are counted one by one.
    gone_on = (
        select(BackupArchive.cartridge_id, func.count(distinct(BackupArchive.set_id)))
        .join(BackupSet, BackupSet.id == BackupArchive.set_id)
        .where(is_there, BackupSet.cartridge_id.is_distinct_from(BackupArchive.cartridge_id))
        .group_by(BackupArchive.cartridge_id)
    )
    copied = (
        select(ArchiveCopy.cartridge_id, func.count(distinct(ArchiveCopy.set_id)))
        .join(BackupSet, BackupSet.id == ArchiveCopy.set_id)
        .where(is_there)
        .group_by(ArchiveCopy.cartridge_id)
    )
    counts: Counter[int | None] = Counter()
    for query in (begun, gone_on, copied):
        for cartridge_id, number in session.execute(query):
            counts[cartridge_id] += number
    rows = select(TapeCartridge).options(joinedload(TapeCartridge.pool)).order_by(TapeCartridge.tape_id)
    return [{**_tape(row), "sets": counts[row.id]} for row in session.scalars(rows)]


def _ever_on(cartridges: Sequence[int]) -> CompoundSelect[int | None, str]:
    """A query for cartridges and the sets that were ever on them."""
    begun = select(BackupSet.cartridge_id, BackupSet.id).where(BackupSet.cartridge_id.in_(cartridges))
    archived = select(BackupArchive.cartridge_id, BackupArchive.set_id)
    copied = select(ArchiveCopy.cartridge_id, ArchiveCopy.set_id)
    return begun.union(
        archived.where(BackupArchive.cartridge_id.in_(cartridges)),
        copied.where(ArchiveCopy.cartridge_id.in_(cartridges)),
    )


def _tape(cartridge: TapeCartridge) -> dict[str, Any]:
    return {
        "id": cartridge.id,
        "tape_id": cartridge.tape_id,
        "label": cartridge.label,
        "generation": cartridge.generation,
        "state": cartridge.state.value,
        "pool": cartridge.pool.name if cartridge.pool else None,
        "volume_uuid": cartridge.volume_uuid,
        "barcode": cartridge.barcode,
        "bytes_used": cartridge.bytes_used,
        "capacity": cartridge.capacity,
        "formatted_at": iso(cartridge.formatted_at),
        "health": health_json(cartridge),
    }


def health_json(cartridge: TapeCartridge) -> dict[str, Any]:
    """The condition of a cartridge after its last run; null if the drive does not report it."""
    return {
        "loads": cartridge.loads,
        "written_bytes": cartridge.written_bytes,
        "write_errors": cartridge.write_errors,
        "read_errors": cartridge.read_errors,
        "tape_alerts": cartridge.tape_alerts,
        "at": iso(cartridge.health_at),
    }


def iso(moment: datetime | None) -> str | None:
    """A time as ISO 8601, in UTC as it is stored."""
    return moment.isoformat() if moment else None


def seconds_between(start: str, end: str) -> float:
    """The seconds between two times of a view."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
