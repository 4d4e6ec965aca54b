"""The row of a cartridge: entered, found, filled, worn; whose label is whose."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from db.engine import Database
from db.errors import NotAllowed
from db.models import TapeCartridge, now
from db.tapes import cartridges
from policy.message import M
from policy.tapes.facts import CartridgeState
from tests.integration.db.tapes.test_cartridges import OURS, SECOND, tape

NEW: dict[str, Any] = {"state": "blank", "label": None, "medium_serial": "m7", "barcode": "A00007L9"}


def two(session: Session) -> tuple[TapeCartridge, TapeCartridge]:
    """Ours, and one beside it that nothing is asked of."""
    return tape(session), cartridges.register(session, NEW, "BESIDE", None)


def test_a_name_finds_a_tape_before_a_label_does(database: Database) -> None:
    """Of two tapes of one label it is the one that was seen last; what nobody has is not found."""
    with database.transaction() as session:
        first, other = two(session)
        second = tape(session, SECOND, "20261101T000000Z-0002")
        assert second.label == first.label
        second.tape_id, other.label = "SECOND", "SECOND"
        session.flush()
        assert cartridges.find(session, "SECOND") is second
        first.tape_id = "FIRST"
        for newer, older in ((first, second), (second, first)):
            newer.updated_at, older.updated_at = now(), now() - timedelta(days=1)
            session.flush()
            assert cartridges.find(session, OURS["label"]) is newer
        assert cartridges.find(session, "NOBODY") is None


@pytest.mark.parametrize("policy", [None, "vault"])
@pytest.mark.parametrize(("state", "generation"), [("blank", 0), ("formatted", 1)])
def test_a_tape_that_is_entered(database: Database, state: str, generation: int, policy: str | None) -> None:
    """A blank one has not been formatted yet; in a pool where one is named, which is made once."""
    with database.transaction() as session:
        made = cartridges.register(session, {**NEW, "state": state}, "NEW", policy)
        assert (made.tape_id, made.label, made.medium_serial) == ("NEW", None, "m7")
        assert (made.state, made.bytes_used, made.generation) == (CartridgeState.ACTIVE, 0, generation)
        assert (made.pool.name if made.pool else None) == policy
        again = cartridges.register(session, {**NEW, "state": state}, "ANOTHER NAME", None)
        assert again is made
        assert (again.tape_id, again.pool.name if again.pool else None) == ("NEW", policy)
        other = cartridges.register(session, OURS, "OTHER", "vault")
        assert other.pool is not None
        if policy:
            assert other.pool is made.pool
        third = cartridges.register(session, SECOND, "THIRD", "attic")
        assert third.pool is not None
        assert third.pool.name == "attic"


@pytest.mark.parametrize("told", ["label", "volume_uuid", "medium_serial"])
def test_a_tape_is_entered_if_it_can_be_known_again(database: Database, told: str) -> None:
    """By one of its label, its volume, its chip; not by its barcode, which can be put on another."""
    bare = {"state": "formatted", "label": None, "barcode": "A00009L9"}
    with database.transaction() as session:
        with pytest.raises(NotAllowed, match=r"could not be recognised again.* Format it first"):
            cartridges.register(session, bare, "NEW", None)
        assert cartridges.register(session, {**bare, told: "x"}, "NEW", None).tape_id == "NEW"
        with pytest.raises(NotAllowed, match=r"'NEW' already.* Give another"):
            cartridges.register(session, {**OURS, "barcode": None}, "NEW", None)


def test_the_labels_of_others(database: Database) -> None:
    """Names and labels of every row but that of the tape in the drive; of a stranger all rows are others."""
    with database.transaction() as session:
        ours, other = two(session)
        ours.tape_id, other.label = "OURS", "TP20260101"
        session.flush()
        assert cartridges.labels_of_others(session, OURS) == {"BESIDE", "TP20260101"}
        assert cartridges.labels_of_others(session, NEW) == {"OURS", OURS["label"]}
        everything = {"OURS", OURS["label"], "BESIDE", "TP20260101"}
        assert cartridges.labels_of_others(session, {"state": "no_medium"}) == everything
        other.label = None
        session.flush()
        assert cartridges.labels_of_others(session, OURS) == {"BESIDE"}


def test_a_full_tape_has_at_least_what_its_archives_take(database: Database) -> None:
    """Those of its present generation; what the drive has counted is not forgotten. No other tape is full."""
    with database.transaction() as session:
        ours, other = two(session)
        ours.generation, ours.bytes_used = ours.generation + 1, 7
        tape(session, {**OURS, "volume_uuid": "u1"}, "20261101T000000Z-0009")
        tape(session, SECOND, "20261101T000000Z-0010")
        before = ours.updated_at = now() - timedelta(days=1)
        session.flush()
        for counted, found in ((7, 7), (0, 1)):
            ours.bytes_used = counted
            session.flush()
            cartridges.filled(session, ours.id)
            session.expire_all()
            assert (ours.state, ours.bytes_used) == (CartridgeState.FULL, found)
        assert ours.updated_at > before
        cartridges.filled(session, other.id)
        session.expire_all()
        assert (other.state, other.bytes_used) == (CartridgeState.FULL, 0)
        states = {row.state for row in session.query(TapeCartridge) if row not in (ours, other)}
        assert states == {CartridgeState.ACTIVE}


def test_how_full_a_tape_is(database: Database) -> None:
    """As the drive says; a drive that does not say changes nothing, and nothing changes beside it."""
    with database.transaction() as session:
        ours, other = two(session)
        before = ours.updated_at = now() - timedelta(days=1)
        session.flush()
        cartridges.used(session, ours.id, None, 5)
        session.expire_all()
        assert ours.updated_at == before
        cartridges.used(session, ours.id, 1000, 300)
        session.expire_all()
        assert (ours.bytes_used, ours.capacity) == (700, 1000)
        assert ours.updated_at > before
        assert (other.bytes_used, other.capacity) == (0, None)


def test_a_mark_is_one_cartridges(database: Database) -> None:
    """And the row shows when it was made."""
    with database.transaction() as session:
        ours, other = two(session)
        before = ours.updated_at = now() - timedelta(days=1)
        session.flush()
        cartridges.mark(session, ours.id, CartridgeState.RETIRED)
        session.expire_all()
        assert (ours.state, other.state) == (CartridgeState.RETIRED, CartridgeState.ACTIVE)
        assert ours.updated_at > before


def test_the_condition_of_a_cartridge(database: Database) -> None:
    """What drive and chip report; what they do not report keeps its last value, but for alerts."""
    said = {"loads": 3, "written_bytes": 4, "write_errors": 0, "read_errors": 6, "tape_alerts": ["worn"]}
    with database.transaction() as session:
        ours, _ = two(session)
        cartridges.condition(session, ours, said, [M("It wears out.")])
        session.expire_all()
        assert (ours.loads, ours.written_bytes, ours.write_errors, ours.read_errors) == (3, 4, 0, 6)
        assert (ours.tape_alerts, ours.wear) == (["worn"], [M("It wears out.").to_json()])
        assert ours.health_at is not None
        cartridges.condition(session, ours, {"loads": 4, "write_errors": None, "tape_alerts": None}, [])
        session.expire_all()
        assert (ours.loads, ours.written_bytes, ours.write_errors, ours.read_errors) == (4, 4, 0, 6)
        assert (ours.tape_alerts, ours.wear) == ([], [])


def test_a_second_tape_of_a_label_has_a_name_of_its_own(database: Database) -> None:
    """By its barcode, else by the beginning of its volume's UUID, else by a number that is free."""
    label = OURS["label"]
    with database.transaction() as session:
        tape(session)
        names = []
        for number, told in enumerate((
            {"barcode": "B00002L9", "medium_serial": "m2", "volume_uuid": "u2"},
            {"barcode": None, "medium_serial": "m3", "volume_uuid": "0123456789abcdef"},
            {"barcode": None, "medium_serial": "m4", "volume_uuid": None},
            {"barcode": None, "medium_serial": "m5", "volume_uuid": None},
            {"barcode": "B00002L9", "medium_serial": "m6", "volume_uuid": "u6"},
        )):  # fmt: skip
            medium = {**OURS, **told}
            made = tape(session, medium, f"20261101T000000Z-1{number}")
            assert cartridges.recognise(session, medium) is made
            names.append(made.tape_id)
        assert names == [
            f"{label}-B00002L9", f"{label}-0123456789ab", f"{label}-2", f"{label}-3", f"{label}-4",
        ]  # fmt: skip


