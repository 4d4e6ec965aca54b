"""How fast the dashboard's pages are, with years of runs, shelves of tapes and millions of files."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests
from sqlalchemy import text

from benchmarks import files
from db.engine import Database
from db.models import TapeCartridge
from db.schedules import schedules
from db.sets import names
from embedded.servers import Servers

PAGES = ("/today", "/runs", "/runs/1", "/tapes", "/tapes/1", "/schedules", "/drives", "/metrics")
TIMEOUT = 60.0

_HISTORY = """
INSERT INTO tape_cartridges (tape_id, label, generation, state, volume_uuid, barcode, capacity, bytes_used,
    formatted_at, tape_alerts)
SELECT label, label, 1 + n % 4, 'active', 'u' || n, 'C' || lpad(n::text, 5, '0') || 'L9', 18000000000000,
    (n * 31::bigint % 18) * 1000000000000, now() - n * interval '1 day', '[]'
FROM (SELECT n, 'TP' || to_char(now() - n * interval '1 day', 'YYYYMMDD') AS label
    FROM generate_series(1, :tapes) n) AS named;

INSERT INTO chain_runs (kind, schedule_id, trigger, state, drive, due_at, period, options, part, dispatch,
    queued_at, started_at, finished_at, set_id)
SELECT 'backup', (SELECT min(id) FROM scheduled_tasks), 'schedule', CASE WHEN n % 23 = 0 THEN 'FAILED'
    WHEN n % 17 = 0 THEN 'SKIPPED' WHEN n % 29 = 0 THEN 'CANCELLED' ELSE 'SUCCEEDED' END, 'tape0', at,
    to_char(at, 'YYYYMMDD'), '{}', 1, 1, at, at, at + interval '10 hours', 'S' || n
FROM (SELECT n, now() - (:runs - n + 1) * interval '1 day' AS at FROM generate_series(1, :runs) n) AS timed;

INSERT INTO chain_steps (run_id, part, step, position, state, attempts, worker, started_at, finished_at)
SELECT id, 1, step, position, 'SUCCEEDED', 1, 'tape@host', started_at, finished_at
FROM chain_runs, (VALUES ('precheck', 0), ('create_record', 1), ('format_tape', 2), ('update_label', 3),
    ('run_backup', 4), ('notify', 5)) AS steps (step, position);

INSERT INTO backup_sets (id, run_id, template_id, cartridge_id, generation, type, state, period, sources,
    files, bytes, warnings, started_at, finished_at, retention_until)
SELECT set_id, run.id, template_id, tape.id, tape.generation, 'full',
    CASE WHEN run.state = 'SUCCEEDED' THEN 'complete' ELSE 'incomplete' END, period, '["/data"]', 1000000,
    900000000000, 0, run.started_at, run.finished_at, run.finished_at + interval '1 year'
FROM chain_runs AS run JOIN scheduled_tasks AS schedule ON schedule.id = schedule_id
JOIN tape_cartridges AS tape ON tape.id = run.id % :tapes + 1;

INSERT INTO backup_archives (set_id, number, cartridge_id, generation, name, bytes, sha256, files,
    content_bytes, record, sealed_at)
SELECT id, n, cartridge_id, generation, 'data', 45000000000, '0', 10, 1, '{}', finished_at
FROM backup_sets, generate_series(1, 20) n;

INSERT INTO run_events (run_id, part, level, message)
SELECT 1, 1, 'info', '{"id": "Label asked for: {label}.", "params": {"label": "TP20261101"}}'
FROM generate_series(1, 1000);
"""


Times = dict[str, tuple[float, float, int]]
"""For each page: the median and the longest time in seconds, and its bytes."""


def measure(folder: Path, rounds: int, *, runs: int, tapes: int) -> Times:
    """The pages of an installation with years of runs."""
    with Servers(folder / "pages", durable=False).use() as servers:
        database = Database(servers.database_url)
        database.upgrade()
        with database.transaction() as session:
            schedules.put(session, "monthly", drive="tape0", sources=["/data"], tape_policy="rotate")
            for statement in _HISTORY.split(";\n"):
                if statement.strip():
                    session.execute(text(statement), {"runs": runs, "tapes": tapes})
        database.close()
        with _dashboard(folder, servers) as url:
            return {page: _times(url + page, rounds) for page in PAGES}


def measure_files(
    folder: Path, rounds: int, *, count: int
) -> tuple[dict[str, tuple[float, float, int, float]], dict[str, float]]:
    """The pages of the files with so many in one tree, each with its processor time; and the seconds and
    bytes of the indexes."""
    with Servers(folder / "files", durable=False).use() as servers:
        database = Database(servers.database_url)
        database.upgrade()
        with database.transaction() as session:
            tape = TapeCartridge(tape_id="TP20260101", label="TP20260101", generation=1, state="active")
            session.add(tape)
            template = schedules.put(session, "tree", drive="tape0", sources=["/data"]).template_id
            session.flush()
            files.fill(session, template, tape, count)
            addresses = {**files.PAGES, "its middle": files.middle(session)}
        cost = _index(database)
        database.close()
        with _dashboard(folder, servers) as url:
            used = [_processor(servers, url + page, rounds) for page in addresses.values()]
            times = {title: _times(url + page, rounds) for title, page in addresses.items()}
        return {title: (*times[title], seconds) for title, seconds in zip(times, used, strict=True)}, cost


def _processor(servers: Servers, url: str, rounds: int) -> float:
    """The processor time in seconds that the database and the dashboard need for a page: other work on the
    host does not change it."""
    _get(url)
    before, count = _used(servers), max(rounds, 5)
    for _ in range(count):
        _get(url)
    return (_used(servers) - before) / count


def _used(servers: Servers) -> float:
    postmaster = int((servers.postgres.data / "postmaster.pid").read_text().split()[0])
    found = [*psutil.Process().children(recursive=True), *psutil.Process(postmaster).children()]
    return sum(sum(each.cpu_times()[:2]) for each in {each.pid: each for each in found}.values())


def _index(database: Database) -> dict[str, float]:
    """Seconds that the indexes take, and the bytes of names, folders, other indexes and rows."""
    started = time.perf_counter()
    with database.transaction() as session:
        waiting = names.unindexed(session)
    for set_id in waiting:
        with database.transaction() as session:
            names.index(session, set_id)
    found = {"seconds": time.perf_counter() - started}
    with database.transaction() as session:
        for title, like in files.PARTS.items():
            query = "SELECT coalesce(sum(pg_relation_size(oid)), 0) FROM pg_class WHERE relname LIKE :like"
            found[title] = float(session.scalar(text(query), {"like": like}) or 0)
    return found


def _times(url: str, rounds: int) -> tuple[float, float, int]:
    _get(url)  # the first of all loads what the others share
    taken = []
    for _ in range(max(rounds, 5)):
        started = time.perf_counter()
        size = _get(url)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken), max(taken), size


def _get(url: str) -> int:
    answer = requests.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    return len(answer.content)


@contextmanager
def _dashboard(folder: Path, servers: Servers) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "TAPELINE_STATE_DIR": str(folder / "state-of-pages"),
        "TAPELINE_DATABASE_URL": servers.database_url,
        "TAPELINE_BROKER_URL": servers.broker_url,
        "TAPELINE_FLOWER__WITHOUT_LOGIN": "true",
    }
    words = ["-m", "celery", "-A", "celery_app", "flower", f"--port={port}", "--address=127.0.0.1"]
    with subprocess.Popen(
        [sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(f"{url}/healthcheck")
            yield url
        finally:
            process.terminate()


def _wait(url: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            _get(url)
        except requests.RequestException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
