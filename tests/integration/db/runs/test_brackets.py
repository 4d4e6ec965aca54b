"""The bracket of a run's commands: whose turn it is, what is owed, and when it is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import BackupArchive, BackupSet, ChainRun, TapeCartridge, now
from db.runs import brackets, retrying, starting, transitions
from db.states import BackupType, RunState, Trigger
from policy.tapes.facts import CartridgeState, SetState
from tests.integration.db.runs.runs import schedule


def a_run(session: Session, name: str) -> ChainRun:
    row = schedule(session, name, drive=f"at-{name}")
    run = starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL)
    assert run is not None
    transitions.transition(session, run, RunState.RUNNING)
    return run


def begin(session: Session, run: ChainRun, *exclusive: str, host: str = "here") -> int | None:
    return brackets.begin(session, run, host=host, after=["release", "resume"], exclusive=exclusive)


def test_an_exclusive_command(database: Database) -> None:
    """A second run on this host waits for its end; one with other commands, or on another host, does not."""
    with database.transaction() as session:
        first, second = a_run(session, "first"), a_run(session, "second")
        assert begin(session, first, "snapshot", "mount") is None
        assert begin(session, second, "snapshot") == first.id
        assert begin(session, second, "other") is None
        assert begin(session, second, "snapshot", host="there") is None
        assert begin(session, first, "snapshot") is None
        while (owed := brackets.next_owed(session, first.id, "FAILED")) is not None:
            brackets.ended(session, first.id, owed[0])
        assert begin(session, second, "snapshot") is None


def test_what_is_owed(database: Database) -> None:
    """In order, each until it has ended; how the run ended stays as it was when the first began."""
    with database.transaction() as session:
        run = a_run(session, "one")
        assert brackets.next_owed(session, run.id, "FAILED") is None
        begin(session, run)
        brackets.ready(session, run.id)
        assert brackets.next_owed(session, run.id, "FAILED") == ("release", 0, "FAILED")
        assert brackets.next_owed(session, run.id, "CANCELLED") == ("release", 1, "FAILED")
        brackets.ended(session, run.id, "resume")
        assert brackets.next_owed(session, run.id, "FAILED") == ("release", 2, "FAILED")
        brackets.ended(session, run.id, "release")
        assert brackets.next_owed(session, run.id, "FAILED") == ("resume", 0, "FAILED")
        brackets.ended(session, run.id, "resume")
        assert brackets.of(session, run.id) is not None
        assert brackets.next_owed(session, run.id, "FAILED") is None
        assert brackets.of(session, run.id) is None
        begin(session, run)
        opened = brackets.of(session, run.id)
        assert opened is not None
        assert (opened.owed, opened.ready_at, opened.outcome) == (["release", "resume"], None, None)


@pytest.mark.parametrize(
    ("state", "has_written", "due"),
    [
        (RunState.RUNNING, False, False),
        (RunState.SUCCEEDED, True, True),
        (RunState.FAILED, True, True),
        (RunState.CANCELLED, False, True),
        (RunState.HELD, False, True),
        (RunState.WAITING_FOR_TAPE, False, True),
        # Between two tapes of a set its sources stay as ``before`` left them.
        (RunState.WAITING_FOR_TAPE, True, False),
    ],
)
def test_when_it_is_due(database: Database, state: RunState, has_written: bool, due: bool) -> None:
    with database.transaction() as session:
        run = a_run(session, "one")
        begin(session, run)
        if has_written:
            _write(session, run)
        if state is not RunState.RUNNING:
            transitions.transition(session, run, state)
        found = [(run.id, run.drive)] if due else []
        assert brackets.owed(session) == brackets.owed(session, run.drive) == found
        assert brackets.owed(session, "another") == []


def test_a_retry_is_not_over(database: Database) -> None:
    """Before ``after`` of the failure has run, somebody retries it."""
    with database.transaction() as session:
        run = a_run(session, "one")
        begin(session, run)
        transitions.transition(session, run, RunState.FAILED)
        assert brackets.owed(session)
        retrying.retry(session, run.id, None, "me", None)
        assert brackets.owed(session) == []


def test_a_run_from_another_database(database: Database) -> None:
    """A copy starts nothing: the host of the original has done, or does, what is owed."""
    with database.transaction() as session:
        run = a_run(session, "one")
        begin(session, run)
        transitions.transition(session, run, RunState.FAILED)
        run.home = "elsewhere"
    with database.transaction() as session:
        assert brackets.owed(session) == []


def _write(session: Session, run: ChainRun) -> None:
    tape = TapeCartridge(tape_id="T", label="T", state=CartridgeState.ACTIVE)
    session.add(tape)
    session.flush()
    facts: dict[str, Any] = {"sources": ["/data"], "started_at": now() - timedelta(hours=1)}
    run.set_id = "20261101T020000Z-0001"
    session.add(
        BackupSet(id=run.set_id, run_id=run.id, type=BackupType.FULL, state=SetState.WRITING, **facts)
    )
    session.flush()
    where = {"cartridge_id": tape.id, "generation": 0, "name": "a", "bytes": 1, "sha256": "", "files": 1}
    session.add(BackupArchive(set_id=run.set_id, number=1, content_bytes=1, record={}, **where))
    session.flush()
