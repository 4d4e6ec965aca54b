"""Permits as rows: an audit trail, labels that are given once, and drives that tell no more than a label."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, InternalError
from sqlalchemy.orm import Session

from cli.render import output
from db.engine import Database
from db.errors import NotFound
from db.models import BackupArchive, BackupSet, ChainRun, FormatPermit, Options, RunNotes, TapeCartridge, now
from db.runs import admission, starting, steps, transitions
from db.schedules import schedules
from db.sets import catalog, restores
from db.sets.as_json import sets_json
from db.states import BackupType, RunState, Step, Trigger
from db.tapes import cartridges, permits
from policy.message import M
from policy.tapes.facts import SetState, TapePolicy
from policy.tapes.permit import Decision, decide

NOVEMBER = datetime(2025, 11, 1, 2, tzinfo=UTC)
ALLOWED = Decision(True, (), (M("blank"),), ())
LABEL_ALONE = {"state": "formatted", "label": "TP20241015", "empty": False}
"""All that a drive letter of Windows tells."""


def run_at(session: Session, drive: str) -> ChainRun:
    """A run that has the drive."""
    row = schedules.put(session, f"at {drive}", drive=drive, sources=["/data"])
    assert starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL)
    run = admission.admit(session, drive)
    assert run
    return run


def tape(serial: str, label: str | None = None) -> dict[str, Any]:
    return {"state": "formatted" if label else "blank", "label": label, "medium_serial": serial}


@pytest.fixture
def consumed(database: Database) -> int:
    """A permit that was consumed."""
    with database.transaction() as session:
        permit = permits.store(session, run_at(session, "tape0"), tape("m1"), "TP20251101", ALLOWED)
        permits.consume(session, permit.id, NOVEMBER)
        return permit.id


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE format_permits SET reasons = '[]'",
        "UPDATE format_permits SET allowed = false, consumed_at = NULL",
        "UPDATE format_permits SET label = 'X'",
        "UPDATE format_permits SET consumed_at = NULL",
        "UPDATE format_permits SET consumed_at = now()",
        "UPDATE format_permits SET outcome = NULL",
        "UPDATE format_permits SET outcome = '{}'",
        "UPDATE format_permits SET outcome_at = now()",
        "DELETE FROM format_permits",
        "TRUNCATE format_permits CASCADE",
    ],
)
def test_nobody_changes_what_a_permit_says(database: Database, consumed: int, statement: str) -> None:
    """Not even with SQL: neither the decision nor, once they are there, its use and its outcome."""
    with database.transaction() as session:
        permits.close(session, consumed, {"ok": True})
        before = session.execute(select(FormatPermit.__table__)).all()
    with pytest.raises(InternalError, match="audit trail"), database.engine.begin() as connection:
        connection.execute(text(statement))
    with database.transaction() as session:
        assert session.execute(select(FormatPermit.__table__)).all() == before


def test_a_permit_that_was_not_used_has_no_outcome(database: Database) -> None:
    with database.transaction() as session:
        number = permits.store(session, run_at(session, "tape0"), tape("m1"), "TP20251101", ALLOWED).id
    with pytest.raises(DBAPIError, match="audit trail"), database.engine.begin() as connection:
        connection.execute(text(f"UPDATE format_permits SET outcome = '{{}}' WHERE id = {number}"))


def test_a_permit_is_used_up_on_disk_whatever_the_server_is_set_to(database: Database) -> None:
    """A server that says 'committed' before it is on disk would forget the use in a crash."""
    with database.transaction() as session:
        permit = permits.store(session, run_at(session, "tape0"), tape("m1"), "TP20251101", ALLOWED)
        session.execute(text("SET LOCAL synchronous_commit = off"))
        permits.consume(session, permit.id, NOVEMBER)
        assert session.scalar(text("SHOW synchronous_commit")) == "on"


def test_two_drives_are_never_given_one_label(database: Database) -> None:
    """The first has it while its run may still write it, and once it was written, whatever the rows say by
    then; when its format failed it is free again."""
    with database.transaction() as session:
        first, second = run_at(session, "tape0"), run_at(session, "tape1")
        label = permits.label_for(session, first, tape("m1"), NOVEMBER)
        permit = permits.store(session, first, tape("m1"), label, ALLOWED)
        assert label == "TP20251101"
        assert permits.label_for(session, second, tape("m2"), NOVEMBER) == "TP20251102"
        assert permits.label_for(session, second, tape("m1"), NOVEMBER) == "TP20251101"
        permits.consume(session, permit.id, NOVEMBER)
        transitions.transition(session, first, RunState.FAILED)
        assert permits.label_for(session, second, tape("m2"), NOVEMBER) == "TP20251101"
        permits.close(session, permit.id, {"ok": True})
        assert permits.label_for(session, second, tape("m2"), NOVEMBER) == "TP20251102"


@pytest.mark.parametrize(("part", "allowed"), [(1, True), (2, False)])
def test_a_label_that_was_named_names_one_tape(database: Database, part: int, allowed: bool) -> None:
    """The one that the run begins on; a later tape that happens to have the same label is as safe as any."""
    with database.transaction() as session:
        cartridge, _ = cartridges.update_label(session, original=None, medium=LABEL_ALONE)
        stored_on(session, cartridge, "20241015T000000Z-0001").retention_until = None
        run = run_at(session, "tape0")
        run.options, run.part = Options(erase_label="TP20241015"), part
        session.flush()
        tape = cartridges.tape_facts(session, LABEL_ALONE)
        said = decide(permits.facts_of(session, run, tape, TapePolicy.parse("rotate"), now()))
        assert said.allowed is allowed


def test_a_label_that_is_named_gives_up_the_sets_that_its_tape_has_then(database: Database) -> None:
    """And none of a tape that nobody knows."""
    with database.transaction() as session:
        cartridge, _ = cartridges.update_label(session, original=None, medium=LABEL_ALONE)
        stored_on(session, cartridge, "20241015T000000Z-0001")
        session.flush()
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        asked = Options(erase_label="TP20241015")
        run = starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL, options=asked)
        assert run
        assert (run.options, run.notes) == (asked, RunNotes(erase_sets=("20241015T000000Z-0001",)))
        assert permits.named_sets(session, "NOBODY") is None
        assert permits.named_sets(session, None) is None


def stored_on(session: Session, cartridge: TapeCartridge, set_id: str) -> BackupSet:
    """A set with an archive on a cartridge."""
    stored = BackupSet(
        id=set_id, type=BackupType.FULL, state=SetState.COMPLETE, sources=["/"], started_at=NOVEMBER,
        finished_at=NOVEMBER, retention_until=NOVEMBER, cartridge_id=cartridge.id,
        generation=cartridge.generation,
    )  # fmt: skip
    catalog.add_set(session, stored)
    archive = BackupArchive(
        set_id=set_id, number=1, cartridge_id=cartridge.id, generation=cartridge.generation, name="x",
        bytes=1, sha256="", files=0, content_bytes=0, record={},
    )  # fmt: skip
    catalog.add_archive(session, archive, [])
    return stored


def test_a_drive_that_tells_a_label_alone_grows_generations_too(database: Database) -> None:
    """Every volume looks like the last one there: the permit tells one format from the next."""
    with database.transaction() as session:
        cartridge, _ = cartridges.update_label(session, original=None, medium=LABEL_ALONE)
        stored = stored_on(session, cartridge, "20241015T000000Z-0001")
        after = {**LABEL_ALONE, "label": "TP20251101", "empty": True}
        for permit, generation in ((7, 2), (7, 2), (8, 3)):
            found = cartridges.formatted(session, None, LABEL_ALONE, after, permit_id=permit)
            assert (found.id, found.generation) == (cartridge.id, generation)
        session.refresh(stored)
        assert stored.state is SetState.DESTROYED
        assert stored.destroyed_at


def test_an_increment_is_shown_as_lost_with_the_full_set_that_it_needs(database: Database) -> None:
    """Its own tape is as it was; the list names what is gone, and so does the refusal to restore it."""
    full_id, first_id, second_id = (f"20241015T000000Z-000{number}" for number in (1, 2, 3))
    with database.transaction() as session:
        tapes = [
            cartridges.update_label(session, original=None, medium={**LABEL_ALONE, "label": label})[0]
            for label in ("TP20241015", "TP20241016")
        ]
        stored_on(session, tapes[0], full_id)
        for set_id, parent in ((first_id, full_id), (second_id, first_id)):
            stored_on(session, tapes[1], set_id).parent_id = parent
        last = catalog.get(session, second_id)
        assert sets_json(session, [last])[0]["lost_parent"] is None
        after = {**LABEL_ALONE, "label": "TP20251101", "empty": True}
        cartridges.formatted(session, None, LABEL_ALONE, after, permit_id=7)
        session.expire_all()
        assert last.state is SetState.COMPLETE
        shown = sets_json(session, [last])[0]
        assert shown["lost_parent"] == full_id
        assert output.set_state(shown) == f"complete, but {full_id} is lost"
        with pytest.raises(NotFound, match=f"Set {full_id} is destroyed"):
            restores.plan(session, second_id, None)


def test_an_empty_tape_of_the_same_label_is_not_the_one_with_the_data(database: Database) -> None:
    """Where nothing but the label tells two cartridges apart, one that is empty is another: its format takes
    nothing from the first, and it becomes a row of its own."""
    twin = {**LABEL_ALONE, "empty": True}
    with database.transaction() as session:
        cartridge, _ = cartridges.update_label(session, original=None, medium=LABEL_ALONE)
        stored = stored_on(session, cartridge, "20241015T000000Z-0001")
        assert cartridges.tape_facts(session, LABEL_ALONE).known
        assert cartridges.tape_facts(session, twin).known is None
        made = cartridges.formatted(session, None, twin, {**twin, "label": "TP20251101"}, permit_id=7)
        assert made.id != cartridge.id
        same = cartridges.formatted(session, None, twin, twin, permit_id=8)
        assert same.tape_id == "TP20241015-2"
        session.refresh(stored)
        assert stored.state is SetState.COMPLETE


@pytest.mark.parametrize("step", [Step.PRECHECK, Step.NOTIFY])
def test_a_step_that_is_claimed_hears_at_once_that_its_run_is_to_stop(database: Database, step: Step) -> None:
    """It was asked while the step before was at work. When all is done there is nothing left to stop."""
    with database.transaction() as session:
        run = run_at(session, "tape0")
        run.cancel_requested_at = now() - timedelta(seconds=1)
        for row in run.steps[: run.steps.index(next(each for each in run.steps if each.step is step))]:
            row.state = steps.StepState.SUCCEEDED
        session.flush()
        held = steps.claim(session, run.id, run.dispatch, step, "worker")
        assert held
        assert held.cancelled is (step is not Step.NOTIFY)
