"""The evenings of the table of dusk (docs/reliability.md): how each is made, and whom to ask about it."""

from __future__ import annotations

import html
import json
import os
import pwd
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import redis
from sqlalchemy import make_url, select

from db.models import ChainRun
from db.states import Trigger
from policy.times.period import ScheduleType
from tape.ltfs import mounts
from tape.virtual import shelf
from tests.dashboard.site import Site
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
        self._site: Site | None = None

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
        self.system.start(*self.queues)
        if self.has_beat:
            self.system.start_beat()
        if self.has_dashboard:
            self._site = Site(self.system)

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


@dataclass(frozen=True)
class Row:
    """How an evening comes about: before anything runs, once all of it runs, and as the night falls."""

    before: Callable[[Evening], Any] = lambda evening: (evening.schedule(), evening.insert())
    after: Callable[[Evening], Any] | None = None
    night: Callable[[Evening], Any] = Evening.fall


def _never_due(_: Evening) -> None:
    """Nothing is planned."""


def _next_month(evening: Evening) -> None:
    evening.insert()
    assert evening.system.drive.format(f"TP{datetime.now(UTC):%Y%m}01").return_code == 0
    evening.schedule(schedule_type=ScheduleType.MONTHLY, schedule_config={"day": 1, "at": "02:00"})
    evening.system.change_schedule(NAME, last_success_time=datetime.now(UTC))


def _the_month_is_over(evening: Evening) -> None:
    """What is this month's now is last month's then."""
    long_ago = datetime.now(UTC).replace(day=1) - timedelta(days=3)
    shelf.remove(evening.path)
    evening.insert("A00002L9")
    assert evening.system.drive.format(f"TP{long_ago:%Y%m}01").return_code == 0
    evening.system.change_schedule(NAME, last_success_time=long_ago, next_run_time=datetime.now(UTC))


def _not_mounted(evening: Evening) -> None:
    """A run has found it so: this month's tape, with a backup on it that it was to append to."""
    system = evening.system
    assert _by_hand(system)["state"] == "SUCCEEDED"
    system.change_schedule(NAME, last_success_time=evening.last_time)
    shelf.set_faults(evening.path, "TAPE01L8", [{"at": "mount", "error": "unreadable", "times": 99}])
    found = _by_hand(system)
    assert found["state"] == "WAITING_FOR_TAPE"
    system.cli("runs", "cancel", str(found["id"]))


def _by_hand(system: System) -> dict[str, Any]:
    return system.wait_for_state(system.run_schedule(NAME), "SUCCEEDED", "FAILED", "WAITING_FOR_TAPE")


def _sense(words: str) -> Callable[[Evening], None]:
    def arrange(evening: Evening) -> None:
        evening.schedule()
        (evening.ltfs() / "sense").write_text(words)

    return arrange


def _another_ltfs(evening: Evening) -> None:
    evening.schedule()
    older = evening.system.folder / "older"
    evening.ltfs(ltfs=str(older))
    older.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "ltfs version 2.4.0.2" && exit\n'
        f'exec {evening.system.folder / "bin" / "ltfs"} "$@"\n'
    )
    older.chmod(0o755)


def _off(evening: Evening) -> None:
    """The one of 'tapeline run' is on: it never runs by itself."""
    evening.insert()
    evening.schedule(enabled=False)
    evening.schedule("demo", schedule_type=ScheduleType.MANUAL, schedule_config={})


def _one_off(evening: Evening) -> None:
    evening.insert()
    evening.schedule(enabled=False)
    evening.schedule("other", schedule_type=ScheduleType.YEARLY, schedule_config=_half_a_year(evening.at))


def _half_a_year(at: datetime) -> dict[str, Any]:
    """A day of the year that no reminder and no run of this test comes near."""
    far = at + timedelta(days=180)
    return {"month": far.month, "day": min(far.day, 28), "at": "02:00"}


def _only_the_demo(evening: Evening) -> None:
    evening.insert()
    evening.schedule("demo", schedule_type=ScheduleType.MANUAL, schedule_config={})


def _never_run(evening: Evening) -> None:
    evening.insert()
    evening.schedule()
    evening.system.change_schedule(NAME, last_success_time=None, created_at=datetime.now(UTC))


def _without(evening: Evening, **attributes: Any) -> None:
    evening.schedule()
    evening.insert()
    for name, value in attributes.items():
        setattr(evening, name, value)


def _no_channel(evening: Evening) -> None:
    _without(evening)
    del evening.system.environment["TAPELINE_CHANNELS"]


