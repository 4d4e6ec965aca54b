"""The evenings of the table of dusk (docs/reliability.md), and how each comes about."""

from __future__ import annotations

import os
import pwd
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
from sqlalchemy import make_url

from policy.times.period import ScheduleType
from tape.virtual import shelf
from tests.e2e.messages.evening import NAME, Evening
from tests.system import System


@dataclass(frozen=True)
class Row:
    """How an evening comes about: before anything runs, once all of it runs, and as the night falls."""

    before: Callable[[Evening], Any] = lambda evening: (evening.insert(), evening.schedule())
    after: Callable[[Evening], Any] | None = None
    night: Callable[[Evening], Any] = Evening.fall


def _never_due(_: Evening) -> None:
    """Nothing is planned."""


def _next_month(evening: Evening) -> None:
    evening.insert()
    assert evening.system.drive.format(f"TP{datetime.now(UTC):%Y%m}01").return_code == 0
    evening.schedule(schedule_type=ScheduleType.MONTHLY, schedule_config={"day": 1, "at": "02:00"})
    # On the 1st, the run of this night is over.
    now = datetime.now(UTC)
    evening.system.change_schedule(NAME, last_success_time=now, created_at=now)


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


def _soon_silent(evening: Evening) -> None:
    """Twenty seconds of the test would go into waiting for a worker to count as silent."""
    _without(evening)
    evening.system.environment["TAPELINE_DRIVE_SILENT_SECONDS"] = "8"


def _no_source(evening: Evening) -> None:
    evening.source = evening.system.folder / "gone"
    evening.insert()
    evening.schedule()


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
    "the tape worker does not answer": Row(_soon_silent, after=_stopped),
    "the only source is gone": Row(_no_source),
    "Redis is at its maxmemory": Row(after=_full),
    "Redis is a read-only replica": Row(
        _soon_silent, after=lambda evening: evening.redis.replicaof("127.0.0.1", "1")
    ),
    PGBOUNCER: Row(),
    "a database of SQL_ASCII": Row(_encoding("SQL_ASCII"), night=_never_due),
    "a database of LATIN1": Row(_encoding("LATIN1"), night=_never_due),
}
SHARED = (
    "the schedule is switched off",
    "one schedule of two is switched off",
    "only 'tapeline run' has made a schedule",
    "no tape in the drive",
    "this month's tape, the run is due next month",
    "the only source is gone",
    "the schedule has never run",
    "the right blank tape is in",
)
"""Rows that differ in the schedule and the tape: one installation has them one after another. Those in which
nothing is said come first."""

NEED_LTFS = {
    "a cleaning cartridge",
    "a cartridge of a generation that does not fit",
    "mkltfs is missing",
    "the programs of LTFS are of several versions",
}
