"""Of each schedule: what is protected since when, how large it is and how it grows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import BackupArchive, BackupSet, ScheduledTask
from db.schedules import planner
from db.states import BackupType
from policy.tapes.facts import SetState
from policy.times import growth
from policy.times.growth import Sizes


class History:
    """The last complete sets of each template and type, with two queries for any number."""

    def __init__(self, session: Session, template_ids: Iterable[int]) -> None:
        newest = func.row_number().over(
            partition_by=(BackupSet.template_id, BackupSet.type), order_by=BackupSet.started_at.desc()
        )
        numbered = (
            select(BackupSet.id, newest.label("place"))
            .where(
                BackupSet.template_id.in_(list(template_ids)),
                BackupSet.state.in_([SetState.COMPLETE, SetState.DESTROYED]),
                BackupSet.finished_at.is_not(None),
            )
            .subquery()
        )
        chosen = select(numbered.c.id).where(numbered.c.place <= growth.LOOKED_AT)
        on_tape = (
            select(BackupArchive.set_id, func.sum(BackupArchive.bytes).label("bytes"))
            .where(BackupArchive.set_id.in_(chosen))
            .group_by(BackupArchive.set_id)
            .subquery()
        )
        rows = session.execute(
            select(BackupSet, func.coalesce(on_tape.c.bytes, 0))
            .outerjoin(on_tape, on_tape.c.set_id == BackupSet.id)
            .where(BackupSet.id.in_(chosen))
            .order_by(BackupSet.started_at)
        )
        self._sets: dict[tuple[int | None, BackupType], list[tuple[BackupSet, int]]] = defaultdict(list)
        for stored, size in rows:
            self._sets[stored.template_id, stored.type].append((stored, int(size)))

    def sizes(self, template_id: int, kind: BackupType) -> Sizes:
        """Their sizes on tape, oldest first."""
        sets = self._sets[template_id, kind]
        return [(stored.finished_at, size) for stored, size in sets if stored.finished_at]

    def newest(self, template_id: int, *kinds: BackupType) -> BackupSet | None:
        """The newest that can still be restored, of these types."""
        sets = [
            stored
            for kind in kinds
            for stored, _ in self._sets[template_id, kind]
            if stored.state is SetState.COMPLETE
        ]
        return max(sets, key=lambda stored: stored.started_at, default=None)


def of_schedule(row: ScheduledTask, history: History, moment: datetime) -> dict[str, Any]:
    """What is protected by a schedule; sizes in bytes, moments as text."""
    full = history.newest(row.template_id, BackupType.FULL)
    later = history.newest(row.template_id, BackupType.INCREMENTAL, BackupType.DIFFERENTIAL)
    newest = max(filter(None, (full, later)), key=lambda stored: stored.started_at, default=None)
    owed = planner.owed_since(row, moment, None)
    return {
        "schedule": row.name,
        "enabled": row.enabled,
        "protected_until": _iso(newest.started_at) if newest else None,
        "full": _set(full),
        "increment": _set(later),
        "grows": growth.per_month(history.sizes(row.template_id, BackupType.FULL)),
        "sizes": [size for _, size in history.sizes(row.template_id, BackupType.FULL)],
        "owed_since": _iso(owed) if owed else None,
        "next": _iso(planner.next_to_write(row, moment)),
    }


def _set(stored: BackupSet | None) -> dict[str, Any] | None:
    if stored is None:
        return None
    return {
        "id": stored.id,
        "finished_at": _iso(stored.finished_at),
        "files": stored.files,
        "bytes": stored.bytes,
        "warnings": stored.warnings,
        "verified_at": _iso(stored.verified_at),
        "damaged": stored.damaged,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
