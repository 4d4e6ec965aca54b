"""Tapeline as an operator has it: real processes, a virtual drive, the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import select, text

from db.engine import Database
from db.models import Notification, ScheduledTask
from db.runs import transitions
from db.schedules.schedules import put
from tape.errors import DriveBusy
from tape.virtual import shelf
from tape.virtual.drive import VirtualDrive
from tape.virtual.volume import VOLUME
from tests.preloaded import tapeline

TIMEOUT = 40.0
A_TEST = timedelta(minutes=2)
"""Longer than a test of one installation takes."""


def label(number: int = 1) -> str:
    """The label that a tape of this month gets. No module keeps it: the month may change while tests run."""
    return f"TP{datetime.now(UTC):%Y%m}{number:02d}"


def _await_one_month() -> None:
    """Wait at a month's last minutes: a test that begins then would see two months."""
    while (now := datetime.now(UTC)).month != (now + A_TEST).month:
        time.sleep(1)


class System:
    """One installation in a folder: environment, processes, database, drive."""

    def __init__(self, folder: Path, database_url: str, broker_url: str, **environment: str) -> None:
        _await_one_month()
        self.folder = folder
        self.state = folder / "state"
        self.drive = VirtualDrive("tape0", self.state / "drives" / "tape0")
        self.database = Database(database_url)
        self.environment = {
            **os.environ,
            "TAPELINE_STATE_DIR": str(self.state),
            "TAPELINE_DATABASE_URL": database_url,
            "TAPELINE_BROKER_URL": broker_url,
            "TAPELINE_TIME_ZONE": "UTC",
            "TAPELINE_HEARTBEAT_SECONDS": "0.5",
            "TAPELINE_DEAD_AFTER_SECONDS": "3",
            "TAPELINE_LOST_AFTER_SECONDS": "2",
            "TAPELINE_RECOVER_SECONDS": "1",
            "PYTHONWARNINGS": "default",
            **environment,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def schedule(self, name: str, *sources: Path, **settings: Any) -> None:
        """Make a monthly full backup of some folders on the drive, or on another that is named."""
        settings.setdefault("schedule_config", {"day": 1, "at": "02:00"})
        with self.database.transaction() as session:
            put(
                session,
                name,
                drive=settings.pop("drive", "tape0"),
                sources=[str(source) for source in sources],
                template=settings.pop("template", None),
                **settings,
            )

    def configure_drive(self, **settings: Any) -> None:
        """Let the workers that are started from now on have a drive with these settings."""
        drive = {"driver": "virtual", "path": str(self.drive.path), **settings}
        self.environment["TAPELINE_DRIVES"] = json.dumps({"tape0": drive})

    def insert_blank(self, barcode: str = "A00001L9", *, capacity: int = 10**9, **how: Any) -> Path:
        """Put a new tape into the drive; the folder of its files."""
        shelf.new_cartridge(self.drive.path, barcode, capacity=capacity, **how)
        shelf.insert(self.drive.path, barcode)
        return shelf.folder_of(self.drive.path, barcode) / VOLUME

    def take_out(self) -> None:
        """As an operator does, who waits while the worker looks at the tape."""
        given_up_at = time.monotonic() + TIMEOUT
        while True:
            try:
                shelf.remove(self.drive.path)
            except DriveBusy:
                if time.monotonic() > given_up_at:
                    raise
                time.sleep(0.1)
            else:
                return

    def start(self, *queues: str, arguments: tuple[str, ...] = ()) -> None:
        """Start workers as the README says, and wait until they are ready."""
        self.spawn(*queues, arguments=arguments)
        self.wait_until_ready(*queues)

    def spawn(self, *queues: str, arguments: tuple[str, ...] = ()) -> None:
        """Start workers, and do not wait for them."""
        for queue in queues:
            count = "2" if queue == "control" else "1"
            self._spawn(
                queue,
                "worker",
                "-Q",
                queue,
                "-c",
                count,
                "-n",
                f"{queue}@test",
                "-E",
                "--without-mingle",
                "--without-gossip",
                *arguments,
            )

    def wait_until_ready(self, *queues: str) -> None:
        for queue in queues:
            # How fast a machine starts programs is not what is tested.
            self.wait_for(
                lambda queue=queue: b" ready." in self.log(queue), f"{queue} worker ready", 3 * TIMEOUT
            )

    def start_beat(self) -> None:
        self._spawn("beat", "beat")

    def start_second_beat(self) -> None:
        self._spawn("beat2", "beat")

    def _spawn(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.command(name, sys.executable, "-m", "celery", "-A", "celery_app", *arguments),
                env=self.environment_of(name),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def command(self, name: str, *arguments: str) -> list[str]:
        """How a process of this name is started: on this host, unless a test has several."""
        return list(arguments)

    def environment_of(self, name: str) -> dict[str, str]:
        """What a process of this name has in its environment."""
        return self.environment

    def log(self, name: str) -> bytes:
        path = self.folder / f"{name}.log"
        return path.read_bytes() if path.exists() else b""

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process and wait for its end, and for that of the processes of its pool."""
        process = self.processes.pop(name)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        process.wait(TIMEOUT)
        self.wait_for(lambda: not any(map(is_alive, children)), "the pool to end")
        # A worker that is started again under this name has to say anew that it is ready.
        log = self.folder / f"{name}.log"
        log.rename(self.folder / f"{name}.{process.pid}.log")

    def child_of(self, name: str) -> psutil.Process:
        """The process of a worker's pool."""
        [child] = psutil.Process(self.processes[name].pid).children()
        return child

    def cli(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run ``tapeline``; checks the exit code unless None is given."""
        done = tapeline(arguments, environment=self.environment, folder=self.folder, limit=TIMEOUT)
        assert code is None or done.returncode == code, f"{arguments}: {done}\n{self.logs()}"
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def json(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.cli(*arguments, "--json", code=None).stdout)

    def run_schedule(self, name: str) -> int:
        """Start a run by hand and return its number without waiting for it."""
        return int(self.json("schedule", "run", name)["run"])

    def wait_for_state(self, run_id: int, *states: str) -> dict[str, Any]:
        """Wait until a run is in one of the states; returns it."""

        def reached() -> bool:
            return self.ask(lambda session: transitions.get(session, run_id).state) in states

        self.wait_for(reached, f"run {run_id} to be {states}")
        return dict(self.json("runs", "show", str(run_id)))

    def wait_for(self, condition: Callable[[], Any], what: str, patience: float = TIMEOUT) -> Any:
        """Poll until something is true; returns it."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"waited {patience} s in vain for {what}\n{self.logs()}")

    def logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-6000:]}"
            for path in self.folder.glob("*.log")
        )

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """Ask the database something in one transaction."""
        with self.database.transaction() as session:
            return question(session)

    def announced(self) -> list[str]:
        """The events that were announced of runs, except starts and, on a month's last day, the next run's
        tape."""
        of_runs = Notification.event.not_in(["started", "reminder", "ready"])
        said = select(Notification.event).where(of_runs).order_by(Notification.id)
        return list(self.ask(lambda session: session.scalars(said).all()))

    def forget_everything(self) -> None:
        """An empty database, but for the drive whose worker runs."""

        def empty(session: Any) -> None:
            partitions = (
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'backup_files'::regclass"
            )
            for name in session.scalars(text(partitions)).all():
                session.execute(text(f"DROP TABLE {name}"))
            # The permits are an audit trail that nothing may empty.
            session.execute(text("SET LOCAL session_replication_role = replica"))
            tables = "scheduled_tasks, backup_tasks, chain_runs, backup_sets, tape_cartridges"
            session.execute(text(f"TRUNCATE {tables} CASCADE"))

        self.ask(empty)

    def change_schedule(self, name: str, **values: Any) -> None:
        def change(session: Any) -> None:
            row = session.query(ScheduledTask).filter_by(name=name).one()
            for column, value in values.items():
                setattr(row, column, value)

        self.ask(change)

    def close(self) -> None:
        """End every process of this test, by its id."""
        for name in list(self.processes):
            if self.processes[name].poll() is None:
                self.kill(name)
        self.database.close()


def is_alive(process: psutil.Process) -> bool:
    """Whether a process works; one that nobody has reaped yet does not."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