def test_an_empty_tape_may_be_one_whose_row_has_nothing_on_it(database: Database) -> None:
    """Where nothing but its label tells it: what was on earlier generations, or is on other tapes, does not
    count."""
    bare = {"state": "formatted", "label": OURS["label"], "empty": True}
    with database.transaction() as session:
        ours = tape(session, {**bare, "empty": False})
        tape(session, {**SECOND, "label": "TP20200101"}, "20261101T000000Z-0002")
        assert cartridges.recognise(session, bare) is None
        assert cartridges.recognise(session, {**bare, "empty": False}) is ours
        ours.generation += 1
        session.flush()
        assert cartridges.recognise(session, bare) is ours


@pytest.mark.parametrize(
    ("known", "shown"), [("medium_serial", "volume_uuid"), ("volume_uuid", "medium_serial")]
)
def test_a_label_tells_no_tape_that_shows_something_better(
    database: Database, known: str, shown: str
) -> None:
    """A row that has another kind of mark only may be of another tape: the label does not join the two."""
    bare: dict[str, Any] = {"state": "formatted", "label": OURS["label"], "empty": False}
    with database.transaction() as session:
        ours = tape(session, {**bare, known: "x1"})
        assert cartridges.recognise(session, {**bare, shown: "x9"}) is None
        assert cartridges.recognise(session, bare) is ours


