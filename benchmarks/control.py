"""The control plane with years of history: how long the database takes to answer, and how many statements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from benchmarks.measure import say
from db import (
    alerts,
    failures,
    outbox,
    views,
)
from db.admin import dump
from db.engine import Database
from db.models import BackupSet, ScheduledTask, TapeCartridge, now
from db.schedules import calendar, schedules
from db.sets import lineage
from db.states import BackupType
from db.tapes import cartridges
from db.tapes.facts import LoadedTapes
from embedded.servers import Servers
from policy.tapes.medium import MediumReport
from policy.times.period import ScheduleType

_HISTORY = """
INSERT INTO tape_cartridges (tape_id, label, generation, state, volume_uuid, medium_serial, capacity,
    bytes_used, formatted_at, tape_alerts)
SELECT 'TP' || n, 'TP' || n, 1, 'active', 'u' || n, 'm' || n, 18000000000000, 9000000000000,
    now() - (:tapes - n) * interval '1 day', '[]'
FROM generate_series(1, :tapes) n;

INSERT INTO chain_runs (kind, schedule_id, trigger, state, drive, due_at, period, options, part, dispatch,
    queued_at, started_at, finished_at, set_id)
SELECT 'backup', schedule.id, 'schedule', CASE WHEN n % 97 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END, 'tape0',
    at, to_char(at, 'YYYYMMDD'), '{}', 1, 1, at, at, at + interval '10 minutes',
    CASE WHEN n > :runs - :sets THEN to_char(at, 'YYYYMMDD"T"HH24MISS"Z"') || '-' || to_hex(n) END
FROM (SELECT n, now() - (:runs - n + 1) * interval '5 minutes' AS at
    FROM generate_series(1, :runs) n) AS timed
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM scheduled_tasks) AS schedule
    ON schedule.place = n % :schedules;

INSERT INTO chain_steps (run_id, part, step, position, state, attempts, worker, started_at, finished_at)
SELECT id, 1, step, position, 'SUCCEEDED', 1, 'tape@host', started_at, finished_at
FROM chain_runs, (VALUES ('precheck', 0), ('create_record', 1), ('format_tape', 2), ('update_label', 3),
    ('run_backup', 4), ('notify', 5)) AS steps (step, position);

INSERT INTO run_events (run_id, part, at, level, message)
SELECT id, 1, started_at, 'info', '{"id": "Label asked for: {label}.", "params": {"label": "TP20261101"}}'
FROM chain_runs, generate_series(1, 8);

INSERT INTO notifications (run_id, event, occurrence, facts, created_at, deliveries, attempts,
    next_attempt_at)
SELECT id, CASE state WHEN 'FAILED' THEN 'failed' ELSE 'succeeded' END, 1,
    jsonb_build_object('run', id, 'drive', drive, 'set', set_id), finished_at,
    jsonb_build_object('team', jsonb_build_object('sent_at', finished_at)), 1, NULL
FROM chain_runs;

INSERT INTO backup_sets (id, run_id, template_id, cartridge_id, generation, type, state, period, sources,
    files, bytes, warnings, started_at, finished_at, retention_until, keep_sets)
SELECT set_id, run.id, template_id, tape.id, 1, CASE WHEN run.id / :schedules % 30 = 0 THEN 'full'
    ELSE 'incremental' END, 'complete', period, '["/data"]', 1000, 900000000, 0, run.started_at,
    run.finished_at, run.finished_at + interval '1 year', CASE WHEN template_id % 2 = 0 THEN 3 END
FROM chain_runs AS run JOIN scheduled_tasks AS schedule ON schedule.id = schedule_id
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM tape_cartridges) AS tape
    ON tape.place = (run.id - (:runs - :sets) - 1) * :tapes / :sets
WHERE set_id IS NOT NULL;

UPDATE backup_sets SET parent_id = before.parent FROM (SELECT id,
    lag(id) OVER (PARTITION BY template_id ORDER BY started_at) AS parent FROM backup_sets) AS before
WHERE before.id = backup_sets.id AND type <> 'full';

INSERT INTO backup_archives (set_id, number, cartridge_id, generation, name, bytes, sha256, files,
    content_bytes, record, sealed_at)
