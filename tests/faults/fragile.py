"""A whole installation that faults are let loose on: servers of its own, every process, a channel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import make_url, select

from celery_app.config import KEY_PREFIX
from celery_app.queues import CONTROL, TAPE, queue
from cli import sample
from db.models import ChainRun
from db.runs import retrying, starting
from db.schedules import schedules
from db.states import ACTIVE, RunState, Trigger
from embedded.postgres import Postgres
from embedded.redis import Redis
from tests.faults.catcher import Catcher
from tests.system import System

FORMAT_LIMIT = 5
DRIVE_TIMEOUT = 15
MAX_RUNS = 80
"""A month has 99 labels."""

SETTINGS = """
drive_patience_seconds = {patience}

[drives.tape0]
driver = "virtual"
path = "{drive}"
format_limit_seconds = {limit}

[channels.catcher]
type = "apprise"
url = "{channel}"
"""

RESEND = """
import json
import sys
from celery_app import wiring
from db.runs import transitions as runs
from db.states import Step
from tasks import chain

for line in sys.stdin:
    run_id, dispatch, steps = json.loads(line)
    with wiring.database().transaction() as session:
        run = runs.get(session, run_id)
    run.dispatch = dispatch
    print(all(chain.send(run, Step(step)) for step in steps), flush=True)
