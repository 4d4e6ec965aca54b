"""Whom ``recover`` reminds of a run that waits, and when; and which drives it offers to queued runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from db.engine import Database
from db.models import Drive, now
from db.runs import admission, transitions
from db.states import RunState
from tasks.periodic import recover
from tests.integration.tasks.recovering import (
    DOUBT,
    aged,
    configured,
    held_run,
    messages,
    queued,
    texts,
)
from tests.integration.tasks.test_recover import HOUR, back, begun, of, waiting


def test_a_run_that_waits_is_called_to_mind(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time of the setting, with its reason, and counted from the last time."""
    configured(monkeypatch, reminder_seconds=3600)
    run = waiting(database)
    recover.recover()
    aged(database, run, "waiting_for_tape", timedelta(minutes=59))
    recover.recover()
    assert len(messages(database, run, "waiting_for_tape")) == 1
    aged(database, run, "waiting_for_tape", timedelta(minutes=2))
    recover.recover()
    recover.recover()
    first, second = messages(database, run, "waiting_for_tape")
    assert texts(first) == texts(second)
    assert texts(second)[0] == "the reason"
    assert ("tapeline.deliver", run.id) in sent


def test_a_run_that_waits_for_no_reason_is_called_to_mind_as_well(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(monkeypatch, reminder_seconds=3600)
    run = waiting(database)
    with database.transaction() as session:
        transitions.get(session, run.id).reason = None
    aged(database, run, "waiting_for_tape", 2 * HOUR)
    recover.recover()
    assert [texts(facts)[0] for facts in messages(database, run, "waiting_for_tape")] == ["the reason", None]
    assert sent


def test_a_run_of_which_nothing_was_announced_is_not_called_to_mind(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(monkeypatch, reminder_seconds=0)
    run = begun(database)
    with database.transaction() as session:
        transitions.get(session, run.id).state = RunState.WAITING_FOR_TAPE
    recover.recover()
    assert messages(database, run, "waiting_for_tape") == []
    assert sent


def test_who_waited_for_a_tape_too_long_says_what_to_do(database: Database, sent: list[Any]) -> None:
    run = waiting(database)
    with database.transaction() as session:
        transitions.get(session, run.id).wait_until = now() - timedelta(seconds=1)
    recover.recover()
    [facts] = messages(database, run, "failed")
    reason, remedy = texts(facts)
    assert reason == "The right tape did not come in time."
    assert remedy == f"With the right tape in the drive: tapeline runs retry {run.id}"
    assert sent == [("tapeline.deliver", run.id)]
    with database.transaction() as session:
        assert transitions.get(session, run.id).look_asked_at is None


def test_who_waits_without_an_end_waits(database: Database, sent: list[Any]) -> None:
    run = waiting(database)
    with database.transaction() as session:
        transitions.get(session, run.id).wait_until = None
    recover.recover()
    assert of(database, run)[0] is RunState.WAITING_FOR_TAPE
    with database.transaction() as session:
        row = transitions.get(session, run.id)
        assert row.look_asked_at is not None
        assert timedelta(0) <= now() - row.look_asked_at < HOUR
        row.state = RunState.HELD
        row.doubts = [DOUBT]
    recover.recover()
    assert of(database, run)[0] is RunState.HELD
    assert sent[-1] == ("tapeline.deliver", run.id)


def test_a_held_run_is_called_to_mind(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what a person can do; and when its time is over it fails."""
    configured(monkeypatch, reminder_seconds=3600)
    run = held_run(database)
    recover.recover()
    assert len(messages(database, run, "held")) == 1
    aged(database, run, "held", 2 * HOUR)
    recover.recover()
    first, second = messages(database, run, "held")
    assert texts(first) == texts(second)
    assert "If the sources are right as they are: " in str(texts(second)[1])
    assert sent == [("tapeline.deliver", run.id)] * 2
    with database.transaction() as session:
        transitions.get(session, run.id).wait_until = now() - timedelta(seconds=1)
    recover.recover()
    [facts] = messages(database, run, "failed")
    reason, remedy = texts(facts)
    assert reason == "Nobody accepted the sources in time. It is empty."
    assert remedy == f"Put the sources right, then: tapeline runs retry {run.id}"


@pytest.mark.parametrize("state", [RunState.WAITING_FOR_TAPE, RunState.HELD])
@pytest.mark.parametrize("why", ["gone on", "locked", "held back"])
def test_who_no_longer_waits_is_left(database: Database, sent: list[Any], state: RunState, why: str) -> None:
    """Between the list and the look at this one; also one that a restored database holds."""
    run = waiting(database)
    with database.transaction() as session:
        row = transitions.get(session, run.id)
        row.state, row.wait_until, row.doubts = state, now() - HOUR, [DOUBT]
        if why == "gone on":
            row.state = RunState.QUEUED
        elif why == "held back":
            row.home = "another"
    before = of(database, run)
    attend = recover._look_after_held if state is RunState.HELD else recover._look_after_waiting
    with database.transaction() as session:
        if why == "locked":
            transitions.get(session, run.id, lock=True)
        attend(run.id)
    assert (of(database, run), sent) == (before, [])


def test_each_drive_is_offered_once_and_each_stalled_run_is_told(
    database: Database, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose drive has no worker is announced, and somebody is sent to deliver that."""
    configured(monkeypatch, stalled_after_seconds=60)
    run = begun(database)
    back(database, run)
    with database.transaction() as session:
        session.get_one(Drive, "tape0").last_seen_at = now() - 2 * HOUR
        transitions.get(session, run.id).moved_at = now() - HOUR
        for drive in ("tape5", "tape5"):
            queued(session, drive)
        assert admission.admit(session, "tape6") is None
    assert recover.recover() == []
    [facts] = messages(database, run, "stalled")
    assert texts(facts)[0] == f"Run {run.id} has drive tape0, and its worker is not running."
    assert sent == [("tapeline.deliver", run.id), "tape5"]
