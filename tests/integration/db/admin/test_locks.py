"""A client of the database that stands still, or whose clock is wrong, holds up nobody else."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from sqlalchemy import text

from celery_app import celery, settings, wiring
from celery_app.host.defaults import BadConfiguration
from db import clock
from db.engine import Database
from db.errors import DatabaseUnavailable
from db.models import ChainRun, now
from db.runs import admission, starting, steps, transitions
from db.schedules import schedules
from db.states import RunState, Step, Trigger
from db.tapes import drives
from tasks.periodic import drive_liveness, recover
from tasks.writing.journal import CatalogueJournal

assert celery.app


class Hasty(Database):
    """As the database, with limits that a test can wait for."""

    limits: ClassVar = {**Database.limits, "lock_timeout": "300ms"}


@pytest.fixture
def hasty(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The database of the tasks, and nobody to send messages to."""
    found = Hasty(database_url)
    monkeypatch.setattr(wiring, "database", lambda: found)
    for module in (recover, drive_liveness):
        monkeypatch.setattr(module.chain, "ask", lambda *_, **__: True)
        monkeypatch.setattr(module.chain, "send", lambda *_, **__: True)
    yield found
    found.close()


def begun(database: Database, drive: str) -> int:
    """A run that has its drive, whose worker lives."""
    with database.transaction() as session:
        row = schedules.put(session, f"on-{drive}", drive=drive, sources=["/data"], time_zone="UTC")
        drives.register(session, name=drive, driver="virtual", host="h", worker="w", queue=f"tape.{drive}")
        assert starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL)
        run = admission.admit(session, drive)
        assert run
        return run.id


def make_overdue(database: Database, *numbers: int) -> None:
    with database.transaction() as session:
        for number in numbers:
            run = transitions.get(session, number)
            run.dispatched_at = run.created_at = now() - timedelta(minutes=10)


def test_a_row_that_somebody_keeps_is_passed_over(database: Database, hasty: Database) -> None:
    """The other runs are looked after, and nobody waits."""
    stuck, other = begun(database, "a"), begun(database, "b")
    make_overdue(database, stuck, other)
    with database.transaction() as session:
        transitions.get(session, stuck, lock=True)
        assert recover.recover() == [other]
    assert recover.recover() == [stuck]


