"""What ``run_backup`` writes on, and what it follows: its own look, whoever looked before."""

from __future__ import annotations

from datetime import UTC, datetime
from types import NoneType
from typing import Any

import pytest
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import BackupArchive, BackupSet, BackupTask, ChainRun, TapeCartridge, now
from db.runs import admission, starting
from db.schedules import schedules
from db.sets import catalog
from db.states import BackupType, RecordState, Trigger
from db.tapes import cartridges, permits
from policy.sources import Survey
from policy.tapes.facts import CartridgeState, SetState
from tape.drive import Medium, MediumState
from tasks.drive import tape_rules
from tasks.steps import run_backup
from tasks.work import WrongTape
from tasks.writing.target import ParentGone, target_of
from tests.integration.db.tapes.test_permits import ALLOWED

WRITTEN = datetime(2026, 11, 1, 2, tzinfo=UTC)
SOUND = {CartridgeState.ACTIVE, CartridgeState.FULL}


def a_run(session: Session, **record: Any) -> ChainRun:
    """A run that has come as far as its record."""
    schedule = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
    assert starting.start(session, schedule, due_at=now(), trigger=Trigger.MANUAL)
    run = admission.admit(session, "tape0")
    assert run
    facts = {"is_template": False, "template_id": schedule.template_id, "run_id": run.id, "name": "monthly"}
    facts |= {"type": BackupType.FULL, "sources": ["/data"], "state": RecordState.PENDING}
    session.add(BackupTask(**facts | record))
    session.flush()
    return run


def this_months(run: ChainRun, **told: Any) -> Medium:
    """A volume of this month that the policy lets a run append to."""
    facts = {"label": f"TP{tape_rules.local_now(run):%Y%m}01", "volume_uuid": "u1", "empty": False}
    return Medium(MediumState.FORMATTED, **facts | told)


def row_of(session: Session, medium: Medium, **facts: Any) -> TapeCartridge:
    cartridge, _ = cartridges.update_label(session, original=None, medium=medium.to_json())
    for name, value in facts.items():
        setattr(cartridge, name, value)
    session.flush()
    return cartridge


def a_set(session: Session, cartridge: TapeCartridge, set_id: str, **facts: Any) -> BackupSet:
    """A set with an archive on the present generation of a cartridge."""
    here = {"cartridge_id": cartridge.id, "generation": cartridge.generation}
    values = {
        "type": BackupType.FULL,
        "state": SetState.COMPLETE,
        "sources": ["/data"],
        "started_at": WRITTEN,
    }
    stored = BackupSet(**{"id": set_id, "finished_at": WRITTEN, **values, **here, **facts})
    catalog.add_set(session, stored)
    numbers = {"number": 1, "bytes": 1, "files": 0, "content_bytes": 0}
    catalog.add_archive(
        session, BackupArchive(set_id=set_id, name="x", sha256="", record={}, **numbers, **here), []
    )
    session.refresh(stored)
    return stored


@pytest.mark.parametrize("is_formatted", [True, False], ids=["formatted by this run", "appended to"])
@pytest.mark.parametrize("state", CartridgeState)
def test_only_a_sound_cartridge_is_written(
    database: Database, state: CartridgeState, is_formatted: bool
) -> None:
    """Marked since precheck saw it: its row is looked at again, also after this run's own format. Nothing is
    appended to a full one."""
    with database.transaction() as session:
        run = a_run(session)
        medium = this_months(run)
        row_of(session, medium, state=state)
        if is_formatted:
            permit = permits.store(session, run, {"state": "blank"}, str(medium.label), ALLOWED)
            permits.consume(session, permit.id, now())
            permits.close(session, permit.id, {"ok": True, "started": True, "after": medium.to_json()})
        found = run_backup._refusal(session, run, medium)
        is_written = state in SOUND and (is_formatted or state is not CartridgeState.FULL)
        assert isinstance(found, NoneType if is_written else WrongTape)


@pytest.mark.parametrize("state", SetState)
@pytest.mark.parametrize("broken", ["parent", "its parent"])
def test_an_increment_follows_whole_sets_alone(database: Database, state: SetState, broken: str) -> None:
    """Each set that it stands on is complete when it begins to write, however long the run has waited: else
    the backup is a full one, unless it was begun."""
    with database.transaction() as session:
        elsewhere = row_of(session, Medium(MediumState.FORMATTED, label="TP20261001", volume_uuid="u0"))
        full = a_set(session, elsewhere, "20261001T020000Z-0001")
        kind = BackupType.INCREMENTAL
        last = a_set(session, elsewhere, "20261002T020000Z-0001", type=kind, parent_id=full.id)
        (last if broken == "parent" else full).state = state
        run = a_run(session, type=kind, parent_id=last.id)
        medium = this_months(run)
        row_of(session, medium)
        assert run_backup._refusal(session, run, medium) is None
        found = target_of(session, run, medium)
        assert found.request.parent == (last.id if state is SetState.COMPLETE else None)
        assert found.request.type == ("incremental" if state is SetState.COMPLETE else "full")
        found.enter(session, run, Survey("rules", ()), [])
        (last if broken == "parent" else full).state = SetState.DESTROYED
        session.flush()
        refused = run_backup._refusal(session, run, medium)
        assert isinstance(refused, ParentGone if state is SetState.COMPLETE else NoneType)


@pytest.mark.parametrize("told", [{}, {"volume_uuid": None}], ids=["a volume that is told", "a label alone"])
@pytest.mark.parametrize("formatted_since", [False, True])
def test_a_set_goes_on_on_its_own_generation(
    database: Database, told: dict[str, None], formatted_since: bool
) -> None:
    """Formatted since, a cartridge has nothing of the set, whatever its label and its row."""
    with database.transaction() as session:
        run = a_run(session)
        medium = this_months(run, **told)
        cartridge = row_of(session, medium)
        stored = a_set(session, cartridge, "20261101T020000Z-0001", state=SetState.WRITING, run_id=run.id)
        run.set_id = stored.id
        cartridge.generation += formatted_since
        session.flush()
        found = run_backup._refusal(session, run, medium)
        assert isinstance(found, WrongTape if formatted_since else NoneType)


def test_a_set_goes_on_on_its_own_tape(database: Database) -> None:
    """Another one of this month would do for a new set, and not for this one."""
    with database.transaction() as session:
        run = a_run(session)
        stored = a_set(
            session, row_of(session, this_months(run)), "20261101T020000Z-0001", state=SetState.WRITING
        )
        run.set_id = stored.id
        other = this_months(run, label=f"TP{tape_rules.local_now(run):%Y%m}02", volume_uuid="u2")
        row_of(session, other)
        assert isinstance(run_backup._refusal(session, run, other), WrongTape)
