"""The facts that a permit is decided from, each by itself: what was seen, used, shown, named and written."""

from __future__ import annotations

from typing import Any

import pytest

from db.engine import Database
from db.errors import NotAllowed
from db.models import FormatPermit, Options, RunNotes, now
from db.tapes import cartridges, erasable, permits
from policy.tapes.facts import TapePolicy
from policy.tapes.permit import Denial
from tests.integration.db.tapes.formatting import SET, SHOWN, TAPE, about_to_format, denials
from tests.integration.db.tapes.test_permits import ALLOWED, run_at, stored_on, tape


def test_all_facts_together_allow_it(database: Database) -> None:
    """From here on each test takes one of them away."""
    with database.transaction() as session:
        run = about_to_format(session)
        assert denials(session, run) == ()
        [lost] = permits.judge(
            session, run, TAPE, policy=TapePolicy.parse("rotate"), now_local=now(), shown=SHOWN
        ).sets_lost
        assert lost == SET


@pytest.mark.parametrize("fact", ["state", "label", "volume_uuid", "medium_serial", "serial", "barcode"])
def test_the_tape_is_the_one_that_precheck_saw(database: Database, fact: str) -> None:
    """In all that tells it; a run whose precheck saw none formats none."""
    with database.transaction() as session:
        run = about_to_format(session)
        run.tape_seen = {**TAPE, fact: "another"}
        assert denials(session, run) == (Denial.IDENTITY_CHANGED,)
        run.tape_seen = None
        assert denials(session, run) == (Denial.IDENTITY_CHANGED,)


def test_a_part_has_one_permit(database: Database) -> None:
    """Once it is consumed there is none for this part; the next part has its own, and so has another run."""
    with database.transaction() as session:
        run, other = about_to_format(session), run_at(session, "tape1")
        other.tape_seen = TAPE
        permit = permits.store(session, run, TAPE, "TP20251101", ALLOWED)
        assert permits.used(session, run.id, 1) is None
        assert denials(session, run) == ()
        permits.consume(session, permit.id, now())
        assert permits.used(session, run.id, 1) is permit
        assert denials(session, run) == (Denial.ALREADY_USED,)
        assert denials(session, other) == ()
        run.part = 2
        assert permits.used(session, run.id, 2) is None
        assert denials(session, run) == ()


def test_a_volume_with_files_is_looked_into_first(database: Database) -> None:
    """What is empty, or is no volume, needs no look."""
    with database.transaction() as session:
        run = about_to_format(session)
        assert denials(session, run, shown=None) == (Denial.NOT_LOOKED_INTO,)
        for other in ({"empty": True}, {"state": "blank", "label": None, "volume_uuid": None, "empty": None}):
            medium = {**TAPE, **other}
            run.tape_seen = medium
            assert denials(session, run, medium, shown=None) == ()
        medium = {**TAPE, "empty": None}
        run.tape_seen = medium
        assert denials(session, run, medium, shown=None) == (Denial.NOT_LOOKED_INTO,)


def test_what_the_volume_shows_and_the_catalogue_does_not_know(database: Database) -> None:
    """A set of somebody's, and files of a stranger: each is kept, and named."""
    with database.transaction() as session:
        run = about_to_format(session)
        assert denials(session, run, shown=permits.VolumeContents((SET, "other"), ())) == (
            Denial.UNKNOWN_SETS,
        )
        assert denials(session, run, shown=permits.VolumeContents((SET,), ("letters",))) == (
            Denial.STRANGERS,
        )
        decision = permits.judge(
            session, run, TAPE, policy=TapePolicy.parse("rotate"), now_local=now(),
            shown=permits.VolumeContents((SET, "other"), ("letters",)),
        )  # fmt: skip
        said = " ".join(map(str, decision.reasons))
        assert "other" in said
        assert SET not in said
        assert "letters" in said


def test_what_this_run_and_this_period_have_written(database: Database) -> None:
    """It is appended to, and never formatted."""
    with database.transaction() as session:
        run = about_to_format(session)
        known = cartridges.find(session, "TP20241015")
        assert known
        second = stored_on(session, known, "20241015T000000Z-0002")
        second.expired_at, second.run_id = now(), run.id
        session.flush()
        assert Denial.OWN_SET in denials(session, run)
        second.run_id, second.period = None, "2024-W42"
        run.period = "2024-W42"
        session.flush()
        assert Denial.PERIOD_DATA in denials(session, run)
        run.period = "2024-W43"
        assert denials(session, run) == ()


