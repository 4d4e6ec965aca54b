"""What follows what: gathered by two statements, and the same as asked for set by set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from db.engine import Database
from db.errors import NotFound
from db.models import BackupArchive, BackupSet, ChainRun, ScheduledTask, TapeCartridge
from db.schedules import schedules
from db.sets import lineage, parents
from db.states import BackupType, Kind, RunState, Trigger
from db.tapes import cartridges, drives, kin, risk
from db.tapes.facts import Inside, LoadedTapes
from policy.tapes import retention
from policy.tapes.facts import CartridgeState, SetState, TapeFacts, TapePolicy
from policy.tapes.permit import FormatFacts
from policy.tapes.verdict import Answer, Question, judge
from tests import many_sets, statements
from tests.many_sets import BEGAN, MEDIUM

NOW = BEGAN + timedelta(days=30)


@dataclass
class Slowly:
    """The rules on what a set is kept for, from the rows, one question after the other."""

    session: Session

    def may_be_lost(self, stored: BackupSet) -> bool:
        return stored.state is SetState.DESTROYED or (self.is_past(stored) and not self.is_needed(stored))

    def is_past(self, stored: BackupSet) -> bool:
        if stored.expired_at is not None:
            return True
        if stored.template_id is None or stored.run_id is None or stored.is_restored:
            return False
        newer = self.newer(stored)
        return retention.is_past(stored.retention_until, NOW, keep_sets=stored.keep_sets, newer=newer)

    def is_needed(self, stored: BackupSet) -> bool:
        """Whether something that must not be lost follows it, directly or by way of others."""
        seen: set[str] = set()
        waiting = [*self.followers(stored)]
        while waiting:
            follower = waiting.pop()
            if follower.id in seen:
                continue
            seen.add(follower.id)
            if follower.state is not SetState.DESTROYED and not self.is_past(follower):
                return True
            waiting += self.followers(follower)
        return False

    def followers(self, stored: BackupSet) -> Iterator[BackupSet]:
        for other in self.session.scalars(select(BackupSet)):
            templates = {other.template_id, stored.template_id}
            is_astray = other.type is not BackupType.FULL and other.parent_id is None
            may_follow = other.started_at > stored.started_at and (None in templates or len(templates) == 1)
            if other.parent_id == stored.id or (is_astray and may_follow):
                yield other

    def newer(self, stored: BackupSet) -> int:
        query = select(func.count()).where(
            BackupSet.template_id == stored.template_id,
            BackupSet.type == stored.type,
            BackupSet.state == SetState.COMPLETE,
            or_(BackupSet.damaged.is_(None), BackupSet.damaged == 0),
            BackupSet.started_at > stored.started_at,
            ~risk.at_risk(),
        )
        return self.session.scalars(query).one()

    def is_newest_full(self, stored: BackupSet) -> bool:
        if stored.type is not BackupType.FULL or stored.template_id is None or stored.damaged:
            return False
        is_from_elsewhere = stored.run_id is None or stored.is_restored
        if not (
            stored.state is SetState.COMPLETE or (stored.state is SetState.INCOMPLETE and is_from_elsewhere)
        ):
            return False
        row = self.session.scalars(
            select(ScheduledTask).where(ScheduledTask.template_id == stored.template_id)
        ).one()
        return row.archived_at is None and self.newer(stored) == 0

    def is_sealed(self, stored: BackupSet) -> bool:
        archives = select(BackupArchive).where(BackupArchive.set_id == stored.id)
        return stored.state is SetState.COMPLETE or self.session.scalar(archives) is not None


SETS = st.fixed_dictionaries(
    {
        "template": st.sampled_from(["files", "mail", "removed", None]),
        "type": st.sampled_from(["full", "incremental", "differential"]),
        "day": st.integers(0, 6),
        "parent": st.sampled_from([None, 0, 1, 2, 3, 4, 5]),
        "tape": st.sampled_from([0, 1, None]),
        "archived": st.sampled_from([0, 1, None]),
        "state": st.sampled_from(["complete", "complete", "complete", "incomplete", "writing", "destroyed"]),
        "retention_until": st.sampled_from([BEGAN, BEGAN, BEGAN, NOW + timedelta(days=1), None]),
        "keep_sets": st.sampled_from([None, None, 1, 2]),
        "expired_at": st.sampled_from([None, None, None, BEGAN]),
        "damaged": st.sampled_from([None, None, 0, 1]),
        "home": st.sampled_from([None, None, None, "another"]),
        "has_run": st.sampled_from([True, True, True, False]),
        "period": st.sampled_from([None, None, "2025"]),
    }
)


@pytest.fixture
def shelf(database: Database) -> Database:
    """Three schedules, one of them removed; two tapes; one is formatted just now."""
    with database.transaction() as session:
        for name in ("files", "mail", "removed"):
            schedules.put(session, name, drive="tape0", sources=["/data"])
        schedules.get(session, "removed").archived_at = BEGAN
        many_sets.a_tape(session)
        many_sets.a_tape(session, "TP20250102", "2")
    return database


def build(session: Session, world: list[dict[str, Any]]) -> None:
    templates = dict(session.execute(select(ScheduledTask.name, ScheduledTask.template_id)).all())
    tapes = session.scalars(select(TapeCartridge).order_by(TapeCartridge.id)).all()
    for number, given_ in enumerate(world):
        facts = dict(given_)
        on, archived = (
            None if each is None else tapes[each] for each in (facts.pop("tape"), facts.pop("archived"))
        )
        facts["template_id"] = templates.get(facts.pop("template"))
        facts["started_at"] = BEGAN + timedelta(days=facts.pop("day"))
        facts.pop("parent")
        facts["type"], facts["state"] = BackupType(facts["type"]), SetState(facts["state"])
        if facts.pop("has_run"):
            facts["run_id"] = a_run(session).id
        if facts["home"] is None:
            facts.pop("home")
        stored = BackupSet(
            id=f"S{number}", sources=[], cartridge_id=on.id if on else None, generation=1, **facts
        )
        session.add(stored)
        session.flush()
        if archived is not None:
            session.add(an_archive(stored.id, archived))
    for number, given_ in enumerate(world):
        parent = given_["parent"]
        if parent is not None and parent < len(world) and parent != number and given_["type"] != "full":
            session.execute(
                update(BackupSet).where(BackupSet.id == f"S{number}").values(parent_id=f"S{parent}")
            )
    session.expire_all()


def a_run(session: Session) -> ChainRun:
    run = ChainRun(
        kind=Kind.BACKUP, trigger=Trigger.MANUAL, state=RunState.CANCELLED, drive="tape9", due_at=BEGAN,
        queued_at=BEGAN, finished_at=BEGAN, part=1,
    )  # fmt: skip
    session.add(run)
    session.flush()
    return run


def an_archive(of: str, on: TapeCartridge) -> BackupArchive:
    return BackupArchive(
        set_id=of, number=1, cartridge_id=on.id, generation=1, name="x", bytes=1, sha256="", files=0,
        content_bytes=0, record={},
    )  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=st.lists(SETS, min_size=1, max_size=6), at_risk=st.booleans())
def test_the_facts_are_those_that_the_rows_give_one_by_one(
    shelf: Database, world: list[dict[str, Any]], at_risk: bool
) -> None:
    """Whatever follows what, in circles too: the same sets may be lost, and of each the same is known."""
    with shelf.transaction() as session:
        build(session, world)
        if at_risk:
            tape = cartridges.find(session, "TP20250102")
            assert tape
            cartridges.mark(session, tape.id, CartridgeState.UNKNOWN)
        slowly = Slowly(session)
        found = kin.Family(session, select(BackupSet.id)).facts
        for stored in session.scalars(select(BackupSet)):
            facts = found[stored.id]
            assert facts.may_be_lost(NOW) == slowly.may_be_lost(stored), stored.id
            assert facts.is_past(NOW) == slowly.is_past(stored), stored.id
            assert facts.is_newest_full == slowly.is_newest_full(stored), stored.id
            assert facts.is_sealed == slowly.is_sealed(stored), stored.id
            if stored.keep_sets is not None and stored.template_id is not None:
                assert facts.newer == min(slowly.newer(stored), stored.keep_sets), stored.id
            needing = facts.needed_by(NOW)
            assert (needing is not None) == (slowly.is_needed(stored) or needing is facts), stored.id
        known = cartridges.tape_facts(session, MEDIUM).known
        assert known
        assert {each.id: each.may_be_lost(NOW) for each in known.sets} == {
            f"S{number}": found[f"S{number}"].may_be_lost(NOW)
            for number, each in enumerate(world)
            if 0 in (each["tape"], each["archived"])
        }
        session.rollback()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=st.lists(SETS, min_size=1, max_size=6), at_risk=st.booleans())
def test_many_tapes_and_templates_are_asked_about_as_one_by_one(
    shelf: Database, world: list[dict[str, Any]], at_risk: bool
) -> None:
    """What the next sets follow, the tapes in the drives, and the few sets that decide about a tape."""
    with shelf.transaction() as session:
        build(session, world)
        tapes = session.scalars(select(TapeCartridge).order_by(TapeCartridge.id)).all()
        if at_risk:
            cartridges.mark(session, tapes[1].id, CartridgeState.UNKNOWN)
        media = {
            "one": MEDIUM,
            "two": {**MEDIUM, "label": "TP20250102", "volume_uuid": "u2", "medium_serial": "m2"},
        }
        for name, medium in media.items():
            drives.register(session, name=name, driver="virtual", host="h", worker="w", queue=name)
            drives.looked(session, name, medium)
        session.flush()
        rows = schedules.present(session)
        together = parents.newest_whole(session, {row.template_id for row in rows})
        for row in rows:
            for kind in (BackupType.INCREMENTAL, BackupType.DIFFERENTIAL):
                with suppress(NotFound):  # A chain that follows itself.
                    alone = lineage.parent_for(session, row.template_id, kind)
                    assert together.get((row.template_id, kind)) == (alone.id if alone else None)
        inside = Inside(session, LoadedTapes(session, look=False))
        for name, medium in media.items():
            assert inside.tapes[name][1] == cartridges.tape_facts(session, medium), name
        whole, brief = LoadedTapes(session), LoadedTapes(session, look=False)
        brief.look_briefly(session, [tape.id for tape in tapes], NOW, "2025")
        for tape in tapes:
            bound = brief.bounds(session)[tape.id]
            sets = whole.known(tape.id).sets
            assert max([each.kept_until for each in sets], default=bound.kept_until) >= bound.kept_until
            assert all(each.started_at <= bound.begun or each.is_sealed for each in sets)
            assert _answer(whole.facts(tape.id)) == _answer(brief.facts(tape.id))
        session.rollback()


def _answer(tape: TapeFacts) -> Answer:
    facts = FormatFacts(
        tape, tape.identity, TapePolicy.parse("rotate"), now_local=NOW, run_id=None, period="2025"
    )
    return judge(Question(facts, begins=True)).answer


@pytest.mark.parametrize("kind", ["increments", "full sets", "sets of which nobody knows what they follow"])
def test_the_facts_of_a_tape_are_asked_for_in_as_many_statements_whatever_is_on_it(
    database: Database, kind: str
) -> None:
    """Nine sets or four hundred; five statements at most."""
    asked = {}
    for length in (9, 400):
        with database.transaction() as session:
            many_sets.a_chain(session, many_sets.a_tape(session), length)
            if kind != "increments":
                session.execute(update(BackupSet).values(parent_id=None, keep_sets=3))
            if kind == "full sets":
                session.execute(update(BackupSet).values(type=BackupType.FULL))
            with statements.counted(session) as sent:
                known = cartridges.tape_facts(session, MEDIUM).known
            assert known
            assert len(known.sets) == length + 1
            asked[length] = len(sent)
            session.rollback()
    assert asked[9] == asked[400] <= 5


def test_a_chain_of_twenty_thousand_increments_is_judged(database: Database) -> None:
    """The last one keeps them all; once it may be lost, all of them may."""
    with database.transaction() as session:
        template = many_sets.a_chain(session, many_sets.a_tape(session), 20_000)
        last, run = many_sets.set_id(20_000), a_run(session)
        session.execute(update(BackupSet).values(expired_at=BEGAN))
        of_last = update(BackupSet).where(BackupSet.id == last)
        session.execute(of_last.values(expired_at=None, run_id=run.id))
        known = cartridges.tape_facts(session, MEDIUM).known
        assert known
        assert [len(known.sets), template] == [20_001, known.sets[0].template_id]
        assert all(each.may_be_lost(NOW) for each in known.sets)
        session.execute(of_last.values(retention_until=NOW + timedelta(days=1)))
        known = cartridges.tape_facts(session, MEDIUM).known
        assert known
        assert not any(each.may_be_lost(NOW) for each in known.sets)
        needing = known.sets[0].needed_by(NOW)
        assert needing
        assert needing.id == many_sets.set_id(1)
