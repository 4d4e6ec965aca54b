"""Chains of sets: however long, with the same few statements; and files in one order, whoever sorts them."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update
from sqlalchemy.orm import Session

from backup.source.changes import known
from db import leaps, views
from db.engine import Database
from db.errors import NotFound
from db.models import BackupArchive, BackupSet, TapeCartridge, now
from db.sets import (
    catalog,
    expiry,
    lineage,
    restores,
)
from db.sets.as_json import sets_json
from db.sets.catalog import FileRow
from db.states import BackupType
from policy.paths import order
from policy.tapes.facts import SetState
from tests import many_sets, statements

LONG = 20_000

Question = Callable[[Session, TapeCartridge, str, int], Any]
QUESTIONS: dict[str, Question] = {
    "chain": lambda session, _tape, last, _template: len(lineage.chain(session, last)),
    "tapes": lambda session, _tape, last, _template: [
        tape.tape_id for tape in lineage.tapes(session, last)
    ],
    "parent": lambda session, _tape, _last, template: _id(
        lineage.parent_for(session, template, BackupType.INCREMENTAL)
    ),
    "expected": lambda session, tape, last, _template: len(
        lineage.expected_on(session, lineage.chain(session, last), tape)
    ),
    "plan": lambda session, _tape, last, _template: restores.plan(session, last, None).files,
    "expirable": lambda session, _tape, _last, _template: len(expiry.expirable(session, now())),
    "set": lambda session, _tape, last, _template: shown(session, last)["tapes"],
    "tape": lambda session, tape, _last, _template: len(views.tape_json(session, tape)["sets"]),
    "tapes listed": lambda session, _tape, _last, _template: views.tapes_counted(session)[0]["sets"],
}  # fmt: skip


def shown(session: Session, set_id: str) -> dict[str, Any]:
    return sets_json(session, [catalog.get(session, set_id)])[0]


def _id(stored: BackupSet | None) -> str | None:
    return stored.id if stored else None


def answer(session: Session, question: Question, length: int) -> tuple[Any, int]:
    """What is answered of a chain of so many increments, and with how many statements."""
    tape = many_sets.a_tape(session)
    template = many_sets.a_chain(session, tape, length)
    session.expire_all()
    with statements.counted(session) as sent:
        found = question(session, tape, many_sets.set_id(length), template)
    return found, len(sent)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_long_chain_is_asked_about_with_as_many_statements_as_a_short_one(
    database: Database, name: str
) -> None:
    """A hundred increments or four hundred: the first are more than there are cursors."""
    asked = []
    for length in (100, 400):
        with database.transaction() as session:
            leaps.note(session, now())
            asked.append(answer(session, QUESTIONS[name], length)[1])
            session.rollback()
    most = lineage.CURSORS + 8 if name == "plan" else 8
    assert max(asked) <= most
    assert abs(asked[0] - asked[1]) <= (lineage.CURSORS if name == "plan" else 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chain", LONG + 1),
        ("tapes", ["TP20250101"]),
        ("parent", many_sets.set_id(LONG)),
        ("expected", LONG + 1),
        ("plan", 0),
        ("expirable", LONG + 1),
        ("set", ["TP20250101"]),
        ("tape", LONG + 1),
        ("tapes listed", LONG + 1),
    ],
)
def test_no_answer_is_too_deep(database: Database, name: str, expected: Any) -> None:
    """Two years of hourly increments without a full set between."""
    with database.transaction() as session:
        leaps.note(session, now())
        assert answer(session, QUESTIONS[name], LONG)[0] == expected


def test_a_broken_chain_is_not_followed_however_many_sets_it_has(database: Database) -> None:
    """The newest whole one before the break is; without a whole one, nothing."""
    with database.transaction() as session:
        template = many_sets.a_chain(session, many_sets.a_tape(session), 300)

        def damage(number: int) -> None:
            row = update(BackupSet).where(BackupSet.id == many_sets.set_id(number))
            session.execute(row.values(damaged=1))
            session.expire_all()

        damage(200)
        with statements.counted(session) as sent:
            found = lineage.parent_for(session, template, BackupType.INCREMENTAL)
        assert _id(found) == many_sets.set_id(199)
        assert len(sent) <= 6
        damage(0)
        assert lineage.parent_for(session, template, BackupType.INCREMENTAL) is None


def test_a_set_that_follows_itself_is_named(database: Database) -> None:
    with database.transaction() as session:
        many_sets.a_chain(session, many_sets.a_tape(session), 3)
        full = update(BackupSet).where(BackupSet.id == many_sets.set_id(0))
        session.execute(full.values(parent_id=many_sets.set_id(2)))
        with pytest.raises(NotFound, match="follows itself"):
            lineage.chain(session, many_sets.set_id(3))
        assert shown(session, many_sets.set_id(3))["lost_parent"] is None
        session.rollback()


PARTS = st.sampled_from([b"a", b"b", b"a-", b"a.b", "ä".encode(), b"\xff", b"\x01"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: b"/" + b"/".join(parts))
NAMES = st.lists(PATHS, unique=True, max_size=6)
_numbers = itertools.count()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets=st.lists(NAMES, min_size=2, max_size=5), gone=st.sets(st.integers(0, 20), max_size=3))
def test_files_that_the_server_sorts_are_in_the_order_of_a_set(
    database: Database, monkeypatch: pytest.MonkeyPatch, sets: list[list[bytes]], gone: set[int]
) -> None:
    """A chain whose sets are read together makes up what it does with a cursor for each."""
    with database.transaction() as session:
        tape = many_sets.a_tape(session, f"T{next(_numbers)}", f"{next(_numbers)}")
        parent, place = None, 0
        for day, names in enumerate(sets):
            stored = BackupSet(
                id=f"{many_sets.BEGAN + timedelta(days=day):%Y%m%dT%H%M%SZ}-0001",
                type=BackupType.INCREMENTAL if parent else BackupType.FULL, parent_id=parent, sources=["/"],
                state=SetState.COMPLETE, started_at=many_sets.BEGAN, cartridge_id=tape.id, generation=1,
            )  # fmt: skip
            catalog.add_set(session, stored)
            rows = []
            for name in sorted(names, key=order):
                kind = "deleted" if parent and place in gone else "file"
                text = name.decode("utf-8", "backslashreplace")
                raw = None if text.encode() == name else name
                rows.append(FileRow(len(rows), text, raw, kind, day, place, 0, 0, os.urandom(8)))
                place += 1
            archive = BackupArchive(
                set_id=stored.id, number=1, cartridge_id=tape.id, generation=1, name="x", bytes=1, sha256="",
                files=len(rows), content_bytes=0, record={},
            )  # fmt: skip
            catalog.add_archive(session, archive, rows)
            parent = stored.id
        assert parent
        found = []
        for cursors in (len(sets), 1, 2):
            monkeypatch.setattr(lineage, "CURSORS", cursors)
            live = list(lineage.tree(session, lineage.chain(session, parent)))
            assert [each.path for each in live] == sorted((each.path for each in live), key=order)
            found.append((live, len(written(session, parent))))
        assert found[0][0] == found[1][0] == found[2][0]
        assert (found[0][1], found[1][1], found[2][1]) == (len(sets), 1, -(-len(sets) // -(-len(sets) // 2)))
        [together] = written(session, parent, cursors=1, monkeypatch=monkeypatch)
        keys = [order(known(row).path) for row in together.splitlines(keepends=True)]
        assert keys == sorted(keys)
        session.rollback()


def written(
    session: Session, set_id: str, *, cursors: int = 0, monkeypatch: pytest.MonkeyPatch | None = None
) -> list[bytes]:
    """What an increment would compare with, stream by stream."""
    if monkeypatch is not None:
        monkeypatch.setattr(lineage, "CURSORS", cursors)
    sinks = []
    for write in lineage.known_files(session, set_id):
        sinks.append(io.BytesIO())
        write(sinks[-1])
    return [sink.getvalue() for sink in sinks]
