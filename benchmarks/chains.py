"""A run with nothing to back up beside a bare Celery chain of six, on the same servers and in turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import select, text

from benchmarks.measure import say
from db.engine import Database
from db.runs import transitions
from db.schedules import schedules
from db.states import ACTIVE, BackupType
from embedded.servers import Servers
from tape.virtual import shelf

TIMEOUT = 120.0
WORKERS = (("control", "2"), ("tape", "1"))


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """The median seconds of each, and the statements and commits of a run."""
    with Servers(folder / "chains", durable=False).use() as servers, ExitStack() as stack:
        environment = _environment(folder, servers)
        os.environ.update(environment)  # of this process, which sends the chains
        database = Database(servers.database_url)
        database.upgrade()
        source = folder / "nothing"
        source.mkdir()
        with database.transaction() as session:
            schedules.put(
                session, "hourly", drive="tape0", sources=[str(source)], tape_policy="current_month",
                schedule_config={"at": "02:00"}, template={"type": BackupType.INCREMENTAL},
            )  # fmt: skip
        for queue, count in WORKERS:
            stack.enter_context(_worker("celery_app", queue, count))
            stack.enter_context(_worker("benchmarks.bare", queue, count))
        try:
            return _in_turns(database, max(rounds, 3) * 4)
        finally:
            database.close()


def _environment(folder: Path, servers: Servers) -> dict[str, str]:
    drive = folder / "drive"
    shelf.new_cartridge(drive, "A00001L9", capacity=10**9)
    shelf.insert(drive, "A00001L9")
    return {
        "TAPELINE_STATE_DIR": str(folder / "state-of-chains"),
        "TAPELINE_DATABASE_URL": servers.database_url,
        "TAPELINE_BROKER_URL": servers.broker_url,
        "TAPELINE_TIME_ZONE": "UTC",
        "TAPELINE_DRIVES": f'{{"tape0": {{"driver": "virtual", "path": "{drive}"}}}}',
    }


@contextmanager
def _worker(app: str, queue: str, count: str) -> Iterator[None]:
    words = ["celery", "-A", app, "worker", "-Q", queue, "-c", count, "-n", f"{app}-{queue}@bench", "-E"]
    with subprocess.Popen(
        [sys.executable, "-m", *words, "--without-mingle"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.terminate()


def _in_turns(database: Database, rounds: int) -> dict[str, float]:
    from benchmarks import bare  # noqa: PLC0415 - it is made from the environment that was set above

    _run(database)  # the first one is full and formats the tape; the others follow it
    bare.send(0)
    seconds: dict[str, list[float]] = {"bare": [], "run": []}
    before, looked = _committed(database), 0
    for number in range(1, rounds + 1):
        started = time.perf_counter()
        bare.send(number)
        seconds["bare"].append(time.perf_counter() - started)
        taken, looks = _run(database)
        seconds["run"].append(taken)
        looked += looks
        say(f"  round {number}: bare {seconds['bare'][-1]:.3f} s, run {seconds['run'][-1]:.3f} s")
    commits = (_committed(database) - before - looked) / rounds
    return {**{name: statistics.median(values) for name, values in seconds.items()}, "commits": commits}


def _run(database: Database) -> tuple[float, int]:
    """The seconds from the row of a run to its end; and in how many transactions it was queried."""
    from cli.commands.schedules import start  # noqa: PLC0415 - it reads the settings from the environment

    run_id, _, reason = start(database, "hourly")
    deadline, looks = time.monotonic() + TIMEOUT, 0
    while time.monotonic() < deadline:
        looks += 1
        with database.transaction() as session:
            run = transitions.get(session, run_id)
            if run.state not in ACTIVE and run.finished_at is not None:
                return (run.finished_at - run.created_at).total_seconds(), looks
        time.sleep(0.05)
    raise TimeoutError(f"run {run_id} does not end: {reason}")


def _committed(database: Database) -> int:
    """Transactions of the server so far, those of this process among them."""
    with database.transaction() as session:
        count = session.scalar(
            select(text("xact_commit"))
            .select_from(text("pg_stat_database"))
            .where(text("datname = current_database()"))
        )
    return int(count or 0)
