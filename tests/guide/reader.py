"""Where a chapter is played: an installation as its reader has it, and hands at its virtual drive."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import redis
from sqlalchemy import make_url, text

from db.engine import Database
from tape.virtual import library, shelf
from tests.faults.catcher import Catcher
from tests.guide.chapters import Step
from tests.system import System

BIN = Path(sys.executable).parent
ZONE = ZoneInfo("Asia/Shanghai")
"""The clock of the guide's company."""
SET_ID = "20261201T020000Z-4fc6"
"""What the guide calls the newest set."""
MAIL_SLOT = 7
LIMIT = 120
SCHEDULE = """\
[schedules.monthly-full]
when = {{ type = "monthly", day = 1, at = "02:00" }}
{waits}
[schedules.monthly-full.backup]
sources = ["{files}"]
"""


class Reader:
    """A chapter's reader: a folder, settings, files, a drive, and whatever was done before the chapter."""

    def __init__(self, system: System, broker: redis.Redis, programs: Path) -> None:
        self.system = system
        self.root = system.folder
        self.work = system.folder / "work"
        self.port = _free_port()
        self._broker = broker
        self._catcher = Catcher()
        self._barcodes: dict[str, str] = {}
        self._shelf = system.drive.path
        self._new_database: Database | None = None
        self._up: subprocess.Popen[bytes] | None = None
        system.environment |= {
            "PATH": os.pathsep.join([str(programs), str(BIN), os.environ["PATH"]]),
            "PYTHONWARNINGS": "ignore",
            "TAPELINE_TIME_ZONE": ZONE.key,
            "TAPELINE_FLOWER__PORT": str(self.port),
            "COLUMNS": "200",
        }
        for folder in (self.work, self.root / "backup", self.root / "mnt", self.files / "deep"):
            folder.mkdir(parents=True)
        (self.files / "report.txt").write_text("what was wanted\n")
        (self.files / "table.xlsx").write_bytes(b"\0table" * 999)
        (self.files / "deep" / "more.txt").write_text("more\n")

    @property
    def files(self) -> Path:
        return self.root / "srv" / "files"

    # What was done before.

    def up(self) -> None:
        """With a channel: a reader who goes on from the first chapter has one."""
        channel = {"ops": {"type": "apprise", "url": self._catcher.url}}
        self.system.environment["TAPELINE_CHANNELS"] = json.dumps(channel)
        self.begin("tapeline up")

    def backed_up(self, *, waits: bool = True) -> None:
        """The first backup is on this month's tape: run 1."""
        self.up()
        plan = SCHEDULE.format(files=self.files, waits='wait_for_tape = "24h"\n' if waits else "")
        (self.work / "schedules.toml").write_text(plan)
        self.hands["a blank tape is put in"]()
        self._type(Step("tapeline schedule apply schedules.toml --yes"))
        self._type(Step("tapeline schedule run monthly-full"))

    def with_library(self) -> None:
        """The drive is fed by a library of six slots and a mail slot, all of them empty; nothing has run."""
        self._shelf = self.root / "library"
        changer = {"driver": "virtual", "path": str(self._shelf), "drives": {"0": "tape0"}}
        drive = {"driver": "virtual", "path": str(self.system.drive.path)}
        self.system.environment["TAPELINE_DRIVES"] = json.dumps({"tape0": drive})
        self.system.environment["TAPELINE_CHANGERS"] = json.dumps({"lib0": changer})
        library.make(self._shelf, {0: self.system.drive.path}, slots=6, mail_slots=1)
        self.up()
        (self.work / "schedules.toml").write_text(SCHEDULE.format(files=self.files, waits=""))
        self._type(Step("tapeline schedule apply schedules.toml --yes"))

    def failed(self) -> None:
        """Three more runs found last month's tape: 2, 3 and 4."""
        self.backed_up(waits=False)
        self.hands["last month's tape is put in"]()
        for _ in range(3):
            self._type(Step("tapeline schedule run monthly-full", code=1))

    # What hands do.

    @property
    def hands(self) -> dict[str, Callable[[], None]]:
        return {
            "a blank tape is put in": self._blank,
            "this month's tape is put in": lambda: self._insert(self._barcodes["this month"]),
            "last month's tape is put in": self._last_month,
            "two blank tapes are put into slots": self._fill_slots,
            "the mail slot is emptied": lambda: library.put(self._shelf, MAIL_SLOT, None),
            "the robot fails at its next move": self._break_robot,
            "the database is lost": self._lose_database,
            "what runs is stopped": self.end,
        }

    def _insert(self, barcode: str) -> None:
        self.system.wait_for(lambda: self._try_to_insert(barcode), "the drive to be free")

    def _try_to_insert(self, barcode: str) -> bool:
        from tape.errors import DriveBusy

        with suppress(DriveBusy):
            shelf.insert(self.system.drive.path, barcode)
            return True
        return False

    def _blank(self) -> str:
        barcode = f"A{len(shelf.barcodes(self.system.drive.path)) + 1:05d}L9"
        shelf.new_cartridge(self.system.drive.path, barcode, capacity=10**9)
        self._insert(barcode)
        self._barcodes.setdefault("this month", barcode)
        return barcode

    def _fill_slots(self) -> None:
        for slot, barcode in enumerate(("TP0001L9", "TP0002L9"), 1):
            shelf.new_cartridge(self._shelf, barcode, capacity=10**9)
            library.put(self._shelf, slot, barcode)

    def _break_robot(self) -> None:
        library.set_faults(self._shelf, [{"at": "load", "error": "lost"}])

    def _last_month(self) -> None:
        if "last month" in self._barcodes:
            self._insert(self._barcodes["last month"])
            return
        self._barcodes["last month"] = self._blank()
        self.system.drive.format(f"TP{_last_month():%Y%m}01")
        self._type(Step("tapeline tape register"))

    def _lose_database(self) -> None:
        """And the broker with it."""
        self.end()
        self._broker.flushall()
        url = make_url(self.system.database.url)
        new = url.set(database=f"{url.database}_new").render_as_string(hide_password=False)
        self._server = Database(url.set(database="postgres").render_as_string(hide_password=False))
        with self._server.outside_transactions() as connection:
            connection.execute(text(f'CREATE DATABASE "{url.database}_new"'))
        self.system.environment["TAPELINE_DATABASE_URL"] = new
        self.system.database.close()
        self.system.database = self._new_database = Database(new)

    # What is typed.

    def do(self, step: Step) -> None:
        """Do one step, and see that it ends as the chapter says."""
        if step.by_hand:
            self.hands[step.text]()
        elif step.runs_on:
            self.begin(self.here(step.text))
        else:
            self._type(step)

    def _type(self, step: Step) -> None:
        command = self.here(step.text)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.work,
            env=self.system.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        told = f"$ {command}\n{done.stdout}{done.stderr}"
        assert done.returncode == step.code, f"{told}\nexit code {done.returncode}\n{self._logs()}"
        assert "Traceback" not in told, told

    def begin(self, command: str) -> None:
        """Start what runs on, and wait until both workers are ready."""
        for name in ("control", "tape"):
            (self.system.state / "log" / f"{name}.log").unlink(missing_ok=True)
        with (self.root / "up.log").open("ab") as log:
            self._up = subprocess.Popen(
                [BIN / command.split()[0], *command.split()[1:]],
                cwd=self.work,
                env=self.system.environment,
                stdout=log,
                stderr=log,
            )
        for name in ("control", "tape"):
            self.system.wait_for(lambda name=name: b" ready." in self._log(name), f"{name} ready", 90)
        self.system.wait_for(self._dashboard_answers, "the dashboard", 90)

    def end(self) -> None:
        """End what runs on."""
        if self._up is not None:
            self._up.terminate()
            self._up.wait(60)
            self._up = None

    def close(self) -> None:
        """End everything; the system's own database is dropped by its fixture."""
        self.end()
        self._catcher.close()
        if self._new_database is not None:
            self._new_database.close()
            name = make_url(self._new_database.url).database
            with self._server.outside_transactions() as connection:
                connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
            self._server.close()

    def here(self, command: str) -> str:
        """A command as it is typed in this place: with its folders, its tapes and its newest set."""
        if SET_ID in command:
            command = command.replace(SET_ID, self._newest_set())
        self._mount()
        meant = {
            "/srv/files": str(self.files),
            " srv/files": f" {str(self.files)[1:]}",
            "/restore": f"{self.root}/restore",
            "/mnt/tape": f"{self.root}/mnt/tape",
            "/backup/": f"{self.root}/backup/",
            "~/.local/state/tapeline": str(self.system.state),
            ":5555": f":{self.port}",
            "TP202612": f"TP{datetime.now(ZONE):%Y%m}",
            "TP202611": f"TP{_last_month():%Y%m}",
        }
        said = "|".join(map(re.escape, meant))
        return re.sub(said, lambda found: meant[found[0]], command)

    def _volume(self) -> Path | None:
        """The folder of the volume in the drive, None if the drive is empty."""
        barcode = shelf.inserted(self.system.drive.path)
        return shelf.folder_of(self._shelf, barcode) / "volume" if barcode else None

    def _newest_set(self) -> str:
        """Of all tapes, also of those that are not in the drive."""
        folders = [shelf.folder_of(self._shelf, barcode) for barcode in shelf.barcodes(self._shelf)]
        return max(found.name for folder in folders for found in folder.glob("volume/sets/*"))

    def _mount(self) -> None:
        """A virtual tape is a folder: /mnt/tape is what is in the drive."""
        place, volume = self.root / "mnt" / "tape", self._volume()
        place.unlink(missing_ok=True)
        if volume:
            place.symlink_to(volume)

    def _dashboard_answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _log(self, name: str) -> bytes:
        path = self.system.state / "log" / f"{name}.log"
        return path.read_bytes() if path.exists() else b""

    def _logs(self) -> str:
        return "\n".join(f"== {name}\n{self._log(name).decode()[-3000:]}" for name in ("control", "tape"))


def _last_month() -> datetime:
    return datetime.now(ZONE).replace(day=1) - timedelta(days=1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