def test_a_trouble_of_one_run_is_its_own(
    database: Database, hasty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with one run, the next is looked after."""
    broken, other = begun(database, "a"), begun(database, "b")
    make_overdue(database, broken, other)
    true = recover._send_again

    def send_again(session: Any, run: ChainRun) -> Step | None:
        if run.id == broken:
            raise ZeroDivisionError
        return true(session, run)

    monkeypatch.setattr(recover, "_send_again", send_again)
    assert recover.recover() == [other]


def test_a_lock_is_waited_for_so_long(database: Database, hasty: Database) -> None:
    """Then the error says what it was, and whoever may try again does."""
    number = begun(database, "a")
    with database.transaction() as session:
        transitions.get(session, number, lock=True)
        with pytest.raises(DatabaseUnavailable, match="lock timeout"), hasty.transaction() as waiting:
            transitions.get(waiting, number, lock=True)


def test_each_connection_has_its_limits(database: Database) -> None:
    """Those of locks and of standing still, and a server that notices a client which has vanished."""
    names = (*Database.limits, "tcp_user_timeout", "tcp_keepalives_idle")
    with database.transaction() as session:
        found = {name: session.scalar(text(f"SHOW {name}")) for name in names}
    assert found["lock_timeout"] == "30s"
    assert all(found[name] != "0" for name in Database.limits)
    with database.engine.connect() as connection:
        given = connection.connection.dbapi_connection.get_dsn_parameters()  # type: ignore[union-attr]
    assert given["tcp_user_timeout"] == "60000"
    assert given["keepalives_idle"] == "30"


def test_a_catalogue_entry_that_stands_still_locks_nothing(database: Database) -> None:
    """While the files of an archive go into the catalogue, the run can be cancelled and looked after."""
    number = begun(database, "a")
    with database.transaction() as session:
        run = transitions.get(session, number)
        held = steps.claim(session, number, run.dispatch, Step.PRECHECK, "w")
        assert held
    seen: list[RunState] = []

    def lines(_archive: object) -> Any:
        with Hasty(database.url).transaction() as other:
            seen.append(transitions.get(other, number, lock=True).state)
        yield from ()

    work = SimpleNamespace(
        db=lambda do, *, first=None: _in_one(database, held, do, first),
        held=held,
    )
    journal = CatalogueJournal(work, "20261101T000000Z-0000", 1, 1)  # type: ignore[arg-type]
    archive = SimpleNamespace(number=1)
    with pytest.raises(Entered):
        journal.sealed(archive, lines(archive))  # type: ignore[arg-type]
    assert seen == [RunState.RUNNING]


class Entered(Exception):
    """The transaction came as far as the lock."""


def _in_one(database: Database, held: steps.Claim, _do: Any, first: Any) -> None:
    with database.transaction() as session:
        session.execute(
            text("CREATE TABLE one_set PARTITION OF backup_files FOR VALUES IN ('20261101T000000Z-0000')")
        )
    with database.transaction() as session:
        first(session)
        steps.hold(session, held)
        raise Entered


class Skewed:
    """A clock of a host that is wrong by so much."""

    def __init__(self, by: timedelta) -> None:
        self.by = by

    def now(self, zone: Any = None) -> datetime:
        return datetime.now(UTC).astimezone(zone) + self.by


@pytest.mark.parametrize("minutes", [-60, -3, 3, 60])
def test_a_wrong_clock_of_a_host_kills_no_step(
    database: Database, hasty: Database, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    """What the host of a drive writes, others compare with: both by the database's clock."""
    number = begun(database, "a")
    monkeypatch.setattr(clock, "_known", None)
    monkeypatch.setattr(clock, "datetime", Skewed(timedelta(minutes=minutes)))
    there = Database(database.url)
    with there.transaction() as session:
        drives.register(session, name="a", driver="virtual", host="h", worker="w", queue="tape.a")
        held = steps.claim(session, number, transitions.get(session, number).dispatch, Step.PRECHECK, "w")
        assert held
        steps.beat(session, held)
    there.close()
    monkeypatch.undo()
    with database.transaction() as session:
        run = transitions.get(session, number)
        working = steps.running(session, run)
        assert working
        assert not recover._why_dead(session, run, working)
        assert drives.is_alive(session, "a")
        assert abs(now() - working.heartbeat_at) < timedelta(seconds=30)  # type: ignore[operator]


def test_a_heart_slower_than_its_patience_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step would be taken for dead."""
    monkeypatch.setenv("TAPELINE_HEARTBEAT_SECONDS", "90")
    settings.SOURCE.forget()
    with pytest.raises(BadConfiguration, match="heartbeat_seconds must be less than dead_after"):
        settings.load()
    monkeypatch.undo()
    settings.SOURCE.forget()


def test_a_heartbeat_locks_the_run_before_its_step(database: Database) -> None:
    """As the worker that finishes the step does: the two never block each other."""
    number = begun(database, "a")
    with database.transaction() as session:
        held = steps.claim(session, number, transitions.get(session, number).dispatch, Step.PRECHECK, "w")
    assert held
    with database.transaction() as session:
        transitions.get(session, number, lock=True)
        heartbeat = threading.Thread(target=_beat, args=(database.url, held))
        heartbeat.start()
        while not session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
            time.sleep(0.01)
        steps.hold(session, held)
    heartbeat.join()


def _beat(url: str, held: steps.Claim) -> None:
    with Database(url).transaction() as session:
        steps.beat(session, held, moved=True)