def _stopped(evening: Evening) -> None:
    """The message comes when it has been silent for long enough; until then doctor has to know."""
    evening.system.processes["tape"].send_signal(signal.SIGSTOP)


def _no_source(evening: Evening) -> None:
    evening.source = evening.system.folder / "gone"
    evening.schedule()
    evening.insert()


def _missing(evening: Evening) -> None:
    evening.schedule()
    evening.ltfs(mkltfs="/none/mkltfs")


def _full(evening: Evening) -> None:
    evening.redis.config_set("maxmemory-policy", "noeviction")
    evening.redis.config_set("maxmemory", "100kb")


def _nothing_runs(evening: Evening) -> None:
    evening.queues, evening.has_beat, evening.has_dashboard = [], False, False


def _encoding(encoding: str) -> Callable[[Evening], None]:
    def arrange(evening: Evening) -> None:
        """Dropped with its server."""
        _nothing_runs(evening)
        url = make_url(evening.system.environment["TAPELINE_DATABASE_URL"])
        name = f"{url.database}_{encoding.lower()}"
        connection = psycopg2.connect(user=url.username, host=url.query["host"], dbname="postgres")
        connection.autocommit = True
        connection.cursor().execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
            " TEMPLATE template0"
        )
        connection.close()
        evening.system.environment["TAPELINE_DATABASE_URL"] = url.set(database=name).render_as_string(
            hide_password=False
        )

    return arrange


@contextmanager
def pooled(database_url: str, folder: Path, program: str) -> Iterator[str]:
    """The address of a PgBouncer in transaction mode before a database."""
    url = make_url(database_url)
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "users.txt").write_text(f'"{url.username}" ""\n')
    (folder / "pool.ini").write_text(
        f"[databases]\n* = host={url.query['host']} port={url.query.get('port', 5432)}\n"
        f"[pgbouncer]\nunix_socket_dir = {folder}\nlisten_addr =\nlisten_port = 6432\n"
        f"auth_type = trust\nauth_file = {folder}/users.txt\npool_mode = transaction\n"
        "ignore_startup_parameters = extra_float_digits\n"
    )
    as_user = {"user": pwd.getpwnam("nobody").pw_uid} if os.geteuid() == 0 else {}
    server = subprocess.Popen([program, str(folder / "pool.ini")], **as_user)  # type: ignore[call-overload]
    try:
        while not (folder / ".s.PGSQL.6432").exists():
            assert server.poll() is None
            time.sleep(0.05)
        yield f"postgresql+psycopg2://{url.username}@/{url.database}?host={folder}&port=6432"
    finally:
        server.terminate()
        server.wait(20)


PGBOUNCER = "PgBouncer in transaction mode before the database"

ROWS: dict[str, Row] = {
    "the right blank tape is in": Row(),
    "this month's tape, the run is due next month": Row(_next_month, night=_the_month_is_over),
    "no tape in the drive": Row(Evening.schedule),
    "a volume that could not be mounted an hour ago": Row(after=_not_mounted),
    "a cleaning cartridge": Row(_sense("Not Ready|Cleaning cartridge installed")),
    "a cartridge of a generation that does not fit": Row(
        _sense("Medium Error|Cannot read medium - incompatible format")
    ),
    "mkltfs is missing": Row(_missing),
    "the programs of LTFS are of several versions": Row(_another_ltfs),
    "the schedule is switched off": Row(_off, night=_never_due),
    "one schedule of two is switched off": Row(_one_off, night=_never_due),
    "only 'tapeline run' has made a schedule": Row(_only_the_demo, night=_never_due),
    "the schedule has never run": Row(_never_run),
    "beat does not run": Row(lambda evening: _without(evening, has_beat=False)),
    "no channel": Row(_no_channel),
    "the tape worker does not answer": Row(after=_stopped),
    "the only source is gone": Row(_no_source),
    "Redis is at its maxmemory": Row(after=_full),
    "Redis is a read-only replica": Row(after=lambda evening: evening.redis.replicaof("127.0.0.1", "1")),
    PGBOUNCER: Row(),
    "a database of SQL_ASCII": Row(_encoding("SQL_ASCII"), night=_never_due),
    "a database of LATIN1": Row(_encoding("LATIN1"), night=_never_due),
}
NEED_LTFS = {
    "a cleaning cartridge",
    "a cartridge of a generation that does not fit",
    "mkltfs is missing",
    "the programs of LTFS are of several versions",
}
