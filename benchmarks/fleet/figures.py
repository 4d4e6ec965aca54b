"""What a fleet's year has left: runs, tapes, messages, rows and bytes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.admin import dump
from db.engine import Database

_RUNS = text(
    "SELECT state, count(*) FROM chain_runs WHERE kind = 'backup' GROUP BY state ORDER BY count(*) DESC"
)
_SKIPPED = text(
    "SELECT reason->>'id', count(*) FROM chain_runs WHERE state IN ('SKIPPED', 'FAILED') GROUP BY 1"
    " ORDER BY 2 DESC LIMIT 8"
)
_LATE = text(
    "SELECT count(*) FILTER (WHERE started_at > due_at + interval '1 hour'),"
    " count(*) FILTER (WHERE started_at > due_at + interval '12 hours'),"
    " coalesce(max(extract(epoch FROM started_at - due_at)) / 3600, 0)"
    " FROM chain_runs WHERE trigger = 'schedule' AND started_at IS NOT NULL"
)
_MESSAGES = text("SELECT event, count(*) FROM notifications GROUP BY event ORDER BY count(*) DESC")
_TAPES = text("SELECT state, count(*), sum(generation) FROM tape_cartridges GROUP BY state ORDER BY state")
_TABLES = text(
    "SELECT relname, n_live_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables"
    " WHERE relname NOT LIKE 'backup\\_files\\_%' ORDER BY 3 DESC LIMIT 12"
)
_FILES = text(
    "SELECT count(*), coalesce(sum(n_live_tup), 0), coalesce(sum(pg_total_relation_size(relid)), 0)"
    " FROM pg_stat_user_tables WHERE relname LIKE 'backup\\_files\\_%'"
)


@dataclass(frozen=True, slots=True)
class Milestone:
    """The fleet on one day of its year."""

    day: int
    runs: int
    sets: int
    database: int
    """Bytes."""
    copy: int
    """Bytes of the copy of the database that a set has beside it."""
    copy_seconds: float
    statements: float
    """Of a run, since the mark before."""
    run_seconds: float
    """Of this machine, of a run, since the mark before: steps, operators and beat."""
    look_seconds: float
    """Of the last look of beat."""


@dataclass
class Spent:
    """What was spent since the last mark."""

    statements: int = 0
    since: float = 0.0
    runs: int = 0


def mark(database: Database, folder: Path, day: int, spent: Spent, look_seconds: float) -> Milestone:
    """Measure the database as it is now; what was spent begins anew."""
    seconds = time.perf_counter() - spent.since
    statements = spent.statements
    with database.transaction() as session:
        runs, sets, size = session.execute(
            text(
                "SELECT (SELECT count(*) FROM chain_runs), (SELECT count(*) FROM backup_sets),"
                " pg_database_size(current_database())"
            )
        ).one()
    path = folder / "copy.sql.zst"
    started = time.perf_counter()
    dump.write(database, path, with_history=False)
    copy_seconds = time.perf_counter() - started
    new = max(runs - spent.runs, 1)
    made = Milestone(
        day,
        runs,
        sets,
        size,
        path.stat().st_size,
        copy_seconds,
        statements / new,
        seconds / new,
        look_seconds,
    )
    spent.statements, spent.since, spent.runs = 0, time.perf_counter(), runs
    return made


def of_runs(session: Session) -> list[tuple[str, str]]:
    """How the runs ended, how late they were, and why some were not."""
    late, very_late, latest = session.execute(_LATE).one()
    return [
        *((f"runs {state}", f"{count:,}") for state, count in session.execute(_RUNS)),
        ("begun more than 1 h after they were due", f"{late:,}"),
        ("more than 12 h", f"{very_late:,}"),
        ("the latest", f"{latest:.1f} h"),
        *((f"not made: {_short(reason)}", f"{count:,}") for reason, count in session.execute(_SKIPPED)),
    ]


def _short(reason: Any) -> str:
    return str(reason).partition(". ")[0][:90]


def of_tapes(session: Session) -> list[tuple[str, str]]:
    """The tapes, and how often they were formatted."""
    return [
        (f"tapes {state}", f"{count:,}, formatted {formats:,} times")
        for state, count, formats in session.execute(_TAPES)
    ]


def of_messages(session: Session) -> list[tuple[str, str]]:
    """The messages to people."""
    return [(f"messages {event}", f"{count:,}") for event, count in session.execute(_MESSAGES)]


def of_tables(session: Session, runs: int) -> list[tuple[str, str, str, str, str]]:
    """The largest tables: rows, bytes, and both for each run."""
    rows = [(str(name), int(count), int(size)) for name, count, size in session.execute(_TABLES)]
    parts, count, size = session.execute(_FILES).one()
    rows.append((f"backup_files: {parts:,} partitions", int(count), int(size)))
    return [
        (name, f"{count:,}", f"{size / 1e6:.1f} MB", f"{count / runs:.1f}", f"{size / runs:,.0f}")
        for name, count, size in sorted(rows, key=lambda row: -row[2])
    ]
