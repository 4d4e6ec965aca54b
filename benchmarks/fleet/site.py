"""The fleet at work: its drives, its beat and its hours, on the stage of the histories."""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select, update

from benchmarks.fleet.size import FULL, HOURS, NIGHTLY, RETENTION_DAYS, SPREAD, FleetSize
from celery_app import celery, wiring
from celery_app.scheduler import DatabaseScheduler
from db import leaps
from db.models import BackupSet, ChainRun, Drive, ScheduledTask, now
from db.schedules import planner
from db.states import BackupType
from policy.times.period import ScheduleType
from tape.virtual import shelf as virtual_shelf
from tests.histories.machinery.bus import Letter
from tests.histories.machinery.points import Plan, Process
from tests.histories.memory import Memory
from tests.histories.world import Parts, World

FILES, FILE_BYTES = 4, 2000
CAPACITIES = (1 << 18, 1 << 20, 1 << 21)
"""Of the cartridges of a drive, in turn: the smallest is full after a few weeks."""
WAIT_SECONDS = 60 * 3600
"""As long as a run waits for its tape: from Saturday's evening to Monday's."""
FIRST_HOUR, NIGHT_HOURS = 18, 10
LONGEST = timedelta(hours=20)


def run_of(letter: Letter) -> int:
    """The run that a step's message is about."""
    return int(json.loads(letter.body)[0][0])


class UntiedMemory(Memory):
    """Without copies of the sources: only the newest set of a drive is compared with its source."""

    def _copy(self, _source: Path) -> Path | None:
        return None