SELECT id, 1, cartridge_id, generation, 'data', 45000000, '0', 10, 1, '{}', finished_at FROM backup_sets;
"""


@dataclass(frozen=True, slots=True)
class Size:
    """The size of the history."""

    runs: int
    sets: int
    schedules: int = 50

    @property
    def tapes(self) -> int:
        return max(self.sets // 200, 1)


def fill(database: Database, size: Size) -> None:
    """Years of runs, with their steps, stories, messages, sets and tapes; the increments of a schedule follow
    one another, with a full set in thirty."""
    with database.transaction() as session:
        for number in range(size.schedules):
            schedules.put(
                session, f"job{number:03}", drive="tape0", sources=["/data"], tape_policy="rotate",
                schedule_type=ScheduleType.DAILY,
                schedule_config={"at": "02:00"}, template={"type": BackupType.INCREMENTAL},
            )  # fmt: skip
        values = {"runs": size.runs, "sets": size.sets, "schedules": size.schedules, "tapes": size.tapes}
        for statement in _HISTORY.split(";\n"):
            if statement.strip():
                started = time.perf_counter()
                session.execute(text(statement), values)
                say(f"  {statement.split()[2]}: {time.perf_counter() - started:.1f} s")
    with database.outside_transactions() as connection:
        connection.execute(text("ANALYZE"))


@contextmanager
def counted(session: Session) -> Iterator[list[str]]:
    """The statements that a session sends from now on."""
    sent: list[str] = []

    def note(*given: object) -> None:
        sent.append(str(given[2]))

    event.listen(session.get_bind(), "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(session.get_bind(), "before_cursor_execute", note)


Query = Callable[[Session], object]
"""The questions to the control plane."""


def _newest_tape(session: Session) -> TapeCartridge:
    return session.scalars(select(TapeCartridge).order_by(TapeCartridge.id.desc()).limit(1)).one()


def _facts(session: Session) -> object:
    tape = _newest_tape(session)
    medium: MediumReport = {
        "state": "formatted",
        "label": tape.label,
        "medium_serial": tape.medium_serial,
    }
    return cartridges.tape_facts(session, medium)


def _parents(session: Session) -> object:
    row = session.scalars(select(ScheduledTask).limit(1)).one()
    return lineage.parent_for(session, row.template_id, BackupType.INCREMENTAL)


def _calendar(session: Session) -> object:
    return calendar.entries(session, now(), now() + timedelta(days=30))


ANSWERS: dict[str, Query] = {
    "facts of a tape": _facts,
    "what an increment follows": _parents,
    "tape list": views.tapes_counted,
    "all tapes as the rules see them": LoadedTapes,
    "calendar of 30 days": _calendar,
    "what needs somebody": lambda session: alerts.alerts(session, now(), (), lambda _seen: False),
    "channels in trouble": outbox.troubles,
    "failures that stand": failures.newest,
    "failures of no schedule": lambda session: failures.of_no_schedule(session, now() - timedelta(days=7)),
    "counts of a schedule": lambda session: schedules.counts(session, schedules.present(session)[0]),
    "sets list": lambda session: session.scalars(
        select(BackupSet).order_by(BackupSet.started_at.desc()).limit(50)
    ).all(),
}


def answers(database: Database) -> dict[str, tuple[float, int]]:
    """For each question the seconds and the statements of its answer."""
    taken = {}
    for name, ask in ANSWERS.items():
        with database.transaction() as session, counted(session) as sent:
            started = time.perf_counter()
            ask(session)
            taken[name] = (time.perf_counter() - started, len(sent))
        say(f"  {name}: {taken[name][0]:.2f} s, {taken[name][1]} statements")
    return taken


def dumped(database: Database, folder: Path) -> tuple[float, int]:
    """The seconds and the bytes of the copy that is written beside each set."""
    path = folder / "database.sql.zst"
    started = time.perf_counter()
    dump.write(database, path, with_history=False)
    return time.perf_counter() - started, path.stat().st_size


@contextmanager
def filled(folder: Path, size: Size) -> Iterator[Database]:
    """A database with all of that in it, on its own server."""
    folder.mkdir(mode=0o755)
    with Servers(folder / "s", durable=False).use() as servers:
        database = Database(servers.database_url)
        database.upgrade()
        fill(database, size)
        try:
            yield database
        finally:
            database.close()
