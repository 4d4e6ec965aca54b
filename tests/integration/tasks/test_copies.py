"""The tapes that a copy of a set reads and writes, from the rows that they are judged by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from backup.errors import SpoolFailed
from db.engine import Database
from db.errors import NotAllowed, NotFound
from db.models import ArchiveCopy, BackupArchive, BackupSet, ChainRun, TapeCartridge, now
from db.runs import admission, retrying, spools, starting, transitions
from db.sets import catalog, copying, lineage, restores
from db.states import RunState, Step
from db.tapes import cartridges, copies, permits
from policy.message import M
from policy.tapes import verdict
from policy.tapes.facts import CartridgeState, SetState
from policy.tapes.permit import Decision
from tasks.drive import copy_format, tape_rules
from tasks.work import WrongTape
from tasks.writing import copy_spool
from tests.integration.tasks.asking import entered, refusal
from tests.integration.tasks.test_run_backup_rules import a_set
from tests.system import label

SET, OLD = "20260501T020000Z-aa", "20260402T020000Z-bb"
SIZE = 10**9


def tape(number: int, name: str | None = None, **more: Any) -> dict[str, Any]:
    """What a drive reports of a tape; without a name, of a blank one."""
    return {
        "state": "formatted" if name else "blank", "label": name, "medium_serial": f"m{number}",
        "volume_uuid": f"u{number}" if name else None, "empty": None if name is None else False,
        "capacity": 10 * SIZE, "free": 5 * SIZE if name else None, **more,
    }  # fmt: skip


FIRST = tape(1, "TP20260501")


def row(session: Session, medium: dict[str, Any]) -> TapeCartridge:
    found = cartridges.recognise(session, medium)
    assert found
    return found


@pytest.fixture
def session(database: Database) -> Any:
    """A set that is kept for ever, on tape TP20260501."""
    with database.transaction() as session:
        entered(session, FIRST)
        a_set(session, row(session, FIRST), SET)
        yield session


def a_copy(session: Session, *, pool: str | None = None, spooled: int | None = None) -> ChainRun:
    """A copy that has its drive; ``spooled``: it has read the set."""
    run = starting.start_copy(session, set_id=SET, drive="tape7", pool=pool, requested_by="li")
    assert admission.admit(session, "tape7") is run
    run.notes = replace(run.notes, spooled=spooled, in_spool=spooled is not None)
    session.flush()
    return run


def copied(session: Session, medium: dict[str, Any], set_id: str = SET) -> None:
    """A tape has a copy of a set."""
    if cartridges.recognise(session, medium) is None:
        entered(session, medium)
    copying.enter(session, set_id, row(session, medium))
    session.flush()


def test_a_copy_first_wants_a_tape_with_the_set(session: Session) -> None:
    """Any that has it; it formats none."""
    run = a_copy(session)
    assert refusal(session, run, FIRST) is None
    assert "TP20260501" in str(refusal(session, run, tape(2)))
    settled = copy_format.settled(session, run, tape(2))
    assert settled is not None
    assert not isinstance(settled, WrongTape)
    copied(session, tape(3, "TP20260503"))
    assert refusal(session, run, tape(3, "TP20260503")) is None
    assert "TP20260503" in str(refusal(session, run, tape(2)))


def test_a_copy_then_wants_another_tape(session: Session) -> None:
    """A blank one, or one of this month; never one that has the set already, whatever its label."""
    run = a_copy(session, spooled=SIZE)
    assert refusal(session, run, tape(2)) is None
    assert refusal(session, run, tape(2, label(7))) is None
    for number, name in ((1, "TP20260501"), (1, label(1))):
        assert "has the set" in str(refusal(session, run, tape(number, name)))
        assert isinstance(copy_format.settled(session, run, tape(number, name)), WrongTape)
    copied(session, tape(3, label(3)))
    assert "has the set" in str(refusal(session, run, tape(3, label(3))))
    assert "TP20260401" in str(refusal(session, run, tape(4, "TP20260401")))
    entered(session, tape(5, label(5)), state=CartridgeState.RETIRED)
    assert "retired" in str(refusal(session, run, tape(5, label(5))))


def test_a_copy_needs_room_on_one_tape(session: Session) -> None:
    """In figures, also for a blank tape; before a format, and again for whoever waits."""
    run = a_copy(session, spooled=6 * SIZE)
    full = tape(2, label(2))
    for medium in (full, tape(2, capacity=2 * SIZE)):
        assert "needs 6." in str(refusal(session, run, medium))
        assert tape_rules.refusal_of_all(session, run, medium) == tape_rules.refusal(
            session, run, cartridges.tape_facts(session, medium), medium
        )
        assert isinstance(copy_format.settled(session, run, medium), WrongTape)
    assert refusal(session, run, tape(2, label(2), free=7 * SIZE)) is None
    assert refusal(session, run, tape(2, capacity=None, free=None)) is None


def test_a_copy_is_appended_where_it_can_be(session: Session) -> None:
    """To a tape with a kept set of another month, which no run may format; to none that is full."""
    run = a_copy(session, spooled=SIZE)
    medium = tape(2, label(2))
    entered(session, medium)
    a_set(session, row(session, medium), OLD)
    question = tape_rules.question_of(session, run, cartridges.tape_facts(session, medium))
    assert verdict.judge(question).answer is verdict.Answer.APPEND
    backup = replace(question, appends_first=False)
    assert verdict.judge(backup).answer is verdict.Answer.REFUSE
    settled = copy_format.settled(session, run, medium)
    assert settled is not None
    assert not isinstance(settled, WrongTape)
    assert copy_format.settled(session, run, tape(9)) is None, "a blank tape needs a permit"
    row(session, medium).state = CartridgeState.FULL
    session.flush()
    assert refusal(session, run, medium) is not None


def test_a_copy_goes_to_the_pool_that_it_was_given(session: Session) -> None:
    run = a_copy(session, pool="offsite", spooled=SIZE)
    entered(session, tape(2, "OFF001"), pool="offsite")
    assert refusal(session, run, tape(2, "OFF001")) is None
    assert "offsite" in str(refusal(session, run, tape(3, label(3))))


def test_only_a_whole_set_is_copied(session: Session) -> None:
    stored = catalog.get(session, SET)
    stored.state = SetState.INCOMPLETE
    session.flush()
    with pytest.raises(NotAllowed, match="not complete"):
        a_copy(session)
    with pytest.raises(NotFound):
        starting.start_copy(session, set_id="X", drive="tape7", pool=None, requested_by="li")


def test_a_restore_reads_the_copy_where_the_tape_is_out_of_use(session: Session) -> None:
    """Or damaged; a verification then reads it too, and what it finds is noted at the copy only."""
    second = tape(2, "TP20260502")
    copied(session, second)
    own, other = row(session, FIRST), row(session, second)

    def read() -> list[str]:
        return [each.tape_id for each in lineage.tapes(session, SET)]

    assert read() == ["TP20260501"]
    assert [each.id for each in lineage.instead_of(session, SET, {own.id})] == [other.id]
    own.state = CartridgeState.ERROR
    session.flush()
    assert read() == ["TP20260502"]
    assert copying.to_verify(session, SET, None) == [other]
    own.state = CartridgeState.ACTIVE
    stored = catalog.get(session, SET)
    stored.damaged = 2
    session.flush()
    assert read() == ["TP20260502"]
    assert copying.verified(session, stored, other, 1)
    assert not copying.verified(session, stored, own, 0)
    assert (stored.damaged, session.query(ArchiveCopy).one().damaged) == (2, 1)
    assert read() == ["TP20260501"], "nothing is better"
    assert copying.to_verify(session, SET, "TP20260502") == [other]
    with pytest.raises(NotFound, match="whole"):
        copying.to_verify(session, SET, "TP20260509")
    plan = restores.plan(session, SET, None)
    assert plan.to_json(SET)["copies"] == []


def test_a_tape_with_a_part_of_the_set_is_verified_as_the_set(session: Session) -> None:
    """Although it has copies of other parts: what is found there is the set's."""
    second, stored = tape(2, "TP20260502"), catalog.get(session, SET)
    entered(session, second)
    own, other = row(session, FIRST), row(session, second)
    rest = {"cartridge_id": other.id, "generation": other.generation, "bytes": 1, "files": 0}
    more = BackupArchive(set_id=SET, number=2, name="y", sha256="", content_bytes=0, record={}, **rest)
    session.add(more)
    session.flush()
    copies.enter(session, more, own)
    session.refresh(stored)
    assert not copying.verified(session, stored, own, 0)
    assert session.query(ArchiveCopy).one().verified_at is None
    assert copying.to_verify(session, SET, None) == [own, other]


