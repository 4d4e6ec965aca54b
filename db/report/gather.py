"""The whole report as data, which any language and form is made from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import alerts, failures
from db.models import BackupSet, ChainRun, Notification
from db.report import protection, tapes
from db.schedules import schedules
from db.states import BackupType, Kind, RunState
from policy.times import growth
from policy.times.report import AHEAD, Every, Stretch
from policy.times.shelf import PlannedRun


def report(
    session: Session, every: Every, about: Stretch, moment: datetime, is_silent: Callable[[datetime], bool]
) -> dict[str, Any]:
    """What happened in a stretch of time, what is protected now, and what the next one needs.

    ``is_silent``: as in ``alerts.alerts``. All values are JSON.
    """
    rows = schedules.present(session)
    history = protection.History(session, {row.template_id for row in rows})

    def size_at(run: PlannedRun) -> int | None:
        return growth.projected(history.sizes(run.template_id, BackupType(run.type)), run.at)

    following = moment + AHEAD[every]
    return {
        "every": every.value,
        "begin": about.begin.isoformat(),
        "end": about.end.isoformat(),
        "made_at": moment.isoformat(),
        "needs_somebody": [
            each.message.to_json() for each in alerts.current(session, is_silent) if each.is_urgent
        ],
        "schedules": [protection.of_schedule(row, history, moment) for row in rows],
        "runs": _runs(session, about),
        "failures": _failures(session, about),
        "verified": _verified(session, about),
        "tapes": {
            **tapes.stock(session, moment),
            **tapes.ahead(session, moment, following, size_at),
            "until": following.isoformat(),
        },
        "wear": [text.to_json() for text, _, _ in alerts.warned_of(session)],
    }


def may_be_made(session: Session, end: datetime) -> bool:
    """Whether there was a run before the end of a stretch: nothing can be reported of an earlier time."""
    return session.scalar(select(ChainRun.id).where(ChainRun.created_at < end).limit(1)) is not None


def _within(column: Any, about: Stretch) -> Any:
    return (column >= about.begin) & (column < about.end)


def _runs(session: Session, about: Stretch) -> dict[str, Any]:
    """How the runs of the stretch ended: backups that succeeded, with their bytes, and restores."""
    ended = _within(ChainRun.finished_at, about) & (ChainRun.state == RunState.SUCCEEDED)
    kinds = session.execute(select(ChainRun.kind, func.count()).where(ended).group_by(ChainRun.kind)).all()
    counts = {kind: count for kind, count in kinds}  # noqa: C416 - rows are no dictionary's items to mypy
    written = select(func.sum(BackupSet.bytes)).join(ChainRun, ChainRun.id == BackupSet.run_id).where(ended)
    return {
        "backups": counts.get(Kind.BACKUP, 0),
        "restores": counts.get(Kind.RESTORE, 0),
        "bytes": int(session.scalar(written) or 0),
    }


def _failures(session: Session, about: Stretch) -> dict[str, Any]:
    """What failed: made good by a later success or a retry, dismissed by a person, or still open."""
    failed = Notification.event.in_(["failed", "tape_error"]) & _within(Notification.created_at, about)
    announced = select(Notification.run_id).where(failed, Notification.run_id.is_not(None)).distinct()
    runs = session.scalars(select(ChainRun).where(ChainRun.id.in_(announced))).all()
    still_open = {each.run_id for each in failures.standing(session)}
    dismissed = sum(run.state is RunState.FAILED and run.dismissed_at is not None for run in runs)
    left = sum(run.id in still_open for run in runs)
    return {
        "failed": len(runs),
        "made_good": len(runs) - dismissed - left,
        "dismissed": dismissed,
        "open": left,
    }


def _verified(session: Session, about: Stretch) -> dict[str, Any]:
    row = session.execute(
        select(func.count(), func.coalesce(func.sum(BackupSet.damaged), 0)).where(
            _within(BackupSet.verified_at, about)
        )
    ).one()
    return {"sets": row[0], "damaged": int(row[1] or 0)}
