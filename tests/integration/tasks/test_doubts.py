"""A run that is held: how it waits and goes on, and that nothing of it counts before it is accepted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backup.request import Surveyed
from db import doubts
from db.admin import holds
from db.engine import Database
from db.errors import NotAllowed
from db.models import BackupSet, ChainRun, Notification, now
from db.runs import admission, retrying
from db.sets import lineage
from db.states import ACTIVE, BackupType, RunState, Step
from db.tapes import drives
from db.tapes.facts import LoadedTapes
from notify.facts import Facts
from policy.guard import Doubt, GuardLimits, GuardRule
from policy.message import M
from policy.sources import Source, Survey
from policy.tapes.facts import SetState
from tasks.writing.guard import Standard
from tests.integration.tasks.test_run_backup_rules import a_run, a_set, row_of, this_months

WEEK = timedelta(days=7)
FEWER = Doubt(GuardRule.FEWER_FILES, "/data", M("Half of it is gone."), 60.0, ("/data/a", "/data/b"))
EMPTY = Doubt(GuardRule.EMPTY, "/other", M("It is empty."), 100.0)


def held(session: Session, *found: Doubt) -> ChainRun:
    run = a_run(session)
    doubts.hold(session, run, found or (FEWER,), WEEK)
    return run


def test_a_held_run_has_neither_drive_nor_set(database: Database) -> None:
    """It waits for a person, with the figures; another run gets its drive, and its schedule no second one."""
    with database.transaction() as session:
        run = a_run(session)
        run.set_id = "20261130T020000Z-ab12"
        doubts.hold(session, run, [FEWER, EMPTY], WEEK)
        assert (run.state, run.set_id, drives.running(session, "tape0")) == (
            RunState.HELD,
            None,
            None,
        )
        assert RunState.HELD in ACTIVE
        assert admission.first_open_step(session, run).step is Step.PRECHECK  # type: ignore[union-attr]
        assert run.wait_until is not None
        assert now() + WEEK - run.wait_until < timedelta(minutes=1)
        said = session.scalars(select(Notification.facts).where(Notification.event == "held")).one()
        facts = Facts.from_json(said)
        assert [str(doubt) for doubt in facts.doubts] == [
            "Half of it is gone. First: /data/a, /data/b",
            "It is empty.",
        ]
        assert "Doubts about the sources in all: 2." in str(facts.reason)
        assert f"tapeline runs accept {run.id} --why TEXT" in str(facts.remedy)
        assert "It is held until" in str(facts.remedy)
        assert facts.next_command == f"tapeline runs accept {run.id} --why TEXT"
        assert facts.safe is not None


def test_accepted_once(database: Database) -> None:
    """It is queued again with who, when, why and what; a run that is not held cannot be accepted."""
    with database.transaction() as session:
        run = held(session)
        assert doubts.accept(session, run.id, "li", "tidied up") is run
        assert (run.state, run.wait_until) == (RunState.QUEUED, None)
        [kept] = run.accepted
        assert (kept["by"], kept["why"]) == ("li", "tidied up")
        assert doubts.accepted(run) == [FEWER]
        with pytest.raises(NotAllowed, match="only a HELD run"):
            doubts.accept(session, run.id, "li", "again")
        assert admission.admit(session, "tape0") is run
        # Held for something else, it has to be accepted once more; what was accepted stays so.
        doubts.hold(session, run, [EMPTY], WEEK)
        doubts.accept(session, run.id, "wang", "emptied")
        assert doubts.accepted(run) == [FEWER, EMPTY]


def test_in_a_copy_of_the_database_it_is_released_first(database: Database) -> None:
    """What a copy has brought along goes on by nobody's word for its sources alone."""
    with database.transaction() as session:
        run = held(session)
        holds.hold_everything(session)
        with pytest.raises(NotAllowed, match="since the database was restored"):
            doubts.accept(session, run.id, "li", "why")
        holds.release_run(session, run.id, "li")
        assert (run.state, run.reason) == (RunState.HELD, FEWER.message.to_json())
        doubts.accept(session, run.id, "li", "why")
        assert run.state is RunState.QUEUED


def test_it_looks_once_more_or_is_cancelled_or_fails(database: Database) -> None:
    """A retry accepts nothing; nobody in time is a failure that can be retried."""
    with database.transaction() as session:
        run = held(session)
        retrying.retry(session, run.id, None, "li", "mounted again")
        assert (run.state, run.accepted) == (RunState.QUEUED, [])
        admission.admit(session, "tape0")
        doubts.hold(session, run, [FEWER], WEEK)
        doubts.expire(session, run)
        assert (run.state, str(run.reason).count("Half of it is gone.")) == (RunState.FAILED, 1)
        retrying.retry(session, run.id, None, "li", None)
        admission.admit(session, "tape0")
        doubts.hold(session, run, [FEWER], WEEK)
        assert retrying.cancel(session, run.id, "li").state is RunState.CANCELLED


