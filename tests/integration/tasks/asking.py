"""Runs of each kind that ask for a tape, and the media that they find."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from db.models import ChainRun, Options, ScheduledTask, now
from db.runs import admission, starting
from db.schedules import schedules
from db.states import BackupType, Kind, Trigger
from db.tapes import cartridges
from policy.message import Message
from tasks.drive import tape_rules

NOVEMBER = datetime(2026, 11, 1, 2, tzinfo=UTC)


FORMATTED: dict[str, Any] = {
    "state": "formatted",
    "label": "TP20260501",
    "medium_serial": "m1",
    "empty": False,
}


BLANK: dict[str, Any] = {"state": "blank", "label": None, "medium_serial": "m2"}


NOTHING: dict[str, Any] = {"state": "no_medium", "label": None}


def a_run(session: Session, policy: str = "current_month", **how: Any) -> ChainRun:
    """A run by hand that has drive tape7, of a schedule with a name that a shell would take apart."""
    row = schedules.put(
        session, "my files", drive="tape7", sources=["/data"], tape_policy=policy, time_zone="Asia/Shanghai"
    )
    row.template.type = how.pop("template", BackupType.FULL)
    assert starting.start(
        session, row, due_at=now(), trigger=Trigger.MANUAL, options=how.pop("options", Options())
    )
    run = admission.admit(session, "tape7")
    assert run
    for name, value in how.items():
        setattr(run, name, value)
    session.flush()
    return run


def schedule_of(run: ChainRun) -> ScheduledTask:
    assert run.schedule
    return run.schedule


def of_kind(session: Session, kind: Kind, **how: Any) -> ChainRun:
    run = starting.start_import(session, drive="tape7", requested_by="li")
    run.kind = kind
    for name, value in how.items():
        setattr(run, name, value)
    session.flush()
    return run


def refusal(session: Session, run: ChainRun, medium: dict[str, Any]) -> str | None:
    found = tape_rules.refusal(session, run, cartridges.tape_facts(session, medium), medium)
    return None if found is None else str(found)


def month(run: ChainRun) -> str:
    return f"TP{tape_rules.local_now(run):%Y%m}"


def entered(session: Session, medium: dict[str, Any], **facts: Any) -> int:
    row = cartridges.register(session, medium, medium["label"] or "NEW", facts.pop("pool", None))
    for name, value in facts.items():
        setattr(row, name, value)
    session.flush()
    return row.id


# -- what a run asks -------------------------------------------------------------------------------


def again(session: Session, run: ChainRun, medium: dict[str, Any]) -> Message | None:
    return tape_rules.refusal_of_all(session, run, medium)