def test_a_copy_that_was_written_is_the_set_if_the_rest_is_gone(session: Session) -> None:
    """Its tape was formatted while the copy waited for its own."""
    copies_tape = tape(2, label(2))
    entered(session, copies_tape)
    cartridges.formatted(session, None, FIRST, tape(1, "TP20260509", volume_uuid="new", empty=True))
    assert catalog.get(session, SET).state is SetState.DESTROYED
    assert copies.tapes_of(session, SET) == set(), "its own tape would do for the copy now"
    stored = copying.enter(session, SET, row(session, copies_tape))
    session.refresh(stored)
    assert (stored.state, stored.cartridge_id) == (SetState.COMPLETE, row(session, copies_tape).id)
    assert copies.tapes_of(session, SET) == {row(session, copies_tape).id}


def test_a_copy_that_ends_with_a_format_nobody_read_leaves_its_tape_unknown(session: Session) -> None:
    """As a backup does."""
    run = a_copy(session, spooled=SIZE)
    medium = tape(2, label(2), empty=True)
    entered(session, medium)
    permit = permits.store(session, run, medium, label(2), Decision(True, (), (M("past"),), ()))
    permits.consume(session, permit.id, now())
    transitions.transition(session, run, RunState.FAILED, M("died"))
    session.refresh(row(session, medium))
    assert row(session, medium).state is CartridgeState.UNKNOWN


