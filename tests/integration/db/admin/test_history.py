"""What goes once a run has ended long ago, and what stays for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, null, select, update
from sqlalchemy.orm import Session

from db import failures, history
from db.engine import Database
from db.errors import NotAllowed
from db.models import (
    BackupSet,
    ChainRun,
    ChainStep,
    CommandBracket,
    DriveCheck,
    FormatPermit,
    Notification,
    RobotMove,
    RunEvent,
    TapeLibrary,
    now,
)
from db.runs import brackets, retrying, transitions
from db.schedules import schedules
from db.states import RunState, Step
from policy.message import M
from tests.integration.db.runs.rows import DUE, schedule, started

LONG_AGO = timedelta(days=500)
BEFORE = timedelta(days=400)


def ended(session: Session, state: RunState, ago: timedelta = LONG_AGO, number: int = 0) -> ChainRun:
    """A run of the schedule that ended in this state, with a story and a message that was sent."""
    run = started(session, due=DUE + timedelta(minutes=number))
    run.state, run.finished_at = state, now() - ago
    session.add(RunEvent(run_id=run.id, part=1, message=M("It happened.").to_json()))
    session.add(Notification(run_id=run.id, event="failed", occurrence=1, facts={}))
    session.flush()
    sent = update(Notification).where(Notification.run_id == run.id).values(next_attempt_at=None)
    session.execute(sent)
    return run


def shortened(session: Session) -> list[int]:
    """The runs that are one row after all batches."""
    while history.shorten(session, now() - BEFORE):
        pass
    session.expire_all()
    query = select(ChainRun.id).where(ChainRun.shortened_at.is_not(None)).order_by(ChainRun.id)
    return list(session.scalars(query))


def count(session: Session, model: type) -> int:
    return session.scalar(select(func.count()).select_from(model)) or 0


def test_the_story_the_steps_and_the_messages_go_and_the_row_stays(database: Database) -> None:
    """With its state, its reason, its set and its permit; what ended since keeps everything."""
    with database.transaction() as session:
        schedule(session)
        old = ended(session, RunState.SUCCEEDED)
        young = ended(session, RunState.SUCCEEDED, ago=timedelta(days=399), number=1)
        closed = CommandBracket(run_id=old.id, drive="tape0", host="h", closed_at=now())
        permit = FormatPermit(run_id=old.id, part=1, drive="tape0", label="TP1", allowed=True)
        permit.identity, permit.denials, permit.reasons, permit.sets_lost = {}, [], [], []
        session.add_all([closed, permit])
        assert shortened(session) == [old.id]
        assert history.shorten(session, now() - BEFORE) == 0
        for model in (RunEvent, ChainStep, Notification):
            left = set(session.scalars(select(model.run_id)))  # type: ignore[attr-defined]
            assert left == {young.id}
        assert count(session, CommandBracket) == 0
        assert count(session, FormatPermit) == 1
        assert transitions.get(session, old.id).state is RunState.SUCCEEDED


@pytest.mark.parametrize("state", [RunState.SKIPPED, RunState.CANCELLED])
def test_however_it_ended(database: Database, state: RunState) -> None:
    with database.transaction() as session:
        schedule(session)
        run = ended(session, state)
        assert shortened(session) == [run.id]


def test_an_open_failure_keeps_everything_until_it_is_settled(database: Database) -> None:
    """It may still be retried. Once a person dismisses it or a later run succeeds, it is an old run."""
    with database.transaction() as session:
        schedule(session)
        first = ended(session, RunState.FAILED)
        assert shortened(session) == []
        second = ended(session, RunState.FAILED, number=1)
        failures.dismiss(session, second.id, requested_by="me", why="known")
        assert shortened(session) == [second.id]
        ended(session, RunState.SUCCEEDED, ago=timedelta(0), number=2)
        assert shortened(session) == [first.id, second.id]


def test_a_run_that_has_not_ended_or_owes_something_is_left(database: Database) -> None:
    """A message that waits for its channel, a command that is owed, a run at work: however old."""
    with database.transaction() as session:
        schedule(session)
        unsent = ended(session, RunState.SUCCEEDED)
        session.scalars(select(Notification).limit(1)).one().next_attempt_at = now()
        owes = ended(session, RunState.SUCCEEDED, number=1)
        session.add(CommandBracket(run_id=owes.id, drive="tape0", host="h", owed=["thaw"]))
        # The row alone remembers a snapshot that could not be removed.
        left = ended(session, RunState.SUCCEEDED, number=3)
        stuck = {"name": "tapeline-0-1-1", "plan": {}, "stuck": True}
        session.add(
            CommandBracket(run_id=left.id, drive="tape0", host="h", closed_at=now(), snapshots=[stuck])
        )
        working = ended(session, RunState.RUNNING, number=2)
        assert shortened(session) == []
        assert count(session, RunEvent) >= len({unsent.id, owes.id, left.id, working.id})
        assert [run for run, _ in brackets.left_behind(session, "h")] == [left.id]


def test_a_run_without_its_steps_is_not_retried(database: Database) -> None:
    with database.transaction() as session:
        schedule(session)
        run = ended(session, RunState.FAILED)
        failures.dismiss(session, run.id, requested_by="me", why="known")
        assert shortened(session) == [run.id]
        with pytest.raises(NotAllowed, match="too long ago"):
            retrying.retry(session, run.id, Step.PRECHECK, "me", None)


def test_what_a_schedule_has_missed_is_counted_for_ever(database: Database) -> None:
    with database.transaction() as session:
        from db.runs import starting

        row = schedule(session)
        run = starting.record_missed(session, row, DUE, M("Nobody was there."))
        assert run
        run.finished_at = now() - LONG_AGO
        session.scalars(select(Notification)).one().next_attempt_at = None
        assert shortened(session) == [run.id]
        assert schedules.counts(session, row)["missed"] == 1
        assert schedules.counts(session, row)["skipped"] == 0


def test_one_batch_is_small(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first."""
    monkeypatch.setattr(history, "BATCH", 2)
    with database.transaction() as session:
        schedule(session)
        runs = [ended(session, RunState.SUCCEEDED, LONG_AGO - timedelta(days=n), n).id for n in range(3)]
        assert history.shorten(session, now() - BEFORE) == 2
        assert session.scalars(select(ChainRun.id).where(ChainRun.shortened_at.is_(None))).all() == runs[2:]


