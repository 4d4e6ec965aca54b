"""The rules by which a run takes or refuses a tape, from the rows that they are asked about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import BackupSet, ChainRun, Options, TapePool, now
from db.runs import admission, starting, transitions
from db.schedules import calendar, planner, schedules
from db.states import BackupType, RunState, Trigger
from db.tapes import cartridges, permits
from policy.message import M
from policy.tapes.facts import CartridgeState, SetState
from policy.tapes.medium import MediumReport
from policy.tapes.permit import Decision
from policy.times.period import ScheduleType
from tasks.drive import tape_rules
from tasks.preview.prechecks import of_the_tape

LAST_YEAR = datetime(2025, 11, 1, 2, tzinfo=UTC)
WITHOUT_LABEL = {"state": "formatted", "label": None, "medium_serial": "m1", "empty": False}


def run_at_tape0(session: Session, **options: Any) -> ChainRun:
    """A run by hand that has the drive."""
    row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
    assert starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL, options=Options(**options))
    run = admission.admit(session, "tape0")
    assert run
    return run


def full_and_kept(session: Session, medium: MediumReport) -> None:
    """The cartridge of a medium is full, and a set on it is kept for ever."""
    row, _ = cartridges.update_label(session, original=None, medium={**medium, "label": "TP20251101"})
    row.state = CartridgeState.FULL
    session.add(
        BackupSet(
            id="20251101T020000Z-0001",
            type=BackupType.FULL,
            state=SetState.COMPLETE,
            sources=["/"],
            started_at=LAST_YEAR,
            finished_at=LAST_YEAR,
            cartridge_id=row.id,
            generation=row.generation,
        )
    )
    session.flush()


@pytest.mark.parametrize("named", [{}, {"erase_label": "TP20251101"}])
def test_a_full_tape_without_a_label_is_refused_as_full(database: Database, named: dict[str, str]) -> None:
    """Where nobody has named a label, a tape that has none is not the one that was named."""
    with database.transaction() as session:
        full_and_kept(session, WITHOUT_LABEL)
        run = run_at_tape0(session, **named)
        wrong = tape_rules.refusal(session, run, cartridges.tape_facts(session, WITHOUT_LABEL), WITHOUT_LABEL)
        assert "is full" in str(wrong)


def test_a_full_tape_that_was_named_is_no_longer_too_full(database: Database) -> None:
    """The operator has said that what is on it may go."""
    said = {**WITHOUT_LABEL, "label": "TP20251101"}
    with database.transaction() as session:
        full_and_kept(session, said)
        run = run_at_tape0(session, erase_label="TP20251101")
        assert tape_rules.refusal(session, run, cartridges.tape_facts(session, said), said) is None


@pytest.mark.parametrize(("policy", "pool", "reason"), [
    ("current_month", None, "is not this month's"),
    ("pool:offsite", None, "is not of pool 'offsite'"),
    ("pool:offsite", "yearly", "is not of pool 'offsite'"),
    ("current_month", "yearly", "is kept for pool 'yearly'"),
])  # fmt: skip
def test_a_tape_is_refused_for_what_is_wrong_with_it(
    database: Database, policy: str, pool: str | None, reason: str
) -> None:
    """Where the pool is the reason, another tape of this month would be refused as well."""
    said = {**WITHOUT_LABEL, "label": "TP20251101"}
    with database.transaction() as session:
        row, _ = cartridges.update_label(session, original=None, medium=said)
        row.pool = TapePool(name=pool) if pool else None
        run = run_at_tape0(session)
        assert run.schedule
        run.schedule.tape_policy = policy
        session.flush()
        wrong = str(tape_rules.refusal(session, run, cartridges.tape_facts(session, said), said))
        assert reason in wrong
        assert "TP20251101; expected: " in wrong


def written_and_relabelled(session: Session, run: ChainRun, serial: str, new: str | None = None) -> str:
    """A blank tape gets the label that a permit gives it; ``new``: and another one by hand later. Nothing
    writes on it any more."""
    said = {**WITHOUT_LABEL, "state": "blank", "medium_serial": serial}
    label = permits.label_for(session, run, said, tape_rules.local_now(run))
    permit = permits.store(session, run, said, label, Decision(True, (), (M("blank"),), ()))
    permits.consume(session, permit.id, now())
    permits.close(session, permit.id, {"ok": True})
    written = {**said, "state": "formatted", "label": new or label}
    row, _ = cartridges.update_label(session, original=None, medium=written)
    cartridges.mark(session, row.id, CartridgeState.RETIRED)
    transitions.transition(session, run, RunState.FAILED)
    return label


def test_whoever_names_the_label_of_the_next_tape_names_the_one_that_it_gets(database: Database) -> None:
    """The refusal of a full tape, the calendar and the format: people write it on the cartridge. The label of
    a tape that was relabelled by hand stays its own: it is on its case still."""
    with database.transaction() as session:
        first = run_at_tape0(session)
        month = f"TP{tape_rules.local_now(first):%Y%m}"
        assert written_and_relabelled(session, first, "m1", "TP20200101") == f"{month}01"
        assert written_and_relabelled(session, run_at_tape0(session), "m2") == f"{month}02"
        run = run_at_tape0(session)
        local = tape_rules.local_now(run)
        full = {**WITHOUT_LABEL, "medium_serial": "m3"}
        full_and_kept(session, full)
        wrong = tape_rules.refusal(session, run, cartridges.tape_facts(session, full), full)
        given = permits.label_for(
            session, run, {**WITHOUT_LABEL, "state": "blank", "medium_serial": "m4"}, local
        )
        assert given == f"{month}03"
        assert f"it becomes {given}." in str(wrong)
        # A run that is due at once: the calendar's next tape is the one that the message names.
        assert run.schedule
        each_minute(session, run.schedule.time_zone)
        moment = now()
        [ahead, *_] = calendar.entries(session, moment, moment + timedelta(minutes=2))
        assert (ahead.tape_id, ahead.label) == (None, given)
        # A tape that was relabelled gets its own label back, and no other.
        back = {**WITHOUT_LABEL, "label": "TP20200101", "medium_serial": "m1"}
        assert permits.label_for(session, run, back, local) == f"{month}01"


def each_minute(session: Session, time_zone: str) -> None:
    """A schedule that fires each minute, in another drive that is empty."""
    row = schedules.put(
        session, "each minute", drive="tape1", sources=["/data"], schedule_type=ScheduleType.INTERVAL,
        schedule_config={"every": "1m"}, time_zone=time_zone,
    )  # fmt: skip
    planner.plan(row, now())


def test_an_empty_drive_is_told_so_and_not_of_a_wrong_month(database: Database) -> None:
    """What is missing and what to insert, once; by the precheck of a run and by the permit alike."""
    nothing = {"state": "no_medium", "label": None}
    with database.transaction() as session:
        run = run_at_tape0(session)
        told = str(tape_rules.refusal(session, run, cartridges.tape_facts(session, nothing), nothing))
        month = f"TP{tape_rules.local_now(run):%Y%m}xx"
    assert told == f"There is no tape in drive tape0. Insert a blank tape, or one labelled {month}."


def test_a_switch_that_is_set_is_moved_where_the_tape_would_do_otherwise(database: Database) -> None:
    """The tape that was refused is no candidate in its own stead; one of another month stays wrong."""
    with database.transaction() as session:
        run = run_at_tape0(session)
        assert run.schedule
        local = tape_rules.local_now(run)
        protected = [
            {**WITHOUT_LABEL, "label": label, "medium_serial": label, "write_protected": True, "empty": True}
            for label in (f"TP{local:%Y%m}01", f"TP{local:%Y%m}02", "TP20200101")
        ]
        for medium in protected:
            cartridges.update_label(session, original=None, medium=medium)
        first, second, old = protected
        assert tape_rules.is_switch_alone(session, run, first)
        assert not tape_rules.is_switch_alone(session, run, old)
        assert not tape_rules.is_switch_alone(session, run, {**first, "write_protected": False})
        [found] = of_the_tape(session, run.schedule, first, local)
        assert str(found.remedy) == (
            "Move the switch of the tape to writable, or insert a blank tape, or one labelled"
            f" TP{local:%Y%m}xx; of the known tapes: {second['label']}."
        )
        [found] = of_the_tape(session, run.schedule, old, local)
        assert str(found.remedy).startswith("Insert a blank tape")
