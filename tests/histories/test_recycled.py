"""The path of a recycled tape, in November 2025."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from db import views
from db.errors import NotFound
from db.models import BackupSet, FormatPermit, Notification, Options, TapeCartridge
from db.runs import transitions
from db.sets import restores
from db.states import RunState
from db.tapes import cartridges
from notify.words import Words
from policy.message import Message
from tape.virtual import record as virtual_record
from tests import cartridges as on_the_shelf
from tests.histories import checks
from tests.histories.machinery.shelf import Cartridge
from tests.histories.world import Parts, World

NOVEMBER = datetime(2025, 11, 1, 9, tzinfo=UTC)
OLD = Cartridge("OLD", "TP20241015", kept_for=timedelta(days=-10))
SHELF = (OLD, Cartridge("TORN", torn=True), Cartridge("FOREIGN", "FAMILY-PHOTOS", foreign=True))
CHANGE_IT = "当前磁带非当月，请更换磁带后重试"


@pytest.fixture
def world(parts: Parts) -> Iterator[World]:
    """A tape of October 2024 that is known and past retention, an unreadable one, and a foreign one."""
    made = World(parts)
    made.set_up({"tape0": SHELF}, first_day=NOVEMBER)
    yield made
    made.close()


def back_up(world: World, tape: str, policy: str, **options: Any) -> Any:
    """A full backup of a schedule with a tape policy, with this tape in the drive; the run as it ended."""
    world.schedule("monthly", "tape0", "one", tape_policy=policy, retention_days=365)
    world.insert("tape0", tape)
    run_id = world.begin("monthly", Options(**options))
    world.drain()
    checks.check(world)
    with world.session() as session:
        return transitions.get(session, run_id)


def story(world: World, run_id: int) -> str:
    with world.session() as session:
        told = views.events_json(session, run_id)
    return "\n".join(str(Message.from_json(event["message"])) for event in told)


def test_an_expired_tape_of_last_year_becomes_this_months(world: World) -> None:
    """Permit with its reasons, label asked for TP20251101, format, label read back; the same cartridge's row
    is TP20251101 then, one generation more; its old set is destroyed and still listed as such. A second full
    backup in the month appends."""
    with world.session() as session:
        before = session.scalars(select(TapeCartridge)).one()
        old = session.scalars(select(BackupSet)).one()
        assert (before.tape_id, before.label) == ("TP20241015", "TP20241015")
    first = back_up(world, "OLD", "rotate")
    assert first.state is RunState.SUCCEEDED, story(world, first.id)
    assert list(world.ledger.formats.values()) == ["OLD"]
    with world.session() as session:
        permit = session.scalars(select(FormatPermit)).one()
        assert (permit.allowed, permit.label, permit.sets_lost) == (True, "TP20251101", [old.id])
        [reason] = permit.reasons
        assert "Every set on tape TP20241015 may be lost: 1 sets." in str(Message.from_json(reason))
        assert permit.consumed_at
        assert permit.consumed_at < permit.outcome_at
        after = session.scalars(select(TapeCartridge)).one()
        assert (after.id, after.tape_id, after.label) == (before.id, "TP20251101", "TP20251101")
        assert (after.generation, after.permit_id) == (before.generation + 1, permit.id)
        listed = {each["id"]: each["state"] for each in views.tape_json(session, after)["sets"]}
        assert listed == {old.id: "destroyed", first.set_id: "complete"}
        with pytest.raises(
            NotFound, match=f"Set {old.id} is destroyed: its tape was formatted on 2025-11-01"
        ):
            restores.plan(session, old.id, None)
        assert not cartridges.labels_of_others(session, {**permit.identity, "empty": False})
    told = story(world, first.id)
    for line in (
        "Label before the format: TP20241015.",
        "Label asked for: TP20251101.",
        "Label read back: TP20251101.",
        "TP20241015 → TP20251101, label TP20251101",
    ):
        assert line in told

    second = back_up(world, "OLD", "rotate")
    assert second.state is RunState.SUCCEEDED
    assert len(world.ledger.formats) == 1
    assert "holds this month's data: the backup is appended" in story(world, second.id)
    world.settle()
    checks.check_end(world)


def test_the_same_tape_is_refused_where_only_this_months_will_do(world: World) -> None:
    """With current_month: the words that operators know, and not a byte of the tape is touched."""
    folder = world.drive_path("tape0") / "cartridges" / "OLD"
    before = on_the_shelf.sealed(folder)
    refused = back_up(world, "OLD", "current_month")
    assert refused.state is RunState.FAILED
    said = Words("zh_CN").text(Message.from_json(refused.reason))
    assert said.startswith(CHANGE_IT)
    assert "TP20241015" in said
    assert "TP202511" in said
    assert on_the_shelf.sealed(folder) == before
    with world.session() as session:
        assert session.scalars(select(FormatPermit)).all() == []
        assert "failed" in session.scalars(select(Notification.event)).all()


@pytest.mark.parametrize("tape", ["TORN", "FOREIGN"])
def test_an_unreadable_and_a_foreign_tape_are_refused(world: World, tape: str) -> None:
    """Neither is blank, whatever the policy."""
    folder = world.drive_path("tape0") / "cartridges" / tape
    before = on_the_shelf.sealed(folder)
    refused = back_up(world, tape, "rotate")
    assert refused.state is RunState.FAILED
    assert Words("zh_CN").text(Message.from_json(refused.reason)).startswith(CHANGE_IT)
    assert world.ledger.formats == {}
    assert on_the_shelf.sealed(folder) == before


OLD_SET = f"20300301T000000Z-{b'OLD'.hex()}"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sets/20251030T020000Z-beef/data-000001.tar", "does not know: 20251030T020000Z-beef"),
        ("photos/1998.jpg", "Tapeline has not written: photos"),
        ("budget.xlsx", "Tapeline has not written: budget.xlsx"),
        (f"sets/{OLD_SET}/holiday.jpg", f"Tapeline has not written: sets/{OLD_SET}/holiday.jpg"),
    ],
)
@pytest.mark.parametrize("named", [None, "TP20241015"])
def test_what_the_catalogue_does_not_know_is_not_formatted_away(
    world: World, name: str, reason: str, named: str | None
) -> None:
    """Sets that an older database does not have, and strangers' files on an expired tape of ours: they are
    named, and no label that an operator names lifts what he was not told of."""
    folder = world.drive_path("tape0") / "cartridges" / "OLD"
    later = folder / virtual_record.VOLUME / name
    later.parent.mkdir(parents=True, exist_ok=True)
    later.write_bytes(b"kept for ever")
    with virtual_record.editing(folder) as record:
        assert record.volume
        record.volume.files[name] = later.stat().st_size
    refused = back_up(world, "OLD", "rotate", **({"erase_label": named} if named else {}))
    assert refused.state is RunState.FAILED
    assert reason in str(Message.from_json(refused.reason))
    assert world.ledger.formats == {}
    assert later.read_bytes() == b"kept for ever"
