"""What a held run and a freeze leave in their rows and say, word by word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from db import doubts, freezes
from db.engine import Database
from db.errors import NotAllowed, NotFound
from db.models import ChainRun, Freeze, now
from db.states import BackupType, RunState, Step
from policy.errors import TapelineError, UsageError
from policy.guard import Doubt, GuardRule
from policy.message import M, Message
from policy.sources import NORM, Source, Survey
from policy.tapes.facts import SetState
from tests.integration.db.runs.rows import has, is_lately, story, text_of
from tests.integration.tasks.test_run_backup_rules import a_run, a_set, row_of, this_months

WEEK = timedelta(days=7)
FEWER = Doubt(GuardRule.FEWER_FILES, "/data", M("Half of it is gone."), 60.0, ("/data/a",))
EMPTY = Doubt(GuardRule.EMPTY, "/other", M("It is empty."), 100.0)
ENCRYPTED = Doubt(GuardRule.ENCRYPTED, "/data", M("It looks so."))


def words(error: TapelineError) -> tuple[str, str | None]:
    return str(error.message), None if error.remedy is None else str(error.remedy)


def by_hand(run: ChainRun) -> str:
    return (
        f"If the sources are right as they are: tapeline runs accept {run.id} --why TEXT."
        f" If not, put them right, then: tapeline runs retry {run.id}"
    )


# -- held runs -------------------------------------------------------------------------------------


def test_a_held_run_says_each_doubt_at_its_step(database: Database) -> None:
    """And goes back to its precheck; the first doubt is the reason."""
    with database.transaction() as session:
        run = a_run(session)
        for row in run.steps:
            row.state, row.result = row.state.SUCCEEDED, {"x": 1}
        session.flush()
        doubts.hold(session, run, [FEWER, EMPTY], WEEK, step=Step.RUN_BACKUP)
        assert (run.state, run.doubts) == (RunState.HELD, [FEWER.to_json(), EMPTY.to_json()])
        assert run.wait_until
        assert timedelta(0) <= now() + WEEK - run.wait_until < timedelta(minutes=1)
        reason = "Half of it is gone. Doubts about the sources in all: 2."
        assert text_of(run.reason) == reason
        assert story(session, run)[-3:] == [
            "warning 1: Half of it is gone. First: /data/a", "warning 1: It is empty.",
            f"info 1: RUNNING → HELD: {reason}",
        ]  # fmt: skip
        assert {row.state for row in run.steps} == {run.steps[0].state.PENDING}
        assert str(doubts.remedy(run)) == by_hand(run)
        assert freezes.standing(session) == []


def test_one_doubt_is_its_own_reason(database: Database) -> None:
    with database.transaction() as session:
        run = a_run(session)
        doubts.hold(session, run, [EMPTY], WEEK)
        assert str(doubts.reason(run)) == "It is empty."


def test_a_set_that_was_begun_stays_the_runs_own(database: Database) -> None:
    """One that is in no catalogue gets another name; none at all stays none."""
    with database.transaction() as session:
        run = a_run(session)
        stored = a_set(
            session, row_of(session, this_months(run)), "20261101T020000Z-ab", state=SetState.WRITING
        )
        for set_id, kept in ((stored.id, stored.id), ("other", None), (None, None)):
            run.state, run.set_id = RunState.RUNNING, set_id
            session.flush()
            doubts.hold(session, run, [EMPTY], WEEK)
            assert run.set_id == kept


def test_what_looks_encrypted_is_told_as_a_freeze(database: Database) -> None:
    with database.transaction() as session:
        run = a_run(session)
        doubts.hold(session, run, [ENCRYPTED, EMPTY], WEEK)
        [frozen] = freezes.standing(session)
        has(frozen, name=f"run-{run.id}", run_id=run.id, frozen_by=None)
        assert text_of(frozen.reason) == "It looks so."
        assert is_lately(frozen.frozen_at)
        assert story(session, run)[-4:-1] == [
            "warning 1: It looks so.",
            f"error 1: No tape is formatted from now on: freeze run-{run.id}.",
            "warning 1: It is empty.",
        ]


def test_an_accepted_run_says_who_and_why(database: Database) -> None:
    with database.transaction() as session:
        run = a_run(session)
        doubts.hold(session, run, [FEWER], WEEK)
        run.queued_at = datetime(2026, 1, 1, tzinfo=UTC)
        doubts.accept(session, run.id, "li", "tidied up")
        [kept] = run.accepted
        assert set(kept) == {"by", "at", "why", "doubts"}
        assert (kept["by"], kept["why"], kept["doubts"]) == ("li", "tidied up", [FEWER.to_json()])
        assert is_lately(datetime.fromisoformat(kept["at"]))
        assert is_lately(run.queued_at)
        assert run.wait_until is None
        assert text_of(run.reason) == "The sources are accepted by li: tidied up"
        with pytest.raises(NotAllowed) as found:
            doubts.accept(session, run.id, "li", "again")
        told = f"Run {run.id} is QUEUED; only a HELD run can be accepted."
        assert words(found.value) == (told, f"'tapeline runs show {run.id}' tells its story.")


def test_a_run_of_a_copy_is_released_before_it_is_accepted(database: Database) -> None:
    with database.transaction() as session:
        run = a_run(session)
        doubts.hold(session, run, [FEWER], WEEK)
        run.home = "another"
        session.flush()
        session.expire_all()
        with pytest.raises(NotAllowed) as found:
            doubts.accept(session, run.id, "li", "why")
        told = f"Run {run.id} is held since the database was restored."
        assert words(found.value) == (told, f"Release it first: tapeline database release --run {run.id}")
        assert (run.state, run.accepted) == (RunState.HELD, [])


def test_nobody_in_time_is_a_failure_with_its_doubt(database: Database) -> None:
    with database.transaction() as session:
        run = a_run(session)
        doubts.hold(session, run, [FEWER], WEEK)
        doubts.expire(session, run)
        assert run.state is RunState.FAILED
        assert text_of(run.reason) == "Nobody accepted the sources in time. Half of it is gone."


def test_the_past_is_not_looked_through_without_end(database: Database) -> None:
    """The newest of it, begun last, of this template."""
    with database.transaction() as session:
        run = a_run(session)
        tape = row_of(session, this_months(run))
        assert run.schedule
        template = run.schedule.template_id
        first = datetime(2020, 1, 1, tzinfo=UTC)
        count = 20 * NORM + 1
        for number in range(count):
            survey = Survey("r", (Source("/data", files=number),)).to_json()
            moment = first + timedelta(days=number)
            a_set(session, tape, f"{moment:%Y%m%d}T020000Z-ab", started_at=moment, survey=survey,
                  template_id=template, type=BackupType.FULL)  # fmt: skip
        found = [each.survey.sources[0].files for each in doubts.past(session, template)]
        assert found == [*range(count - 1, 0, -1)]


def test_the_rules_of_a_template_are_told_by_a_short_name() -> None:
    """Of 16 bytes, in which nothing but the rules counts; the same in every version: it is stored."""
    values: dict[str, Any] = {
        "sources": ["/b", "/a"], "excludes": ["*.iso"], "exclude_caches": False, "one_file_system": False,
        "max_file_bytes": None, "max_file_age_days": None, "name": "x",
    }  # fmt: skip
    assert doubts.rules(values) == doubts.rules({**values, "name": "y", "sources": ["/a", "/b"]})
    assert len(doubts.rules(values)) == 32


# -- freezes ---------------------------------------------------------------------------------------


def frozen(session: Session, name: str | None = None, reason: str = "an audit") -> Freeze:
    found = freezes.freeze(session, name, "li", reason)
    found.frozen_at = datetime(2026, 11, 30, 8, 5, tzinfo=UTC)
    session.flush()
    return found


def test_why_nothing_is_formatted(database: Database) -> None:
    """The oldest first, with its time and how to lift it; the others by name."""
    with database.transaction() as session:
        assert freezes.why(session) is None
        freezes.check(session)
        frozen(session, "audit")
        text = (
            "Formats are frozen since 2026-11-30 08:05 UTC (audit): an audit."
            " To lift that: tapeline unfreeze audit --why TEXT"
        )
        assert str(freezes.why(session)) == text
        frozen(session, "b", "gone!")
        frozen(session, None, "文件不见了。")
        assert str(freezes.why(session)) == f"{text} Then also: b, freeze-3."
        with pytest.raises(NotAllowed) as found:
            freezes.check(session)
        assert str(found.value.message) == f"{text} Then also: b, freeze-3."
        assert [str(Message.from_json(each.reason)) for each in freezes.standing(session)] == [
            "an audit.", "gone!", "文件不见了。",
        ]  # fmt: skip


@pytest.mark.parametrize("text", ["Why.", "Why!", "Why?", "为什么。"])
def test_a_sentence_has_one_end(database: Database, text: str) -> None:
    with database.transaction() as session:
        assert text_of(frozen(session, reason=text).reason) == text


@pytest.mark.parametrize(("name", "is_one"), [
    ("a", True), ("A9_.-z", True), ("0", True), ("a" * 64, True), ("a" * 65, False), ("", False),
    ("-a", False), (".a", False), ("_a", False), ("a b", False), ("a\n", False), ("é", False),
])  # fmt: skip
def test_a_name_that_a_person_can_type(database: Database, name: str, is_one: bool) -> None:
    with database.transaction() as session:
        if is_one:
            assert frozen(session, name).name == name
            return
        with pytest.raises(UsageError) as found:
            freezes.freeze(session, name, "li", "why")
        rule = "Use 1 to 64 of the characters A-Z a-z 0-9 _ . - and begin with a letter or a digit."
        assert words(found.value) == (f"NAME: '{name}' is no name for a freeze.", rule)


def test_a_freeze_says_all_about_itself(database: Database) -> None:
    with database.transaction() as session:
        made = frozen(session, "audit")
        has(made, name="audit", frozen_by="li", run_id=None, lifted_at=None, lifted_by=None, lifted_why=None)
        assert freezes.as_json(made) == {
            "name": "audit", "frozen_at": "2026-11-30T08:05:00+00:00", "by": "li", "run": None,
            "reason": M("{text}", text="an audit.").to_json(), "lifted_at": None, "lifted_by": None,
        }  # fmt: skip
        with pytest.raises(UsageError) as found:
            freezes.freeze(session, "audit", "li", "why")
        assert words(found.value) == (
            "NAME: there is, or was, a freeze 'audit'.", "Choose another, or leave it out.",
        )  # fmt: skip
        lifted = freezes.lift(session, "audit", "wang", "over")
        assert is_lately(lifted.lifted_at)
        has(lifted, lifted_by="wang", lifted_why="over")
        told = freezes.as_json(lifted)
        assert lifted.lifted_at
        assert (told["lifted_at"], told["lifted_by"]) == (lifted.lifted_at.isoformat(), "wang")
        with pytest.raises(NotAllowed) as again:
            freezes.lift(session, "audit", "li", "why")
        assert words(again.value) == ("Freeze 'audit' is lifted already.", None)


def test_a_freeze_that_is_not_there_is_told_with_those_that_are(database: Database) -> None:
    with database.transaction() as session:
        with pytest.raises(NotFound) as none:
            freezes.lift(session, "x", "li", "why")
        assert words(none.value) == ("There is no freeze 'x'.", "Nothing is frozen.")
        for name in ("a", "b", "c"):
            frozen(session, name)
        freezes.lift(session, "b", "li", "why")
        with pytest.raises(NotFound) as found:
            freezes.lift(session, "x", "li", "why")
        assert words(found.value) == ("There is no freeze 'x'.", "There are: a, c")


def test_the_guards_freezes_are_numbered_for_each_run(database: Database) -> None:
    """Once while it stands; those of others do not count."""
    with database.transaction() as session:
        run = a_run(session)
        frozen(session, "other")
        names = []
        for _ in range(3):
            made = freezes.by_the_guard(session, run, M("It looks so."))
            assert freezes.by_the_guard(session, run, M("Another.")) is made
            has(made, run_id=run.id, frozen_by=None)
            assert text_of(made.reason) == "It looks so."
            names.append(made.name)
            freezes.lift(session, made.name, "li", "why")
        assert names == [f"run-{run.id}", f"run-{run.id}-2", f"run-{run.id}-3"]
