"""An installation in the evening in which all is well, and whom to ask about the night."""

from __future__ import annotations

import html
import json
import re
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import exists, null, or_, select, update

from db.models import ChainRun, Drive, Notification, ScheduledTask
from db.states import RunState, Trigger
from policy.times.period import ScheduleType
from tape.ltfs import mounts
from tape.virtual import shelf
from tests.dashboard.dashboard import Dashboard
from tests.faults.catcher import Catcher
from tests.ltfs import programs
from tests.system import System

NAME = "nightly"
MIB = 1024 * 1024


class Evening:
    """An installation in which all is well: each process runs, a channel is told, a run is due in 3 hours."""

    def __init__(self, folder: Path, database_url: str, broker_url: str) -> None:
        self.catcher = Catcher()
        self.system = System(
            folder,
            database_url,
            broker_url,
            TAPELINE_REMINDER_BEFORE_SECONDS=str(40 * 24 * 3600),
            TAPELINE_DRIVE_SILENT_SECONDS="20",
            TAPELINE_CHANNELS=json.dumps(
                {"ops": {"type": "apprise", "url": self.catcher.url, "events": {"ready": True}}}
            ),
        )
        self.path = self.system.drive.path
        self.queues = ["control", "tape"]
        self.has_beat = True
        self.has_dashboard = True
        self.source = folder / "source"
        self.source.mkdir()
        (self.source / "a").write_bytes(b"x" * 100_000)
        self.at = (datetime.now(UTC) + timedelta(hours=3)).replace(second=0, microsecond=0)
        self.last_time = self.at - timedelta(days=7) + timedelta(seconds=30)
        self.redis = redis.Redis(unix_socket_path=broker_url.removeprefix("redis+socket://").split("?")[0])
        self._site: Dashboard | None = None

    # What a row changes before anything runs.

    def schedule(self, name: str = NAME, **settings: Any) -> None:
        """A weekly one that had its last backup in time, and waits for a tape.

        Of a daily one the night after this one would be of the next month, on the last day of a month.
        """
        given = {
            "schedule_type": ScheduleType.WEEKLY,
            "schedule_config": {"day": f"{self.at:%A}".lower(), "at": f"{self.at:%H:%M}"},
            "time_zone": "UTC",
            "wait_for_tape_seconds": 3600,
            **settings,
        }
        self.system.schedule(name, self.source, **given)
        self.system.change_schedule(name, last_success_time=self.last_time, created_at=self.last_time)

    def ltfs(self, **replaced: str) -> Path:
        """A drive of LTFS with stand-ins; returns the folder that is its hardware."""
        self.path = self.system.folder / "sg3"
        self.path.mkdir()
        paths = programs.install(self.system.folder / "bin") | replaced
        drive = {"driver": "ltfs", "device": str(self.path), "programs": paths, "format_limit_seconds": 60}
        self.system.environment["TAPELINE_DRIVES"] = json.dumps({"tape0": drive})
        self.insert()
        return self.path

    def insert(self, barcode: str = "TAPE01L8") -> None:
        shelf.new_cartridge(self.path, barcode, capacity=256 * MIB)
        shelf.insert(self.path, barcode)

    def start(self) -> None:
        """All at once, and once: each process needs seconds to begin."""
        if self.system.processes:
            return
        self.system.spawn(*self.queues)
        if self.has_beat:
            self.system.start_beat()
        if self.has_dashboard:
            self._site = Dashboard(self.system)
        self.system.wait_until_ready(*self.queues)

    # Who is asked.

    def doctor(self) -> tuple[str, str]:
        """Its mark and every word of what is not as it should be."""
        done = self.system.cli("doctor", code=None)
        lines = [line for line in done.stdout.splitlines() if line.strip().startswith(("✗", "!"))]
        mark = "✗" if done.returncode else "!" if lines else "✓"
        return mark, _text(done.stdout) if mark != "✓" else ""

    def precheck(self, *arguments: str) -> tuple[int, str]:
        done = self.system.cli("precheck", NAME, *arguments, code=None)
        return done.returncode, _text(done.stdout + done.stderr)

    def today(self) -> str:
        """Every word of the page; empty where there is no dashboard."""
        if self._site is None:
            return ""
        return _text(html.unescape(re.sub(r"<[^>]+>", " ", self._site.get("/today"))))

    def needs_nobody(self) -> bool:
        return self._site is None or 'data-alerts="0"' in self._site.get("/today")

    # The night.

    def fall(self) -> None:
        """It is the time that the run was due."""
        self.system.change_schedule(NAME, next_run_time=datetime.now(UTC))

    def state(self) -> str | None:
        """Of the run that started by itself."""
        query = select(ChainRun.state).where(ChainRun.trigger == Trigger.SCHEDULE)
        found = self.system.ask(lambda session: session.scalar(query))
        return found.value if found else None

    def forget(self) -> None:
        """Nothing is known of this evening, nothing is under way, and the drive is empty."""
        self.system.ask(lambda session: session.execute(update(ScheduledTask).values(enabled=False)))
        waiting = select(ChainRun.id).where(ChainRun.state == RunState.WAITING_FOR_TAPE)
        for run in self.system.ask(lambda session: session.scalars(waiting).all()):
            self.system.cli("runs", "cancel", str(run))
        self.system.wait_for(self._is_over, "the runs to end and their messages to go out")
        self.system.take_out()
        for barcode in shelf.barcodes(self.path):
            shutil.rmtree(shelf.folder_of(self.path, barcode))
        self.system.forget_everything()
        # What was in the drive counts as known for ten minutes.
        self.system.ask(lambda session: session.execute(update(Drive).values(medium=null(), medium_at=None)))
        self.catcher.messages.clear()
        self.source = self.system.folder / "source"

    def _is_over(self) -> bool:
        runs = exists().where(ChainRun.state.in_([RunState.QUEUED, RunState.RUNNING]))
        messages = exists().where(Notification.next_attempt_at.is_not(None))
        return not self.system.ask(lambda session: session.scalar(select(or_(runs, messages))))

    def close(self) -> None:
        for process in self.system.processes.values():
            process.send_signal(signal.SIGCONT)
        self.redis.config_set("maxmemory", "0")
        self.redis.replicaof("NO", "ONE")
        self.redis.config_set("appendonly", "no")
        self.redis.close()
        self.system.close()
        self.catcher.close()
        for process in mounts.processes("ltfs", str(self.path)):
            process.terminate()
            process.wait(20)


def _text(printed: str) -> str:
    """As it is read, wherever its lines were broken."""
    return re.sub(r"\s+", " ", printed)
