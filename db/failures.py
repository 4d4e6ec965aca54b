"""The open failures: failed runs that no later success has made up for and nobody has dismissed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, aliased, joinedload

from db import events
from db.errors import NotAllowed
from db.models import ChainRun, ScheduledTask, now
from db.runs import transitions
from db.states import Kind, RunState
from policy.message import M, Message


@dataclass(frozen=True)
class Failure:
    """A failed run, and the newest later run of its schedule that does its work instead, if there is one."""

    run_id: int
    superseded_by: int | None

    def why_left(self) -> Message:
        """Why a retry of all skips this one."""
        return M(
            "Run {id} is left as it is: run {newer} of its schedule is newer.",
            id=self.run_id,
            newer=self.superseded_by or "-",
        )


def standing(session: Session) -> list[Failure]:
    """Every open failure, oldest first. At most one of each schedule is not superseded."""
    later = aliased(ChainRun)
    newest = (
        select(func.max(later.id))
        .where(
            later.schedule_id == ChainRun.schedule_id,
            later.id > ChainRun.id,
            later.state.not_in([RunState.SKIPPED, RunState.CANCELLED]),
        )
        .scalar_subquery()
    )
    rows = session.execute(select(ChainRun.id, newest).where(_stands()).order_by(ChainRun.id))
    return [Failure(run_id, newer) for run_id, newer in rows]


def newest(session: Session) -> list[ChainRun]:
    """The newest failure of each schedule that was not removed, if it is open: a newer one replaces it,
    dismissed or not. An index finds it, however many runs there were."""
    failed = select(func.max(ChainRun.id)).where(
        ChainRun.state == RunState.FAILED, ChainRun.schedule_id.is_not(None)
    )
    later = aliased(ChainRun)
    made_up_for = exists().where(
        later.schedule_id == ChainRun.schedule_id,
        later.state == RunState.SUCCEEDED,
        later.id > ChainRun.id,
    )
    query = (
        select(ChainRun)
        .join(ScheduledTask, ScheduledTask.id == ChainRun.schedule_id)
        .where(
            ChainRun.id.in_(failed.group_by(ChainRun.schedule_id)),
            ChainRun.dismissed_at.is_(None),
            ScheduledTask.archived_at.is_(None),
            ~made_up_for,
        )
    )
    return list(session.scalars(query.options(joinedload(ChainRun.schedule)).order_by(ChainRun.id)))


def dismissed_until(session: Session) -> dict[int | None, datetime]:
    """By schedule, when its newest dismissed failure was due: nobody wants what was due until then."""
    query = select(ChainRun.schedule_id, func.max(ChainRun.due_at)).where(
        ChainRun.state == RunState.FAILED, ChainRun.dismissed_at.is_not(None)
    )
    return {schedule: due for schedule, due in session.execute(query.group_by(ChainRun.schedule_id))}  # noqa: C416


def of_no_schedule(session: Session, since: datetime) -> list[ChainRun]:
    """The open failures of runs without a schedule that ended since a moment."""
    query = select(ChainRun).where(_stands(), ChainRun.schedule_id.is_(None), ChainRun.finished_at > since)
    return list(session.scalars(query.order_by(ChainRun.id)))


def dismiss(session: Session, run_id: int, *, requested_by: str, why: str) -> ChainRun:
    """Dismiss a failed run; its story names who decided that, and why. A retry that fails is a failure again.
    Raises NotFound, NotAllowed."""
    run = transitions.get(session, run_id, lock=True)
    if run.state is not RunState.FAILED:
        raise NotAllowed(
            M("Run {id} is {state}; only a FAILED run can be dismissed.", id=run.id, state=run.state.value),
            M("'tapeline runs show {id}' tells its story.", id=run.id),
        )
    if run.dismissed_at is None:
        run.dismissed_at = now()
        events.record(session, run, M("Dismissed by {who}: {why}", who=requested_by, why=why))
    return run


def is_settled() -> ColumnElement[bool]:
    """The condition for a failure that is not open any more: a later success has made up for it, or a person
    has dismissed it."""
    return and_(ChainRun.state == RunState.FAILED, ~_stands())


def _stands() -> ColumnElement[bool]:
    later = aliased(ChainRun)
    made_up_for = exists().where(
        later.id > ChainRun.id, later.state == RunState.SUCCEEDED, _does_its_work(later)
    )
    return and_(ChainRun.state == RunState.FAILED, ChainRun.dismissed_at.is_(None), ~made_up_for)


def _does_its_work(later: Any) -> ColumnElement[bool]:
    """Whether a later run did the work of a run: a run of its schedule; or one of the same kind, with as much
    of the same set, or with the same tape."""
    restored = and_(later.set_id == ChainRun.set_id, _same(later, "paths"), _same(later, "patterns"))
    read_back = and_(later.set_id == ChainRun.set_id, _percent(later) >= _percent(ChainRun))
    imported = and_(
        later.drive == ChainRun.drive,
        or_(_label(ChainRun).is_(None), _label(later) == _label(ChainRun)),
    )
    copied = and_(later.set_id == ChainRun.set_id, _same(later, "pool"))
    by_hand = case(
        (ChainRun.kind == Kind.RESTORE, restored),
        (ChainRun.kind == Kind.VERIFY, read_back),
        (ChainRun.kind == Kind.IMPORT, imported),
        (ChainRun.kind == Kind.COPY, copied),
        else_=False,
    )
    return case(
        (ChainRun.schedule_id.is_not(None), later.schedule_id == ChainRun.schedule_id),
        else_=and_(later.schedule_id.is_(None), later.kind == ChainRun.kind, by_hand),
    )


def _same(later: Any, option: str) -> ColumnElement[bool]:
    return _option(later, option).is_not_distinct_from(_option(ChainRun, option))  # type: ignore[no-any-return]


def _option(run: Any, name: str) -> Any:
    """A field of what was given by hand; null if it has its default."""
    return type_coerce(run.options, JSONB)[name]


def _percent(run: Any) -> ColumnElement[int]:
    return func.coalesce(_option(run, "percent").as_integer(), 100)


def _label(run: Any) -> ColumnElement[str]:
    return run.tape_seen["label"].as_string()  # type: ignore[no-any-return]
