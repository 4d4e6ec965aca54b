"""Lets the days pass, and checks again and again what has to be true of every history."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, select, text

from benchmarks.fleet import figures
from benchmarks.fleet.figures import Milestone, Spent
from benchmarks.fleet.mishaps import Mishaps
from benchmarks.fleet.people import COME_AT, Operators
from benchmarks.fleet.site import Site
from benchmarks.fleet.size import Chances, FleetSize
from benchmarks.measure import say
from celery_app import wiring
from db.admin import server
from db.engine import Database
from db.models import BackupSet, ScheduledTask
from db.sets import lineage
from embedded.servers import Servers
from policy.tapes.facts import SetState
from tests import invariants
from tests.histories import checks
from tests.histories.machinery.stage import stage

MEMORY = Path("/dev/shm")
MARKS = 12
"""How often the database is measured, and everything checked."""
LOOKS_AFTER = (timedelta(hours=1), timedelta(hours=16), timedelta(hours=20))
"""When runs are looked after, on each day, beside the operators' hour: the hours from six in the morning."""
MORNING = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Year:
    """What was measured."""

    seconds: float
    marks: list[Milestone]
    facts: list[tuple[str, str]]
    tables: list[tuple[str, str, str, str, str]]
    restored: int
    """Sets that were restored and compared at the end."""


def measure(folder: Path, size: FleetSize) -> Year:
    """Let a fleet work for its days. Raises AssertionError if something is not as it has to be."""
    home = Path(tempfile.mkdtemp(prefix="tl-", dir=MEMORY if MEMORY.is_dir() else folder))
    home.chmod(0o755)
    try:
        with Servers(folder / "s", durable=False).use() as servers:
            Database(servers.database_url).upgrade()
            with stage(home, servers.database_url, size.names, **_settings()) as parts:
                return _pass(Site(parts, size), folder)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _settings() -> dict[str, float]:
    """Hours stand between two steps here, and a copy of the database is measured at each mark instead of
    beside each set."""
    return {
        "lost_after_seconds": 24 * 3600,
        "stalled_after_seconds": 24 * 3600,
        "stalled_fails_after_seconds": 48 * 3600,
        "database_dump_bytes": 0,
    }


def _pass(site: Site, folder: Path) -> Year:
    started = time.perf_counter()
    spent = Spent(since=started)
    marks: list[Milestone] = []
    try:
        with _counted(wiring.database(), spent), pytest.MonkeyPatch.context() as patch:
            # The server was started today; the fleet's first day is long ago.
            patch.setattr(server, "started_at", lambda _: site.size.first_day - timedelta(days=1))
            site.open()
            mishaps, operators = Mishaps(site, Chances()), Operators(site, Chances())
            site.before_letter = mishaps.before_letter
            each = max(site.size.days // MARKS, 1)
            for day in range(1, site.size.days + 1):
                _one_day(site, mishaps, operators, day)
                if day % each == 0 or day == site.size.days:
                    marks.append(_mark(site, folder, day, spent, started))
        site.settle()
        checks.check(site)
        restored = _restored(site)
        with site.session() as session:
            facts = [
                *figures.of_runs(session), *figures.of_tapes(session), *figures.of_messages(session),
                *((name, f"{count:,}") for name, count in sorted(site.counts.items())),
            ]  # fmt: skip
            tables = figures.of_tables(session, marks[-1].runs)
        return Year(time.perf_counter() - started, marks, facts, tables, restored)
    finally:
        site.close()


def _one_day(site: Site, mishaps: Mishaps, operators: Operators, day: int) -> None:
    """From six in the morning to six in the morning."""
    morning = site.clock.moment
    begins = site.size.first_day + timedelta(days=day - 1)
    assert morning >= begins - MORNING
    mishaps.of_the_day()
    site.go_on_until(begins + COME_AT - MORNING)
    operators.come()
    for name in site.size.names:
        site.change_source(name, day)
    for after in LOOKS_AFTER:
        site.go_on_until(begins + after + COME_AT - MORNING)
        site.tick()
        site.drain()
    site.go_on_until(begins + timedelta(days=1))
    with site.session() as session:
        wrong = [*site.ledger.violations, *invariants.active_twice(session)]
    _stop_if(wrong)


def _mark(site: Site, folder: Path, day: int, spent: Spent, started: float) -> Milestone:
    began = time.perf_counter()
    site.look()
    look = time.perf_counter() - began
    database = site.parts.database
    with database.outside_transactions() as connection:
        connection.execute(text("ANALYZE"))
    made = figures.mark(database, folder, day, spent, look)
    began = time.perf_counter()
    checks.check(site)
    say(
        f"  day {day}: {made.runs:,} runs, {made.statements:.0f} statements and"
        f" {1000 * made.run_seconds:.0f} ms a run, database {made.database / 1e6:.0f} MB, its copy"
        f" {made.copy / 1e6:.1f} MB in {made.copy_seconds:.1f} s; all checked in"
        f" {time.perf_counter() - began:.1f} s; {time.perf_counter() - started:.0f} s"
    )
    spent.since = time.perf_counter()
    return made


def _restored(site: Site) -> int:
    """The newest complete set of each schedule is restored from its tapes and compared with its source."""
    wrong, count = [], 0
    folders = invariants.folders_below(site.parts.folder / "drives")
    with site.session() as session:
        for row in session.scalars(select(ScheduledTask)).all():
            of_it = (BackupSet.template_id == row.template_id) & (BackupSet.state == SetState.COMPLETE)
            stored = session.scalars(
                select(BackupSet).where(of_it).order_by(BackupSet.started_at.desc()).limit(1)
            ).first()
            if stored is None or not stored.archives:
                continue
            *follows, _ = lineage.chain(session, stored.id)
            count += 1
            wrong += invariants.not_restored(
                stored,
                folders,
                site.plain_drive,
                site.parts.folder / "checked",
                follows=follows,
                tree=_as_it_is if stored.started_at > site.changed_at else _unknown,
            )
    _stop_if(wrong)
    return count


def _as_it_is(source: Path) -> Path | None:
    return source


def _unknown(_source: Path) -> Path | None:
    return None


def _stop_if(wrong: list[str]) -> None:
    if wrong:
        raise AssertionError("\n".join(wrong))


@contextmanager
def _counted(database: Database, spent: Spent) -> Iterator[None]:
    def note(*_: object) -> None:
        spent.statements += 1

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
