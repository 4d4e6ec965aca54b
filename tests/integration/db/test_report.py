"""What the report gathers from the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from db import events, failures
from db.engine import Database
from db.models import BackupArchive, BackupSet, ChainRun, TapeCartridge, now
from db.report import gather
from db.schedules import schedules
from db.sets import catalog
from db.states import BackupType, Kind, RunState, Trigger
from policy.tapes.facts import CartridgeState, SetState
from policy.times import report
from policy.times.report import Every
from tests.statements import counted

GB = 10**9
DAY = timedelta(days=1)


def gathered(session: Session, every: Every = Every.WEEK) -> dict[str, Any]:
    moment = now()
    return gather.report(session, every, report.up_to(every, moment), moment, lambda _seen: False)


def a_tape(session: Session, name: str, **values: Any) -> TapeCartridge:
    given = {"state": CartridgeState.ACTIVE, "generation": 1, "capacity": 1000 * GB, **values}
    tape = TapeCartridge(tape_id=name, label=name, volume_uuid=name, **given)
    session.add(tape)
    session.flush()
    return tape


def a_set(
    session: Session, template: int, tape: TapeCartridge, *, ago: float, size: int,
    kind: BackupType = BackupType.FULL, **values: Any,
) -> BackupSet:  # fmt: skip
    begun = now() - ago * DAY
    run = a_run(session, RunState.SUCCEEDED, ago=ago)
    stored = BackupSet(
        id=f"{begun:%Y%m%dT%H%M%SZ}-{size % 997:04x}", run_id=run.id, template_id=template,
        cartridge_id=tape.id,
        generation=tape.generation, type=kind, sources=["/data"], files=7, bytes=size,
        started_at=begun, finished_at=begun + timedelta(hours=1),
        **{"state": SetState.COMPLETE, "retention_until": now() + 100 * DAY, **values},
    )  # fmt: skip
    catalog.add_set(session, stored)
    archive = BackupArchive(
        set_id=stored.id, number=1, cartridge_id=tape.id, generation=tape.generation, name="data-000001.tar",
        bytes=size, sha256="0", files=7, content_bytes=0, record={},
    )  # fmt: skip
    catalog.add_archive(session, archive, [])
    return stored


def a_run(
    session: Session, state: RunState, *, schedule: Any = None, kind: Kind = Kind.BACKUP, ago: float = 1
) -> ChainRun:
    run = ChainRun(
        kind=kind, schedule_id=schedule.id if schedule else None, trigger=Trigger.MANUAL, state=state,
        drive="tape0", due_at=now() - ago * DAY, finished_at=now() - ago * DAY,
    )  # fmt: skip
    session.add(run)
    session.flush()
    return run


def test_what_is_protected_since_when(database: Database) -> None:
    """The newest full set, the newest increment, what they have, and how the full ones grow on tape."""
    with database.transaction() as session:
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        schedules.put(session, "new", drive="tape0", sources=["/other"])
        tape = a_tape(session, "TP20260101")
        for months, size in ((3, 100), (2, 110), (1, 120)):
            full = a_set(session, row.template_id, tape, ago=30 * months, size=size * GB)
        later = a_set(
            session, row.template_id, tape, ago=2, size=GB, kind=BackupType.INCREMENTAL, parent_id=full.id
        )
        first, second = gathered(session)["schedules"]
    assert first["protected_until"] == later.started_at.isoformat()
    assert (first["full"]["id"], first["full"]["bytes"]) == (full.id, 120 * GB)
    assert first["increment"]["id"] == later.id
    assert first["sizes"] == [100 * GB, 110 * GB, 120 * GB]
    assert first["grows"] == pytest.approx(10 * GB, rel=0.01)
    assert (second["schedule"], second["protected_until"], second["full"]) == ("new", None, None)


def test_a_destroyed_set_protects_nothing(database: Database) -> None:
    """It still shows how large backups were."""
    with database.transaction() as session:
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        tape = a_tape(session, "TP20260101")
        a_set(session, row.template_id, tape, ago=3, size=GB, state=SetState.DESTROYED)
        [found] = gathered(session)["schedules"]
    assert (found["protected_until"], found["full"], found["sizes"]) == (None, None, [GB])


def test_failures_are_made_good_dismissed_or_open(database: Database) -> None:
    """By what was announced in the stretch: a run that was retried has failed too."""
    with database.transaction() as session:
        rows = [schedules.put(session, name, drive="tape0", sources=["/d"]) for name in ("a", "b", "c", "d")]
        retried = a_run(session, RunState.SUCCEEDED, schedule=rows[0])
        replaced = a_run(session, RunState.FAILED, schedule=rows[1], ago=2)
        a_run(session, RunState.SUCCEEDED, schedule=rows[1], ago=1.5)
        let_go = a_run(session, RunState.FAILED, schedule=rows[2])
        left = a_run(session, RunState.FAILED, schedule=rows[3])
        for run in (retried, replaced, let_go, left):
            events.announce(session, run, "failed", {})
        events.announce(session, left, "failed", {})
        failures.dismiss(session, let_go.id, requested_by="ann", why="no tape")
        a_run(session, RunState.SUCCEEDED, kind=Kind.RESTORE)
        a_run(session, RunState.SUCCEEDED, kind=Kind.RESTORE, ago=8)
        found = gathered(session)
    assert found["failures"] == {"failed": 4, "made_good": 2, "dismissed": 1, "open": 1}
    assert found["runs"]["restores"] == 1
    assert found["runs"]["backups"] == 2


def test_verifications_of_the_stretch_count(database: Database) -> None:
    with database.transaction() as session:
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        tape = a_tape(session, "TP20260101")
        a_set(session, row.template_id, tape, ago=20, size=GB, verified_at=now() - DAY, damaged=2)
        a_set(session, row.template_id, tape, ago=21, size=2 * GB, verified_at=now() - 8 * DAY, damaged=1)
        a_set(session, row.template_id, tape, ago=22, size=3 * GB)
        assert gathered(session)["verified"] == {"sets": 1, "damaged": 2}
        assert gathered(session, Every.MONTH)["verified"] == {"sets": 2, "damaged": 3}


def test_tapes_used_free_and_to_buy(database: Database) -> None:
    """A tape whose every set is past retention is free; one that is retired is neither. Monthly full backups
    that need a new tape each have to be bought for, the first one in time."""
    with database.transaction() as session:
        row = schedules.put(
            session, "monthly", drive="tape0", sources=["/data"], schedule_config={"day": 1, "at": "02:00"}
        )
        used, free = a_tape(session, "TP20260101"), a_tape(session, "TP20250101")
        a_set(session, row.template_id, used, ago=10, size=900 * GB)
        a_set(session, row.template_id, free, ago=400, size=900 * GB, retention_until=now() - DAY)
        a_tape(session, "TP20240101", state=CartridgeState.RETIRED)
        other = schedules.put(session, "other", drive="tape9", sources=["/data"])
        # The permit never lets the newest full set of a template go.
        newest = a_tape(session, "TP20230101")
        a_set(session, other.template_id, newest, ago=600, size=GB, retention_until=now() - DAY)
        tapes = gathered(session, Every.MONTH)["tapes"]
        due = row.next_run_time
    assert (tapes["used"], tapes["free"], tapes["out_of_use"]) == (2, 1, 1)
    assert tapes["to_buy"] == 3
    assert due is None or tapes["buy_by"] == due.isoformat()
    assert tapes["changes"][0]["bring"] is None


@pytest.mark.parametrize("month", range(1, 13))
def test_each_monthly_report_names_the_tape_of_the_next_months_first_night(
    database: Database, month: int
) -> None:
    """Also after a shorter month: the next report comes when that night is over."""
    eight = datetime(now().year + 1, month, 1, 8, tzinfo=UTC)
    with database.transaction() as session:
        schedules.put(
            session, "monthly", drive="tape0", sources=["/data"], schedule_config={"day": 1, "at": "02:00"}
        )
        about = report.last(Every.MONTH, eight, ZoneInfo("UTC"))
        said = gather.report(session, Every.MONTH, about, eight, lambda _seen: False)
    first_night = datetime(eight.year + month // 12, month % 12 + 1, 1, 2, tzinfo=UTC)
    assert [each["at"] for each in said["tapes"]["changes"]] == [first_night.isoformat()]


def test_a_report_takes_the_same_statements_for_any_number_of_sets(database: Database) -> None:
    def cost() -> int:
        with database.transaction() as session, counted(session) as sent:
            gathered(session)
            return len(sent)

    with database.transaction() as session:
        row = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        tape = a_tape(session, "TP20260101")
        a_set(session, row.template_id, tape, ago=1, size=GB)
    few = cost()
    with database.transaction() as session:
        for number in range(30):
            a_set(session, row.template_id, tape, ago=2 + number, size=(number + 2) * GB)
    assert cost() == few


def test_nothing_is_reported_of_the_time_before_the_first_run(database: Database) -> None:
    with database.transaction() as session:
        assert not gather.may_be_made(session, now())
        a_run(session, RunState.SUCCEEDED)
        assert gather.may_be_made(session, now() + DAY)
        assert not gather.may_be_made(session, now() - DAY)