def test_what_belongs_to_no_run_goes_too(database: Database) -> None:
    """Old messages about a drive's host or a schedule, old moves of a library, questions that nobody waits
    for. The last move of each cartridge stays: it shows that the cartridge was taken out."""
    old = now() - LONG_AGO

    def about(name: str, **how: Any) -> Notification:
        values = {"event": "reminder", "created_at": old, "next_attempt_at": null(), **how}
        return Notification(about=name, occurrence=1, facts={}, **values)

    def move(verb: str, barcode: str, **how: Any) -> RobotMove:
        values = {"source": 1, "target": 2, "asked_by": "me", "begun_at": old, "ended_at": old, **how}
        return RobotMove(library="lib0", verb=verb, barcode=barcode, **values)

    with database.transaction() as session:
        library = TapeLibrary(name="lib0", driver="virtual", host="h", drives={}, inventory={}, read_at=old)
        library.clean_with = "CLN*"
        session.add(library)
        session.flush()
        session.add_all([
            about("old"), about("young", created_at=now()), about("unsent", next_attempt_at=now()),
            about("silent", event="drive_silent"),
        ])  # fmt: skip
        for each in (
            move("load", "A"), move("unload", "A"), move("export", "A"),
            move("export", "B"), move("load", "B", outcome=M("It failed.").to_json()), move("load", "C"),
        ):  # fmt: skip
            session.add(each)
            session.flush()
        session.add_all([
            DriveCheck(drive="tape0", sources=[], asked_at=now() - timedelta(days=2)),
            DriveCheck(drive="tape0", sources=[]),
        ])  # fmt: skip
        while history.forget(session, now() - BEFORE):
            pass
        assert set(session.scalars(select(Notification.about))) == {"young", "unsent", "silent"}
        moves = [f"{each.verb} {each.barcode}" for each in session.scalars(select(RobotMove))]
        assert sorted(moves) == ["export A", "export B", "load B", "load C"]
        assert count(session, DriveCheck) == 1
        assert count(session, BackupSet) == 0
