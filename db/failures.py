"""The failures that stand: failed runs that no later success of their schedule has made up for."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from db.models import ChainRun
from db.states import RunState
from policy.message import M, Message


@dataclass(frozen=True)
class Failure:
    """A failed run, and the newest later run of its schedule that does its work instead, if there is one."""

    run_id: int
    superseded_by: int | None

    def why_left(self) -> Message:
        """Why a retry of all leaves this one alone."""
        return M(
            "Run {id} is left as it is: run {newer} of its schedule is newer.",
            id=self.run_id,
            newer=self.superseded_by or "-",
        )


def standing(session: Session) -> list[Failure]:
    """Every failure that stands, oldest first. At most one of each schedule is not superseded."""
    later = aliased(ChainRun)
    is_later = (later.schedule_id == ChainRun.schedule_id) & (later.id > ChainRun.id)
    newest = (
        select(func.max(later.id))
        .where(is_later, later.state.not_in([RunState.SKIPPED, RunState.CANCELLED]))
        .scalar_subquery()
    )
    made_up_for = exists().where(is_later, later.state == RunState.SUCCEEDED)
    rows = session.execute(
        select(ChainRun.id, newest)
        .where(ChainRun.state == RunState.FAILED, ~made_up_for)
        .order_by(ChainRun.id)
    )
    return [Failure(run_id, newer) for run_id, newer in rows]