"""


def _start(session: Any, schedule: str, due: datetime) -> tuple[int, int]:
    row = schedules.get(session, schedule)
    run = starting.start(session, row, due_at=due, trigger=Trigger.MANUAL)
    assert run is not None
    return row.id, run.id


class FragileSystem(System):
    """Control worker, tape worker and beat, on a Redis and a PostgreSQL that a test may break."""

    def __init__(self, folder: Path) -> None:
        self.redis, self.postgres = self._servers(folder / "servers")
        self.catcher = Catcher()
        self.start_servers()
        super().__init__(
            folder,
            self.postgres.url,
            self.redis.url,
            TAPELINE_CONFIG=str(folder / "tapeline.toml"),
        )
        self._configure()
        self.database.upgrade()
        self.client = self._client()
        self.source = folder / "source"
        sample.make(self.source, large=700 << 10, small=24)
        sample.make(self.source / "more", large=700 << 10, small=24)
        self.runs = 0

    def _servers(self, folder: Path) -> tuple[Redis, Postgres]:
        return Redis(folder), Postgres(folder, durable=False)

    def _configure(self) -> None:
        settings = SETTINGS.format(
            drive=self.drive.path, limit=FORMAT_LIMIT, patience=DRIVE_TIMEOUT, channel=self.catcher.url
        )
        (self.folder / "tapeline.toml").write_text(settings, "utf-8")

    def start_servers(self) -> None:
        """Start whichever of the two servers does not run."""
        self.postgres.start()
        self.redis.start()

    def _client(self) -> Celery:
        made = Celery("tests", broker=self.redis.url, set_as_current=False)
        made.conf.update(
            broker_transport_options={"global_keyprefix": KEY_PREFIX},
            task_queues=[queue(CONTROL), queue(TAPE)],
            task_default_queue=CONTROL,
            task_ignore_result=True,
        )
        return made

    def open(self) -> None:
        """Start every process of the installation."""
        assert self._sender.poll() is None
        self.start_beat()
        self.start("control", "tape")

    def send(self, task: str, *args: Any, queue: str = CONTROL, **kwargs: Any) -> None:
        """Send a single message."""
        self.client.send_task(f"tapeline.{task}", args=args, kwargs=kwargs, queue=queue)

    def schedule(self, name: str, *sources: Path, **settings: Any) -> None:
        """Due so far from today that nobody is reminded of its tape while messages are counted."""
        day = min((datetime.now(UTC) + timedelta(days=14)).day, 28)
        super().schedule(name, *sources, **{"schedule_config": {"day": day, "at": "02:00"}, **settings})

    def begin(self, schedule: str) -> int:
        """Make a run by hand and announce it as beat does, by a message; returns the run's number."""
        self.runs += 1
        due = datetime.now(UTC)
        number, run_id = self.ask(lambda session: _start(session, schedule, due))
        self.send("start", number, due.isoformat())
        return run_id

    def resend(self, run_id: int, dispatch: int, *steps: str) -> None:
        """Send a run's chain from each of these steps on, as the product itself does."""
        assert self._sender.stdin
        assert self._sender.stdout
        self._sender.stdin.write(json.dumps([run_id, dispatch, steps]) + "\n")
        self._sender.stdin.flush()
        assert self._sender.stdout.readline() == "True\n"

    @cached_property
    def _sender(self) -> subprocess.Popen[str]:
        """Started once: a step must not be held for longer than it may be silent."""
        return subprocess.Popen(
            [sys.executable, "-c", RESEND],
            env={**self.environment, "PYTHONWARNINGS": "ignore"},
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ignored(self) -> int:
        """How many messages found nothing to claim, so far."""
        return sum(self.log(name).count(b"nothing to claim") for name in ("control", "tape"))

    def settle(self) -> None:
        """Wait until a message that is sent now has been taken, and so all those before it."""
        marker = f"marker-{self.runs}-{datetime.now(UTC).timestamp()}"
        self.client.send_task("tapeline.deliver", queue=CONTROL, task_id=marker)
        self.wait_for(
            lambda: f"[{marker}] succeeded".encode() in self.log("control"), "the queue to be empty"
        )

    def crash(self, name: str) -> None:
        """The host of a worker loses power: the worker, its pool and the programs that it started."""
        worker = psutil.Process(self.processes[name].pid)
        for process in [worker, *worker.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.kill(name)

    def kill_pool(self, name: str) -> None:
        """kill -9 of every process of a worker's pool; the worker itself lives on."""
        for child in psutil.Process(self.processes[name].pid).children():
            child.kill()

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """The pool of a worker gets no processor for the time of the context."""
        children = psutil.Process(self.processes[name].pid).children()
        for child in children:
            child.suspend()
        try:
            yield
        finally:
            for child in children:
                child.resume()

    def kill_only(self, name: str) -> None:
        """kill -9 of a worker, without waiting for the programs that it started."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        log = self.folder / f"{name}.log"
        log.rename(self.folder / f"{name}.{process.pid}.log")

    def start_refused(self, name: str) -> str:
        """Start a tape worker that has to refuse; what it says."""
        self._spawn(name, "worker", "-Q", name, "-c", "1", "-n", f"{name}@test")
        try:
            assert self.processes[name].wait(30) == 1, self.logs()
        except BaseException:
            self.crash(name)
            raise
        del self.processes[name]
        log = self.folder / f"{name}.log"
        said = log.read_text("utf-8")
        log.unlink()
        return said

    def kill_redis(self) -> None:
        """kill -9 of the Redis server."""
        with self._broker() as client:
            pid = int(client.info("server")["process_id"])
        os.kill(pid, signal.SIGKILL)
        self.wait_for(lambda: not self.redis.running(), "Redis to end")

    def flush_redis(self) -> None:
        """Everything that Redis holds is gone, its bindings too."""
        with self._broker() as client:
            client.flushall()

    def _broker(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.redis.socket))

    def stop_postgres(self, number: signal.Signals) -> None:
        """SIGINT: fast, its backends end their transactions; SIGQUIT: immediate, as after a crash."""
        pid = int((self.postgres.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, number)
        self.wait_for(lambda: not psutil.pid_exists(pid), "PostgreSQL to end")

    @contextmanager
    def closed_to_writers(self, table: str) -> Iterator[None]:
        """Nobody else writes a table for the time of the context: a step that has to stops there."""
        connection = self._connect()
        try:
            connection.cursor().execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            yield
        finally:
            connection.close()

    def someone_waits_for(self, table: str) -> bool:
        """Whether a transaction waits to write a table."""
        asked = """select count(*) from pg_locks join pg_class on pg_class.oid = pg_locks.relation
                   where not granted and relname = %s"""
        connection = self._connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(asked, [table])
                return bool(cursor.fetchone()[0])
        finally:
            connection.close()

    def _connect(self) -> Any:
        url = make_url(self.database.url)
        return psycopg2.connect(user=url.username, host=url.query["host"], dbname=url.database)

    def clear(self) -> bool:
        """End what a run has left waiting; whether the next test can have this installation."""
        try:
            self.ask(self._cancel_waiting)
            active = self.ask(
                lambda s: s.scalars(select(ChainRun.id).where(ChainRun.state.in_(ACTIVE))).all()
            )
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not used again
            return False
        alive = all(process.poll() is None for process in self.processes.values())
        return not active and alive and len(self.processes) == 3 and self.runs < MAX_RUNS

    @staticmethod
    def _cancel_waiting(session: Any) -> None:
        waiting = select(ChainRun.id).where(ChainRun.state == RunState.WAITING_FOR_TAPE)
        for run_id in session.scalars(waiting).all():
            retrying.cancel(session, run_id, "the next test")

    def close(self) -> None:
        if "_sender" in vars(self):
            self._sender.communicate(timeout=30)
        super().close()
        with suppress(OperationalError):
            self.client.close()
        self.redis.stop()
        self.postgres.stop()
        self.catcher.close()
