"""When a run that waits tries a tape that the drive could do nothing with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import ChainRun, now
from db.runs import admission, retrying, starting, transitions
from db.schedules import schedules
from db.states import RunState, Trigger
from db.tapes import drives, mount_backoff

BAD = {"state": "formatted", "label": "TP20261101", "medium_serial": "m1", "empty": None, "free": 5}


def waiting(session: Session) -> ChainRun:
    """A run that has tried BAD once."""
    drives.register(session, name="tape0", driver="virtual", host="h", worker="w", queue="tape")
    row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
    assert starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL)
    run = admission.admit(session, "tape0")
    assert run
    drives.looked(session, "tape0", BAD)
    mount_backoff.failed(session, run)
    transitions.transition(session, run, RunState.WAITING_FOR_TAPE)
    return run


def let_pass(run: ChainRun) -> None:
    """The pause is over."""
    assert run.tape_failed
    run.tape_failed = {**run.tape_failed, "again_at": now().isoformat()}


@pytest.mark.parametrize("other", [
    {"state": "no_medium"},
    {**BAD, "medium_serial": "m2"},
    {**BAD, "write_protected": True},
    {**BAD, "label": None},
])  # fmt: skip
def test_a_change_is_tried_at_once(database: Database, other: dict[str, Any]) -> None:
    """Also the same tape, when it was away or different meanwhile. Other free room is no change."""
    with database.transaction() as session:
        run = waiting(session)
        assert not mount_backoff.may_try(run, BAD)
        assert not mount_backoff.may_try(run, {**BAD, "free": 4, "empty": False})
        assert mount_backoff.may_try(run, other)
        assert mount_backoff.may_try(run, BAD)


def test_the_same_tape_is_tried_after_growing_pauses(database: Database) -> None:
    """The longest is a quarter of a day, however long the run waits."""
    with database.transaction() as session:
        run = waiting(session)
        pauses = []
        for _ in range(9):
            let_pass(run)
            assert mount_backoff.may_try(run, BAD)
            pauses.append(round((mount_backoff.failed(session, run) - now()) / timedelta(minutes=1)))
            assert not mount_backoff.may_try(run, BAD)
    assert pauses == [20, 40, 80, 160, 320, 360, 360, 360, 360]
    assert mount_backoff.pause(10**6) == mount_backoff.MAX_PAUSE


def test_another_tape_that_fails_begins_anew(database: Database) -> None:
    with database.transaction() as session:
        run = waiting(session)
        drives.looked(session, "tape0", {**BAD, "medium_serial": "m2"})
        assert mount_backoff.failed(session, run) - now() <= mount_backoff.FIRST_PAUSE


def test_an_operator_has_it_tried_at_once(database: Database) -> None:
    """By whatever he does at the drive, and by a retry of a run whose time was over."""
    with database.transaction() as session:
        run = waiting(session)
        mount_backoff.forget(session, "tape1")
        session.refresh(run)
        assert not mount_backoff.may_try(run, BAD)
        mount_backoff.forget(session, "tape0")
        session.refresh(run)
        assert mount_backoff.may_try(run, BAD)
        mount_backoff.failed(session, run)
        transitions.transition(session, run, RunState.FAILED)
        retrying.retry(session, run.id, None, "li", None)
        assert mount_backoff.may_try(run, BAD)