def test_a_copy_without_room_in_the_spool_says_how_much_it_needs(tmp_path: Path) -> None:
    """Before a byte is read; and which setting names another folder."""
    copy_spool.check_room(tmp_path, 1)
    with pytest.raises(SpoolFailed, match=r"needs 1\.0 PB in .* are free there.*copy_spool_dir"):
        copy_spool.check_room(tmp_path, 10**15)


def test_what_a_copy_left_is_removed_when_it_has_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not before; retried, it reads the set again."""
    monkeypatch.setattr(copy_spool.wiring, "database", lambda: database)
    monkeypatch.setattr(copy_spool, "folder_of", lambda run_id: tmp_path / str(run_id))
    with database.transaction() as session:
        entered(session, FIRST)
        a_set(session, row(session, FIRST), SET)
        run = a_copy(session, spooled=SIZE)
        folder = tmp_path / str(run.id)
    folder.mkdir()
    assert copy_spool.settle("tape7") == []
    with database.transaction() as session:
        transitions.transition(session, transitions.get(session, run.id), RunState.FAILED, M("no"))
        assert spools.left(session) == [(run.id, "tape7")]
    assert copy_spool.settle("tape8") == []
    assert folder.exists()
    with monkeypatch.context() as patched:
        # A folder that cannot be removed now is tried again.
        patched.setattr(copy_spool.shutil, "rmtree", lambda *_, **__: None)
        assert copy_spool.settle("tape7") == []
    assert copy_spool.settle("tape7") == [run.id]
    assert not folder.exists()
    with database.transaction() as session:
        again = retrying.retry(session, run.id, Step.PRECHECK, "li", None)
        assert (again.notes.spooled, spools.left(session)) == (None, [])
        assert refusal(session, again, FIRST) is None
        assert session.get(BackupSet, SET)
