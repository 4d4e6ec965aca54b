"""A storm over an installation: runs on new and on recycled tapes, and random deaths of every process."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from db.models import BackupSet, ChainRun, TapeCartridge
from db.states import ACTIVE, RunState
from db.tapes import cartridges, kin
from policy.tapes.facts import CartridgeState
from tape.errors import DriveBusy
from tape.hostlock import HostLock
from tape.virtual import shelf
from tests.faults.fragile import FragileSystem

MB = 1 << 20
TAPE = {"capacity": 10**9, "speed": 4 * MB, "format_seconds": 1.0}
TEMPLATE = {"archive_bytes": MB, "compression": "none", "retention_days": 30}
SCHEDULES = ("first", "second")
MAX_LENGTH = 8.0
"""Seconds of a round in which processes die: about as long as its runs take."""
TO_REST = 150.0
"""Seconds in which every run has to come to its end when nothing dies any more."""


class Storm:
    """Rounds of runs and deaths, chosen by a seed; when exactly a death strikes is left to the machine."""

    def __init__(self, system: FragileSystem, seed: int) -> None:
        self.system = system
        self.counts: Counter[str] = Counter()
        self.aged: set[str] = set()
        """Sets that have been made old, and may be lost."""
        self._random = random.Random(seed)
        self._tapes: list[str] = []
        for name in SCHEDULES:
            system.schedule(name, system.source, template=TEMPLATE, tape_policy="rotate")

    def round(self) -> None:
        """A tape, one run or two, deaths; then everything is started again and comes to rest."""
        self._insert()
        started = [self.system.begin(name) for name in self._some(SCHEDULES, 1)]
        self.counts["runs"] += len(started)
        deaths = self._some(self.deaths, 1, most=4)
        for moment, death in sorted(((self._random.uniform(0, MAX_LENGTH), d) for d in deaths), key=_moment):
            self._wait_until(moment, started)
            death()
            self.counts["kills"] += 1
            self._mend(soon=self._random.random() < 0.5)
        self._mend(soon=True)
        self._rest()

    def _some(self, things: Sequence[Any], least: int, most: int | None = None) -> list[Any]:
        most = min(most or len(things), len(things))
        return self._random.sample(things, self._random.randint(least, most))

    def _wait_until(self, moment: float, started: list[int]) -> None:
        """A death that comes after the end of the runs is no trial of them."""
        deadline = time.monotonic() + moment / 3
        while time.monotonic() < deadline and self._active(started):
            time.sleep(0.05)

    # Tapes

    def _insert(self) -> None:
        """A new tape, one that is made old and may be formatted anew, or the one that is in."""
        choice = self._random.random()
        old = [barcode for barcode in self._tapes if self._may_be_used(barcode)]
        if choice < 0.4 or not self._tapes:
            barcode = f"S{len(self._tapes):05d}"
            shelf.new_cartridge(self.system.drive.path, barcode, **TAPE)
            self._tapes.append(barcode)
            shelf.insert(self.system.drive.path, barcode)
        elif choice < 0.8 and old:
            self._recycle(self._random.choice(old))

    def _may_be_used(self, barcode: str) -> bool:
        row = self._row(barcode)
        return row is not None and row.state in {CartridgeState.ACTIVE, CartridgeState.FULL}

    def _row(self, barcode: str) -> TapeCartridge | None:
        wanted = select(TapeCartridge).where(TapeCartridge.barcode == barcode)
        found: TapeCartridge | None = self.system.ask(lambda session: session.scalar(wanted))
        return found

    def _recycle(self, barcode: str) -> None:
        """Two months pass for a cartridge and its sets."""
        shelf.insert(self.system.drive.path, barcode)
        old = datetime.now(UTC) - timedelta(days=70)
        label = f"TP{old:%Y%m}{1 + self.counts['recycled'] % 99:02d}"
        taken = self.system.ask(lambda session: cartridges.labels_of_others(session, {"state": "no_medium"}))
        if label in taken:
            return
        with shelf.edit(self.system.drive.path, barcode) as record:
            if record.volume is None or record.volume.read_only:
                return
            record.volume.label = label
        self.system.ask(lambda session: self._make_old(session, barcode, label, old))
        self.counts["recycled"] += 1

    def _make_old(self, session: Any, barcode: str, label: str, old: datetime) -> None:
        row = session.scalars(select(TapeCartridge).where(TapeCartridge.barcode == barcode)).one()
        row.tape_id = row.label = label
        sets = list(session.scalars(select(BackupSet).where(BackupSet.id.in_(kin.on(row)))))
        self.aged |= {stored.id for stored in sets}
        session.execute(
            update(BackupSet)
            .where(BackupSet.id.in_([stored.id for stored in sets]))
            .values(
                period=f"{old:%Y-%m}",
                started_at=old,
                finished_at=old,
                retention_until=old + timedelta(days=30),
            )
        )

    # Deaths

    @property
    def deaths(self) -> Sequence[Callable[[], None]]:
        """What may die."""
        return (
            self._tape_child,
            self._tape_worker,
            self._tape_host,
            self._control_children,
            self._control_worker,
            self._beat,
            self._redis,
            self._postgres,
        )

    def _tape_child(self) -> None:
        self._pool("tape")

    def _control_children(self) -> None:
        self._pool("control")

    def _pool(self, name: str) -> None:
        if name in self.system.processes:
            self.system.kill_pool(name)

    def _tape_worker(self) -> None:
        if "tape" in self.system.processes:
            self.system.kill_only("tape")

    def _tape_host(self) -> None:
        if "tape" in self.system.processes:
            self.system.crash("tape")

    def _control_worker(self) -> None:
        if "control" in self.system.processes:
            self.system.kill("control")

    def _beat(self) -> None:
        if "beat" in self.system.processes:
            self.system.kill("beat")

    def _redis(self) -> None:
        if self.system.redis.running():
            self.system.kill_redis()

    def _postgres(self) -> None:
        """All of its processes at once: SIGQUIT, as after a crash; it recovers from its log."""
        if self.system.postgres.running():
            self.system.stop_postgres(signal.SIGQUIT)

    # Mending

    def _mend(self, *, soon: bool) -> None:
        """Start what does not run, perhaps after a while."""
        time.sleep(0.0 if soon else self._random.uniform(0, 2))
        self.system.start_servers()
        for name in ("control", "tape", "beat"):
            process = self.system.processes.get(name)
            assert process is None or process.poll() is None, f"{name} has ended\n{self.system.logs()}"
            if process is None:
                self._start(name)

    def _start(self, name: str) -> None:
        if name == "beat":
            self.system.start_beat()
            return
        if name == "tape":
            self.system.wait_for(self._drive_is_free, "an orphaned format program to end")
        self.system.start(name)

    def _drive_is_free(self) -> bool:
        try:
            with HostLock(self.system.drive.path / "drive.lock"):
                return True
        except DriveBusy:
            return False

    def _active(self, of: list[int] | None = None) -> list[int]:
        wanted = select(ChainRun.id).where(ChainRun.state.in_(ACTIVE))
        if of:
            wanted = wanted.where(ChainRun.id.in_(of))
        return list(self.system.ask(lambda session: session.scalars(wanted).all()))

    def _rest(self) -> None:
        """Every run ends, now that nothing dies; one that an operator has to look at ends as FAILED."""
        self.system.wait_for(lambda: not self._active(), "every run to end", TO_REST)
        wanted = select(ChainRun.state).order_by(ChainRun.id)
        states = Counter(self.system.ask(lambda session: session.scalars(wanted).all()))
        self.counts["succeeded"] = states[RunState.SUCCEEDED]
        self.counts["failed"] = states[RunState.FAILED]

    def retry_failed(self) -> None:
        """An operator puts a new tape in and retries what has failed."""
        failed = self.system.ask(
            lambda s: s.scalars(select(ChainRun.id).where(ChainRun.state == RunState.FAILED)).all()
        )
        if failed and self._random.random() < 0.5:
            self.counts["retries"] += 1
            self.system.send("retry", self._random.choice(list(failed)))
            self.system.settle()
            self._rest()


def _moment(planned: tuple[float, Any]) -> float:
    return planned[0]