def test_an_operator_who_named_the_tape_gave_up_what_was_on_it_then(database: Database) -> None:
    """Not what was written to it between his word and the run."""
    with database.transaction() as session:
        run = about_to_format(session)
        known = cartridges.find(session, "TP20241015")
        assert known
        stored_on(session, known, "20241015T000000Z-0002")
        assert denials(session, run) == (Denial.RETAINED_SETS,)
        run.options = Options(erase_label="TP20241015")
        run.notes = RunNotes(erase_sets=permits.named_sets(session, "TP20241015"))
        assert run.notes.erase_sets == (SET, "20241015T000000Z-0002")
        assert denials(session, run) == ()
        stored_on(session, known, "20241015T000000Z-0003")
        assert denials(session, run) == (Denial.RETAINED_SETS,)
        # A run of an earlier version has no list: its word is of the tape.
        run.notes = RunNotes()
        assert denials(session, run) == ()
        run.part = 2
        assert set(denials(session, run)) == {Denial.RETAINED_SETS}


def test_a_name_of_a_tape_that_is_none(database: Database) -> None:
    """An empty one names no row that has no label."""
    with database.transaction() as session:
        cartridges.register(session, {"state": "blank", "label": None, "medium_serial": "m7"}, "NEW", None)
        assert permits.named_sets(session, "") is None
        assert permits.named_sets(session, None) is None


def test_a_stored_permit_says_everything(database: Database) -> None:
    """Whose it is, for which cartridge, what was decided and why."""
    with database.transaction() as session:
        run = about_to_format(session)
        denied = permits.judge(
            session, run, TAPE, policy=TapePolicy.parse("rotate"), now_local=now(), shown=None
        )
        permit = permits.store(session, run, TAPE, "TP20251101", denied)
        known = cartridges.find(session, "TP20241015")
        assert known
        assert (permit.run_id, permit.part, permit.drive) == (run.id, 1, "tape0")
        assert (permit.cartridge_id, permit.label) == (known.id, "TP20251101")
        assert permit.identity == dict(cartridges.identity(TAPE))
        assert (permit.allowed, permit.denials) == (False, ["not_looked_into"])
        assert permit.reasons == [reason.to_json() for reason in denied.reasons]
        assert permit.sets_lost == [SET]
        with pytest.raises(NotAllowed, match="formats once"):
            permits.consume(session, permit.id, now())
        assert permits.store(session, run, tape("m9"), "TP20251101", ALLOWED).cartridge_id is None


def test_a_permit_is_consumed_by_one_step_alone(database: Database) -> None:
    """Whoever comes with the same moment is that step again; anybody else is refused."""
    with database.transaction() as session:
        run = about_to_format(session)
        permit = permits.store(session, run, TAPE, "TP20251101", ALLOWED)
        moment = now()
        permits.consume(session, permit.id, moment)
        permits.consume(session, permit.id, moment)
        assert permit.consumed_at == moment
        with pytest.raises(NotAllowed, match="formats once"):
            permits.consume(session, permit.id, now())
        with pytest.raises(NotAllowed, match="formats once"):
            permits.consume(session, permit.id + 1000, now())
        second = permits.store(session, run, TAPE, "TP20251102", ALLOWED)
        with pytest.raises(NotAllowed, match="formats once"):
            permits.consume(session, second.id, now())


def test_the_step_whose_connection_broke_after_the_commit_goes_on(database: Database) -> None:
    """It has read the permit before, and sees now that it was itself who consumed it."""
    moment = now()
    with database.transaction() as session:
        run = about_to_format(session)
        number = permits.store(session, run, TAPE, "TP20251101", ALLOWED).id
    with database.transaction() as session:
        seen = session.get_one(FormatPermit, number)
        with database.transaction() as other:
            permits.consume(other, number, moment)
        permits.consume(session, number, moment)
        assert seen.consumed_at == moment


def test_the_word_of_somebody_at_the_drive_is_used_up_with_the_permit(database: Database) -> None:
    """It was for one format."""
    foreign: dict[str, Any] = {"state": "foreign", "label": None, "medium_serial": "m1", "drive": "tape0"}
    with database.transaction() as session:
        run = run_at(session, "tape0")
        erasable.confirm(session, "tape0", foreign, "me")
        assert erasable.is_confirmed(session, foreign)
        permits.consume(session, permits.store(session, run, foreign, "TP20251101", ALLOWED).id, now())
        assert not erasable.is_confirmed(session, foreign)