def survey(files: int) -> dict[str, Any]:
    return Survey("r", (Source("/data", files=files),)).to_json()


def test_the_past_is_what_was_complete(database: Database) -> None:
    """Also what was destroyed since; neither what was cut off, nor what nobody has looked at."""
    with database.transaction() as session:
        run = a_run(session)
        tape = row_of(session, this_months(run))
        common = {"template_id": run.schedule.template_id if run.schedule else None}
        day = datetime(2026, 11, 1, tzinfo=UTC)
        rows: list[dict[str, Any]] = [
            {"survey": survey(1)},
            {"survey": survey(2), "state": SetState.DESTROYED, "accepted": [{"why": "so"}]},
            {"survey": survey(3), "state": SetState.INCOMPLETE, "finished_at": None},
            {"survey": survey(4), "state": SetState.DESTROYED, "finished_at": None},
            {"survey": survey(5), "template_id": None},
            {"survey": None},
        ]
        for number, facts in enumerate(rows):
            started = day + timedelta(days=number)
            a_set(session, tape, f"2026110{number}T020000Z-ab", started_at=started, **common | facts)
        found = doubts.past(session, run.schedule.template_id)  # type: ignore[union-attr]
        assert [(each.survey.sources[0].files, each.is_accepted) for each in found] == [(2, True), (1, False)]


@pytest.mark.parametrize("end", ["held", "failed", "cancelled"])
def test_what_was_held_is_no_reason_to_lose_anything(database: Database, end: str) -> None:
    """The full backup before it stays the newest, one of the newest, and what an increment follows: whatever
    becomes of the run. A set that it has begun counts as little."""
    with database.transaction() as session:
        run = a_run(session)
        tape = row_of(session, this_months(run))
        template = run.schedule.template_id if run.schedule else None
        full = a_set(session, tape, "20261101T020000Z-ab", template_id=template, keep_sets=1, run_id=None)
        begun = a_set(
            session,
            tape,
            "20261130T020000Z-ab",
            template_id=template,
            keep_sets=1,
            run_id=run.id,
            state=SetState.WRITING,
            finished_at=None,
            started_at=now(),
        )
        run.set_id = begun.id
        doubts.hold(session, run, [FEWER], WEEK)
        if end == "failed":
            doubts.expire(session, run)
        elif end == "cancelled":
            retrying.cancel(session, run.id, "li")
        session.refresh(begun)
        assert begun.state in {SetState.WRITING, SetState.INCOMPLETE}
        on_it = {each.id: each for each in LoadedTapes(session).known(tape.id).sets}
        assert (on_it[full.id].newer, on_it[full.id].is_newest_full) == (0, True)
        assert lineage.parent_for(session, template or 0, BackupType.INCREMENTAL) is full
        assert session.get(BackupSet, begun.id) is begun


def test_rules_tell_what_is_compared() -> None:
    """Sources in another order are the same; anything that decides which files there are is not."""
    same = {
        "sources": ["/a", "/b"],
        "excludes": [],
        "exclude_caches": False,
        "one_file_system": False,
        "max_file_bytes": None,
        "max_file_age_days": None,
    }
    others: list[dict[str, Any]] = [
        {"sources": ["/a"]},
        {"excludes": ["*.iso"]},
        {"exclude_caches": True},
        {"one_file_system": True},
        {"max_file_bytes": 1},
        {"max_file_age_days": 1},
    ]
    assert doubts.rules(same) == doubts.rules({**same, "sources": ["/b", "/a"], "type": "full"})
    found = {doubts.rules({**same, **other}) for other in others}
    assert len(found) == len(others)
    assert doubts.rules(same) not in found


def test_a_source_that_was_given_up_keeps_its_facts() -> None:
    """The next run compares it with what it last was. What the template no longer names, and what was seen,
    is as it is now."""
    before = Survey(
        "r", (Source("/a", files=9), Source("/nas", files=7), Source("/tapeline-dumps/x", files=1))
    )
    held_to = Standard(
        sources=("/a", "/nas"), rules="r", limits=GuardLimits(), demanded=(), surveys=[before], accepted=[],
        is_begun=False,
    )  # fmt: skip
    survey = held_to.survey(Surveyed((Source("/a", files=3),), ()))
    assert survey.sources == (Source("/a", files=3), Source("/nas", files=7))
