"""What runs say of tapes and times: the reason as it is, and what really goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import (
    BackupArchive,
    BackupSet,
    ChainRun,
    ChainStep,
    Notification,
    Options,
    ScheduledTask,
    TapeCartridge,
    now,
)
from db.runs import admission, starting, transitions
from db.schedules import schedules
from db.sets import catalog
from db.states import BackupType, Kind, RunState, Step, Trigger
from db.tapes import cartridges
from notify.facts import Facts
from notify.notice import Composer
from notify.words import Words
from policy.message import M
from policy.tapes import verdict
from policy.tapes.facts import CartridgeState, SetState
from tasks.drive import fill, tape_rules

SET = "20261201T020000Z-4fc6"


def _medium(state: str, label: str | None = None) -> dict[str, Any]:
    return {
        "state": state, "label": label, "volume_uuid": label, "serial": None, "medium_serial": None,
        "barcode": None, "empty": label is None, "capacity": 10**9, "free": 10**8,
    }  # fmt: skip


def _nightly(session: Session) -> tuple[ScheduledTask, TapeCartridge]:
    """Increments, with a full backup that they follow on this month's tape, on which there is no room."""
    row = schedules.put(
        session, "my nightly", drive="tape0", sources=["/data"], time_zone="Asia/Shanghai",
        template={"type": BackupType.INCREMENTAL},
    )  # fmt: skip
    label = f"TP{now():%Y%m}01"
    tape = TapeCartridge(
        tape_id=label, label=label, volume_uuid=label, capacity=10**9, bytes_used=10**9, formatted_at=now(),
        state=CartridgeState.FULL, generation=1,
    )  # fmt: skip
    session.add(tape)
    session.flush()
    catalog.add_set(
        session,
        BackupSet(
            id=SET, template_id=row.template_id, cartridge_id=tape.id, generation=1, type=BackupType.FULL,
            state=SetState.COMPLETE, sources=["/data"], started_at=now(), finished_at=now(),
            retention_until=now() + timedelta(days=400),
        ),
    )  # fmt: skip
    archive = BackupArchive(
        set_id=SET, number=1, cartridge_id=tape.id, generation=1, name="data-000001.tar", bytes=10**9,
        sha256="0", files=1, content_bytes=0, record={},
    )  # fmt: skip
    catalog.add_archive(session, archive, [])
    return row, tape


@pytest.mark.parametrize("state", ["full", "blank"])
def test_an_increment_asks_for_no_tape_that_it_would_refuse(database: Database, state: str) -> None:
    """With a full tape in it did ask for a blank one, and with that in for this month's."""
    with database.transaction() as session:
        row, tape = _nightly(session)
        medium = _medium("blank") if state == "blank" else _medium("formatted", tape.label)
        local = now().astimezone(ZoneInfo(row.time_zone))
        question = tape_rules.question_for(session, row, cartridges.tape_facts(session, medium), local)
        said = tape_rules.refused(session, row, question, verdict.judge(question))
    assert said is not None
    assert said.params["command"] == "tapeline schedule run 'my nightly' --type full"
    assert f"is {state}, and an increment is appended" in said.id
    assert "this month's" not in said.id


def _started(session: Session, kind: Kind = Kind.BACKUP) -> ChainRun:
    row, _ = _nightly(session)
    if kind is Kind.BACKUP:
        starting.start(session, row, due_at=datetime(2026, 12, 1, tzinfo=UTC), trigger=Trigger.MANUAL)
    else:
        starting.start_restore(session, set_id=SET, drive="tape0", options=Options(), requested_by=None)
    run = admission.admit(session, "tape0")
    assert run
    return run


def _said(session: Session, event: str) -> dict[str, Any]:
    found = session.scalars(select(Notification).where(Notification.event == event)).one()
    return dict(found.facts)


def test_what_has_just_begun_took_no_time(database: Database) -> None:
    """A message that a backup has started says nothing of how long it took."""
    with database.transaction() as session:
        _started(session)
        assert _said(session, "started")["seconds"] is None


def test_a_restore_waits_on_the_clock_of_its_schedule(database: Database) -> None:
    """Until when it waits for its next tape: not by UTC, in which nobody reads."""
    with database.transaction() as session:
        run = _started(session, Kind.RESTORE)
        run.wait_until = datetime(2026, 12, 3, 19, 8, tzinfo=UTC)
        transitions.transition(
            session, run, RunState.WAITING_FOR_TAPE, M("The right tape did not come in time.")
        )
        until = _said(session, "waiting_for_tape")["remedy"]["params"]["until"]
    assert until == "2026-12-04 03:08 (Asia/Shanghai)"


def test_a_verification_says_how_much_it_has_read(database: Database) -> None:
    """That it has succeeded is little: files and bytes, as of a backup and a restore."""
    with database.transaction() as session:
        _nightly(session)
        asked = starting.start_verify(session, set_id=SET, drive="tape0", percent=5, requested_by=None)
        run = admission.admit(session, "tape0")
        assert run is asked
        session.get_one(ChainStep, (run.id, 1, Step.VERIFY)).result = {"files": 3, "bytes": 70, "damaged": 0}
        transitions.transition(session, run, RunState.SUCCEEDED)
        facts = _said(session, "success")
    notice = Composer(Words("en")).compose(Facts.from_json(facts))
    assert "Read back: 3 files, 70 B" in notice.plain


def test_the_tape_that_is_nearly_full_is_the_one_in_the_title(database: Database) -> None:
    """The set may lie on others besides."""
    with database.transaction() as session:
        run = _started(session)
        run.set_id = SET
        second = TapeCartridge(
            tape_id="SECOND", label="SECOND", generation=1, bytes_used=0, state=CartridgeState.ACTIVE
        )
        session.add(second)
        session.flush()
        fill.note_fill(session, run, second.id, 1000, 10)
        assert _said(session, "capacity")["label"] == "SECOND"