class Site(World):
    """A hundred drives are a world as two are. What a run takes stands between its last archive and its last
    step: so long it keeps its drive."""

    def __init__(self, parts: Parts, size: FleetSize) -> None:
        super().__init__(parts)
        self.size = size
        self.random = random.Random(size.seed)
        self.memory = UntiedMemory(parts.folder / "trees")
        self.ledger._memory = self.memory
        self.beat = DatabaseScheduler(
            celery.app, lazy=True, database=wiring.database(), clock=lambda _: now()
        )
        self.before_letter: Callable[[Letter], Plan | None] = lambda _: None
        """Chooses what strikes the worker that takes this message."""
        self.changed_at = size.first_day
        """When the sources changed last."""
        self._later: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._kept: set[str] = set()
        self._is_over = False

    def host_of(self, drive: str) -> str:
        return self.size.host_of(drive)

    def open(self) -> None:
        """Every drive with its two schedules, its source, and a blank tape in it."""
        self.set_up({}, self.size.first_day)
        for number, name in enumerate(self.size.names):
            self.change_source(name, 0)
            self.buy(name)
            at = self.random.randrange(NIGHT_HOURS * 60)
            hour, minute = divmod((FIRST_HOUR * 60 + at) % (24 * 60), 60)
            times = {FULL: f"{FIRST_HOUR}:{number % 60:02}", NIGHTLY: f"{hour:02}:{minute:02}"}
            for kind, at_time in times.items():
                self._plan(kind, name, at_time)
        self.look()

    def _plan(self, kind: str, drive: str, at: str) -> None:
        is_full = kind == FULL
        self.schedule(
            f"{kind}-{drive}",
            drive,
            drive,
            schedule_type=ScheduleType.WEEKLY if is_full else ScheduleType.DAILY,
            schedule_config={"day": "saturday", "at": at} if is_full else {"at": at},
            tape_policy="rotate",
            wait_for_tape_seconds=WAIT_SECONDS,
            retention_days=RETENTION_DAYS[kind],
            time_zone="UTC",
        )
        with self.session() as session:
            row = session.scalars(select(ScheduledTask).filter_by(name=f"{kind}-{drive}")).one()
            row.template.type = BackupType.FULL if is_full else BackupType.INCREMENTAL

    def change_source(self, drive: str, number: int) -> None:
        """One file of a drive's source is another one now."""
        self.changed_at = self.clock.moment
        folder = self.parts.sources / drive
        folder.mkdir(parents=True, exist_ok=True)
        for each in range(FILES) if number == 0 else [number % FILES]:
            (folder / f"file-{each}").write_bytes(f"{drive} {number} ".encode() * (FILE_BYTES // 16))

    def buy(self, drive: str) -> None:
        """A new tape is put into a drive."""
        self.counts["tapes bought"] += 1
        path, number = self.drive_path(drive), self.counts["tapes bought"]
        capacity = CAPACITIES[self.size.names.index(drive) % len(CAPACITIES)]
        virtual_shelf.new_cartridge(path, f"T{number:05}", capacity=capacity)
        self.insert(drive, f"T{number:05}")

    # Hours

    def later(self, at: datetime, act: Callable[[], None]) -> None:
        """Do something when this moment has come."""
        heapq.heappush(self._later, (at, next(self._numbers), act))

    def go_on_until(self, end: datetime) -> None:
        """Let everything happen that is due before a moment, in its order."""
        while True:
            with self.session() as session:
                due = planner.next_time(session, self.clock.moment)
            first = self._later[0][0] if self._later else end
            moment = min(first, due or end, end)
            if moment >= end:
                break
            self.clock.moment = max(moment, self.clock.moment)
            if first <= moment:
                heapq.heappop(self._later)[2]()
            else:
                self.look()
            self.drain()
        self.clock.moment = max(end, self.clock.moment)

    def settle(self) -> None:
        """What is under way takes its hours, nothing new begins, and everything is mended."""
        self._is_over = True
        while self._later:
            at, _, act = heapq.heappop(self._later)
            self.clock.moment = max(at, self.clock.moment)
            act()
            self.drain()
        super().settle()

    def look(self) -> None:
        """Beat looks at the schedules."""
        self.beat.look()

    def tick(self) -> None:
        """As every minute, but for all drives by one statement."""
        up = [worker.drive for worker in self.workers.values() if worker.up]
        with self.session() as session:
            leaps.note(session, now())
            session.execute(update(Drive).where(Drive.name.in_(up)).values(last_seen_at=now()))
        self.ask_for_periodic()

    # Messages

    def drain(self, plan: Plan | None = None, most: int = 100_000) -> None:
        for _ in range(most):
            letter = self._next()
            if letter is None:
                return
            self.deliver(letter, plan or self.before_letter(letter))
        self.ledger.violation(f"there are still messages after {most}")

    def deliver(self, letter: Letter, plan: Plan | None = None) -> Process:
        self.counts[f"messages {letter.task}"] += 1
        return super().deliver(letter, plan)

    def _next(self) -> Letter | None:
        for name, letters in self.bus.queues.items():
            while letters and self._is_for_later(letters[0]):
                self._keep(letters[0])
            if letters and (name == "control" or self._consumer(letters[0]) is not False):
                return letters[0]
        return None

    def _is_for_later(self, letter: Letter) -> bool:
        is_last = letter.task == "tapeline.notify" and not self._is_over
        return is_last and letter.id not in self._kept

    def _keep(self, letter: Letter) -> None:
        """The run's data is on its tape; now it takes the hours that this would have taken."""
        self.bus.take(letter)
        self._kept.add(letter.id)
        self.later(self.clock.moment + self._hours(letter), lambda: self._put_back(letter))

    def _put_back(self, letter: Letter) -> None:
        self.bus.queues[letter.queue].append(letter)

    def _hours(self, letter: Letter) -> timedelta:
        made = select(BackupSet.type).join(ChainRun, ChainRun.set_id == BackupSet.id)
        with self.session() as session:
            kind = session.scalar(made.where(ChainRun.id == run_of(letter)))
        median = HOURS[FULL if kind is BackupType.FULL else NIGHTLY]
        return min(timedelta(hours=median * self.random.lognormvariate(0, SPREAD)), LONGEST)
