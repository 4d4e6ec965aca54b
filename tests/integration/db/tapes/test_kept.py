"""What a tape must keep, from the rows: whoever follows a set, and the newest full backup."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.engine import Database
from db.errors import DatabaseUnavailable
from db.models import BackupSet, ChainRun, TapeCartridge
from db.schedules import schedules
from db.states import BackupType
from db.tapes import cartridges, permits
from policy.tapes.facts import SetState
from tasks.drive import tape_rules
from tests import earlier
from tests.integration.db.tapes.test_permits import run_at, tape
from tests.integration.tasks.test_run_backup_rules import a_set

NOVEMBER = datetime(2025, 11, 1, 2, tzinfo=UTC)
LONG_AGO = datetime(2024, 10, 15, tzinfo=UTC)


def cartridge(session: Session, label: str) -> TapeCartridge:
    return cartridges.update_label(session, original=None, medium=tape(f"m-{label}", label))[0]


def old_full(session: Session, on: TapeCartridge, set_id: str, **facts: object) -> BackupSet:
    return a_set(session, on, set_id, started_at=LONG_AGO, retention_until=LONG_AGO, **facts)


@pytest.mark.parametrize("state", [SetState.WRITING, SetState.COMPLETE])
def test_a_full_set_is_kept_for_whoever_follows_it(database: Database, state: SetState) -> None:
    """Also for an increment that is being written just now: it is worth nothing without it."""
    with database.transaction() as session:
        on = cartridge(session, "TP20241015")
        full = old_full(session, on, "20241015T000000Z-0001", **earlier.known(session, LONG_AGO))
        a_set(
            session,
            cartridge(session, "TP20251101"),
            "20251101T000000Z-0001",
            type=BackupType.INCREMENTAL,
            parent_id=full.id,
            state=state,
            finished_at=None,
            retention_until=None,
        )
        known = cartridges.tape_facts(session, tape("m-TP20241015", "TP20241015")).known
        assert known
        [stored] = known.sets
        assert stored.is_past(NOVEMBER)
        assert not stored.may_be_lost(NOVEMBER)


@pytest.mark.parametrize("newest_is_entered_first", [True, False])
def test_the_newest_full_set_is_the_one_that_ended_last(
    database: Database, newest_is_entered_first: bool
) -> None:
    """Whatever the order of rows and names: an import enters the newest first, or last."""
    with database.transaction() as session:
        schedule = schedules.put(session, "monthly", drive="tape0", sources=["/data"])
        on = cartridge(session, "TP20251101")
        days = [3, 1, 2] if newest_is_entered_first else [1, 2, 3]
        for day in days:
            moment = NOVEMBER + timedelta(days=day)
            facts = {"started_at": moment, "finished_at": moment, "template_id": schedule.template_id}
            a_set(session, on, f"2025110{9 - day}T020000Z-0001", **facts)
        known = cartridges.tape_facts(session, tape("m-TP20251101", "TP20251101")).known
        assert known
        assert [each.id for each in known.sets if each.is_newest_full] == ["20251106T020000Z-0001"]


def test_labels_are_given_one_at_a_time(database: Database) -> None:
    """Whoever asks while another has been given one and has not committed waits for it."""
    with database.transaction() as session:
        first, second = run_at(session, "tape0").id, run_at(session, "tape1").id
    with database.transaction() as session:
        permits.label_for(session, session.get_one(ChainRun, first), tape("m1"), NOVEMBER)
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            _asked_for_a_label(database, second)


def _asked_for_a_label(database: Database, run_id: int) -> None:
    with database.transaction() as session:
        session.execute(text("SET LOCAL lock_timeout = '200ms'"))
        permits.label_for(session, session.get_one(ChainRun, run_id), tape("m2"), NOVEMBER)


@pytest.mark.parametrize(
    ("zone", "month"), [("Asia/Shanghai", "202611"), ("UTC", "202610"), ("America/New_York", "202610")]
)
def test_a_month_begins_on_the_clock_of_the_schedule(
    database: Database, monkeypatch: pytest.MonkeyPatch, zone: str, month: str
) -> None:
    """At 17:00 in London on the last of October it is November in Shanghai, and so is the label."""
    monkeypatch.setattr(tape_rules, "now", lambda: datetime(2026, 10, 31, 17, tzinfo=UTC))
    with database.transaction() as session:
        run = run_at(session, "tape0")
        assert run.schedule
        run.schedule.time_zone = zone
        moment = tape_rules.local_now(run)
        assert (moment.tzinfo, f"{moment:%Y%m}") == (ZoneInfo(zone), month)
        assert permits.label_for(session, run, tape("m1"), moment) == f"TP{month}01"