@pytest.mark.parametrize("name", ["medium_serial", "volume_uuid", "barcode"])
def test_each_mark_tells_its_cartridge_under_another_label(database: Database, name: str) -> None:
    """Relabelled by hand since; the rows beside it have other marks."""
    bare = {"state": "formatted", "label": "TP20200101", "empty": False}
    with database.transaction() as session:
        ours = tape(session, {**bare, name: "mine"})
        for number, mark in enumerate(("medium_serial", "volume_uuid", "barcode")):
            other = {**bare, "label": f"TP2020020{number + 1}", mark: f"x{number}"}
            tape(session, other, f"20261101T000000Z-2{number}")
        assert cartridges.recognise(session, {**bare, "label": "TP20200301", name: "mine"}) is ours
        assert cartridges.recognise(session, {**bare, "label": "TP20200301", name: "nobody's"}) is None


def test_of_two_with_one_barcode_the_one_seen_last_is_meant(database: Database) -> None:
    """A library gives it to another cartridge when one is taken out of use."""
    medium = {"state": "formatted", "label": None, "empty": False, "barcode": "A00001L9"}
    with database.transaction() as session:
        rows = [
            tape(session, {**medium, "label": f"TP2020010{n}", "barcode": f"B{n}"}, f"20261101T000000Z-3{n}")
            for n in (1, 2)
        ]
        for newer, older in (rows, rows[::-1]):
            for row in rows:
                row.barcode = "A00001L9"
            newer.updated_at, older.updated_at = now(), now() - timedelta(days=1)
            session.flush()
            assert cartridges.recognise(session, medium) is newer


def test_a_label_tells_the_row_that_has_it_for_a_name_first(database: Database) -> None:
    """Though another that has it on its tape was seen since; that one where no row is named so."""
    bare = {"state": "formatted", "label": "TP20200101", "empty": False}
    with database.transaction() as session:
        named, labelled = (
            tape(session, {**bare, "label": f"TP2020020{n}"}, f"20261101T000000Z-4{n}") for n in (1, 2)
        )
        labelled.label, labelled.updated_at = bare["label"], now() + timedelta(days=1)
        session.flush()
        assert cartridges.recognise(session, bare) is labelled
        named.tape_id = bare["label"]
        session.flush()
        assert cartridges.recognise(session, bare) is named
        assert cartridges.labelled(session, bare["label"], bare) is named


def test_a_format_is_recorded_on_the_row_of_its_permit(database: Database) -> None:
    """Whatever the drive shows of the tape before and after; without one, on the row that it is known by."""
    with database.transaction() as session:
        ours, other = two(session)
        after = {**NEW, "state": "formatted", "label": "TP20261101", "medium_serial": None, "barcode": None}
        assert cartridges.formatted(session, ours.id, NEW, after, permit_id=7) is ours
        assert cartridges.formatted(session, None, NEW, {**after, "volume_uuid": "u8"}, permit_id=8) is other
