"""A whole Tapeline in one process: real tasks, rows and files on virtual tapes; one clock, one broker."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from celery_app import settings
from celery_app.worker import guards
from db import leaps
from db.engine import Database
from db.models import BackupSet, ChainRun, Notification, Options, ScheduledTask, now
from db.runs import starting
from db.schedules import schedules
from db.states import ACTIVE, RunState, Step, Trigger
from db.states import Kind as RunKind
from db.tapes import drives
from policy.errors import TapelineError
from tape.errors import DriveBusy, DriveError
from tape.hostlock import HostLock
from tape.virtual import shelf as virtual_shelf
from tape.virtual.drive import VirtualDrive
from tasks import chain
from tests.histories.ledger import Ledger
from tests.histories.machinery import shelf, sources, truth
from tests.histories.machinery.bus import Bus, Letter
from tests.histories.machinery.clock import START, Clock, HostClock
from tests.histories.machinery.drive import Formatter
from tests.histories.machinery.mailbox import Mailbox
from tests.histories.machinery.points import Killed, Plan, Points, Process
from tests.histories.memory import Memory

DRIVES = ("tape0", "tape1")
AHEAD = {"tape0": timedelta(minutes=4), "tape1": timedelta(minutes=-4)}
"""How wrong the clock of each drive's host is."""
ARCHIVE_BYTES = 14_000
MAX_ROUNDS = 40
"""More minutes than any sound history needs to come to rest."""
TAPES_OFFERED = 9
"""To each run that waits in the end, before it is left to its deadline."""
MAX_LETTERS = 400
"""More than any sound history needs to come to rest."""


@dataclass
class Worker:
    """A drive's worker on its host."""

    drive: str
    lock: HostLock
    up: bool = False
    ending: bool = False


@dataclass
class Parts:
    """What a history is made of, and made only once: it is emptied for the next."""

    folder: Path
    database: Database
    points: Points
    clock: Clock
    host_clock: HostClock
    bus: Bus
    formatter: Formatter
    mailbox: Mailbox
    sources: Path
    drives: tuple[str, ...] = DRIVES
    counts: Counter[str] = field(default_factory=Counter)


class World:
    """The state of one history, and everything that may happen in it."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.points, self.clock, self.bus = parts.points, parts.clock, parts.bus
        self.counts = parts.counts
        self.memory = Memory(parts.folder / "trees")
        self.ledger = Ledger(parts.database, parts.clock, self.memory)
        self.is_rebuilt = False
        """Whether the database was lost, and made anew or from an older copy."""
        parts.formatter.begins = self._format_begins
        self.workers = {
            name: Worker(name, HostLock(self.drive_path(name) / "drive.lock")) for name in parts.drives
        }

    def _format_begins(self, folder: Path, label: str) -> None:
        self.counts["formats"] += 1
        self.ledger.format_begins(folder, label)

    # The stage

    def drive_path(self, name: str) -> Path:
        return self.parts.folder / "drives" / name

    def set_up(
        self, cartridges: Mapping[str, tuple[shelf.Cartridge, ...]], first_day: datetime = START
    ) -> None:
        """Empty the database and the shelves; put these cartridges there; start the workers."""
        truth.clear(self.parts.database)
        for name in ("drives", "trees"):
            shutil.rmtree(self.parts.folder / name, ignore_errors=True)
        sources.fill(self.parts.sources)
        self.bus.clear()
        self.bus.away = False
        self.parts.mailbox.empty()
        self.clock.moment = first_day
        with self.session() as session:
            leaps.note(session, now())
            for name in self.workers:
                self.drive_path(name).mkdir(parents=True)
                for cartridge in cartridges.get(name, ()):
                    self._remember(shelf.put(session, self.drive_path(name), cartridge, first_day))
        for name in self.workers:
            self.start_worker(name)

    def _remember(self, stored: BackupSet | None) -> None:
        if stored is not None and stored.retention_until is not None:
            self.memory.know(stored.id, stored.retention_until, stored.started_at)

    @contextmanager
    def session(self) -> Iterator[Any]:
        """A transaction of the test's own, which nothing strikes."""
        with self.parts.database.transaction() as session:
            yield session

    def close(self) -> None:
        """Let go of what outlives a history."""
        self.parts.formatter.end_orphan(killed=True)
        for worker in self.workers.values():
            worker.lock.release()

    # Workers

    def schedule(self, name: str, drive: str, source: str, **values: Any) -> None:
        """Make a schedule."""
        with self.session() as session:
            template = {"archive_bytes": ARCHIVE_BYTES, "compression": "none"}
            keeping = {each: values.pop(each, None) for each in ("retention_days", "keep_sets")}
            template |= keeping
            self.memory.plans[name] = (keeping["retention_days"], keeping["keep_sets"])
            schedules.put(
                session,
                name,
                drive=drive,
                sources=[str(self.parts.sources / source)],
                template=template,
                **values,
            )

    def plain_drive(self, folder: Path) -> VirtualDrive:
        """A cartridge put into its drive, as it is; nobody else uses the drive now."""
        path = folder.parent.parent
        with virtual_shelf.edit(path, folder.name) as record:
            record.faults = []
        virtual_shelf.insert(path, folder.name)
        return VirtualDrive(path.name, path)

    def start_worker(self, name: str) -> None:
        """Start a drive's worker; it refuses while anything else holds the drive."""
        worker = self.workers[name]
        if worker.up:
            return
        try:
            worker.lock.acquire()
        except DriveBusy:
            return
        worker.up, worker.ending = True, False
        queue = settings.load().queue_of(name)
        with self.session() as session:
            drives.register(
                session, name=name, driver="virtual", host=self.host_of(name), worker=name, queue=queue
            )
        chain.ask("tapeline.recover")

    def host_of(self, _drive: str) -> str:
        """The host that a drive is at."""
        return "here"

    def stop_worker(self, name: str) -> None:
        """kill -9 of a drive's worker, or its end."""
        worker = self.workers[name]
        worker.up = worker.ending = False
        worker.lock.release()

    # Messages

    def deliverable(self) -> list[Letter]:
        """The messages that somebody is there to take."""
        return [letter for letter in self.bus.letters() if self._consumer(letter) is not False]

    def _consumer(self, letter: Letter) -> Worker | bool | None:
        """The drive's worker that takes a letter, None for a control worker, False if it is not there."""
        if letter.queue == "control":
            return None
        worker = self.workers[settings.load().drive_of(letter.queue)]
        return worker if worker.up and worker.drive not in self.busy else False

    @property
    def busy(self) -> set[str]:
        """The drives whose worker is in the middle of a step: it does one thing at a time."""
        return set(self._busy)

    _busy: tuple[str, ...] = ()
    taken: Letter | None = None
    """The message that is worked on."""

    def deliver(self, letter: Letter, plan: Plan | None = None) -> Process:
        """Let a worker take a message and work on it; ``plan``: what strikes it, at which of its points."""
        worker = self._consumer(letter)
        assert worker is not False
        self.bus.take(letter)
        self.taken = letter
        process = Process(plan or Plan())
        self._work(letter, worker if isinstance(worker, Worker) else None, process)
        if process.dead and process.death:
            process.death()
        return process

    def _work(self, letter: Letter, worker: Worker | None, process: Process) -> None:
        before = guards._held, guards._ending[0], self._busy
        guards._held = guards.Held(worker.drive, worker.lock, None) if worker else None  # type: ignore[arg-type]
        guards._ending[0] = bool(worker and worker.ending)
        if worker:
            self._busy = (*self._busy, worker.drive)
        clock, ahead = self.parts.host_clock, self.parts.host_clock.ahead
        clock.ahead = AHEAD.get(worker.drive, timedelta()) if worker else timedelta()
        self.counts["messages"] += 1
        try:
            with self.points.work(process), suppress(Killed):
                self.bus.perform(letter)
        finally:
            guards._held, guards._ending[0], self._busy = before
            clock.ahead = ahead
        if worker and worker.ending:
            self.stop_worker(worker.drive)

    def drain(self, plan: Plan | None = None, most: int = MAX_LETTERS) -> None:
        """Let the workers take all there is, first come first served; strikes count over all of it."""
        plan = plan or Plan()
        for _ in range(most):
            waiting = self.deliverable()
            if not waiting:
                return
            self.deliver(waiting[0], plan)
        self.ledger.violation(f"still {len(list(self.bus.letters()))} messages after {most}")

    def tick(self) -> None:
        """Beat: runs are looked after and messages delivered, as every minute."""
        with self.session() as session:
            for worker in self.workers.values():
                if worker.up:
                    drives.seen(session, worker.drive)
        self.ask_for_periodic()

    def ask_for_periodic(self) -> None:
        """Beat sends what it sends every minute, unless the last one still waits."""
        for task in ("recover", "deliver"):
            if not any(letter.task == f"tapeline.{task}" for letter in self.bus.queues["control"]):
                chain.ask(f"tapeline.{task}")

    # Operators and beat

    def announce(self, schedule: str, times: int = 1) -> None:
        """Beat: an occurrence of a schedule is due; it may say so twice."""
        with self.session() as session:
            row = session.scalars(select(ScheduledTask).filter_by(name=schedule)).one()
            row_id = row.id
        due = self.clock.now().isoformat()
        for _ in range(times):
            chain.ask("tapeline.start", schedule_id=row_id, due_at=due, trigger="schedule")

    def begin(self, schedule: str, options: Options | None = None) -> int:
        """``tapeline schedule run``: what the command does."""
        with self.session() as session:
            row = session.scalars(select(ScheduledTask).filter_by(name=schedule)).one()
            run = starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL, options=options)
            assert run is not None
        if run.state is RunState.SKIPPED:
            chain.ask("tapeline.deliver", brief=True, run_id=run.id)
        else:
            chain.release(run.drive, brief=True)
        return int(run.id)

    def restore(self, set_id: str, drive: str) -> int:
        """``tapeline sets restore``: what the command does."""
        with self.session() as session:
            number = len(list(self.parts.folder.glob("restored/*")))
            target = self.parts.folder / "restored" / f"{set_id}-{number}"
            run = starting.start_restore(
                session,
                set_id=set_id,
                drive=drive,
                options=Options(target=str(target)),
                requested_by="operator",
            )
        chain.release(run.drive, brief=True)
        return int(run.id)

    def command(self, what: Callable[[], Any]) -> None:
        """An operator's command, which may be refused; the refusal is one of Tapeline's own."""
        with suppress(TapelineError):
            what()

    def retry(self, run_id: int, step: Step | None = None) -> None:
        self.command(lambda: chain.retry(run_id, step, requested_by="operator", brief=True))

    def accept(self, run_id: int) -> None:
        self.counts["accepted"] += 1
        self.command(lambda: chain.accept(run_id, requested_by="operator", why="so it is", brief=True))

    def lose_files(self, name: str, how: sources.Loss) -> None:
        """A source is emptied, as by a mount that is gone; or with its folder; or it is back."""
        self.counts["sources lost"] += how is not sources.Loss.NONE
        with self.session() as session:
            self.memory.source_changes(session, self.parts.sources / name)
        sources.lose(self.parts.sources, name, how)

    def cancel(self, run_id: int) -> None:
        self.command(lambda: chain.cancel(run_id, requested_by="operator", brief=True))

    def insert(self, drive: str, barcode: str | None) -> None:
        """Put another cartridge into a drive, or take out the one that is in; a drive at work keeps it."""
        path = self.drive_path(drive)
        with suppress(DriveError):
            if barcode is None:
                virtual_shelf.remove(path)
            elif barcode in virtual_shelf.barcodes(path):
                virtual_shelf.insert(path, barcode)

    def carry_over(self, barcode: str) -> None:
        """Take a cartridge that is in no drive to the shelf of the other one."""
        for drive, other in (DRIVES, DRIVES[::-1]):
            here, there = self.drive_path(drive), self.drive_path(other)
            if barcode in virtual_shelf.barcodes(here) and virtual_shelf.inserted(here) != barcode:
                virtual_shelf.folder_of(there, barcode).parent.mkdir(exist_ok=True)
                virtual_shelf.folder_of(here, barcode).rename(virtual_shelf.folder_of(there, barcode))
                return

    def insert_next(self, drive: str) -> None:
        """Put the cartridge in that stands on the shelf after the one that is in the drive."""
        path = self.drive_path(drive)
        shelf_ = virtual_shelf.barcodes(path)
        if shelf_:
            loaded = virtual_shelf.inserted(path)
            place = shelf_.index(loaded) + 1 if loaded in shelf_ else 0
            self.insert(drive, shelf_[place % len(shelf_)])

    def time_passes(self, by: timedelta) -> None:
        """Nothing runs meanwhile; after a long time the operator looks at the clock and answers for it."""
        self.clock.move(by)
        with self.session() as session:
            if leaps.doubt(session, now()) is not None:
                leaps.confirm(session, now(), "operator", "a long pause")

    # Questions

    def run_ids(self, *states: RunState, kind: RunKind | None = None) -> list[int]:
        """The runs in one of these states (all, if none is named), oldest first."""
        query = select(ChainRun.id).order_by(ChainRun.id)
        if states:
            query = query.where(ChainRun.state.in_(states))
        if kind:
            query = query.where(ChainRun.kind == kind)
        with self.session() as session:
            return list(session.scalars(query))

    def settle(self) -> None:
        """Mend everything and let time pass until every run has ended."""
        self.parts.formatter.end_orphan()
        self.bus.away = False
        for number in range(MAX_ROUNDS):
            for name in self.workers:
                self.start_worker(name)
                self.workers[name].ending = False
            if is_fed := number < TAPES_OFFERED:
                self._offer_tapes()
            self.tick()
            self.drain()
            under_way = self.run_ids(RunState.QUEUED, RunState.RUNNING)
            if not self.run_ids(*ACTIVE) and self._all_sent():
                return
            self.clock.move(timedelta(minutes=2) if under_way or is_fed else timedelta(hours=9))
        self.ledger.violation("a run hangs, or a message was never delivered")

    def _offer_tapes(self) -> None:
        """An operator puts one tape after the other into a drive that a run waits at."""
        waiting = select(ChainRun.drive).where(ChainRun.state == RunState.WAITING_FOR_TAPE).distinct()
        with self.session() as session:
            asking = list(session.scalars(waiting))
        for drive in asking:
            self.insert_next(drive)

    def _all_sent(self) -> bool:
        with self.session() as session:
            waiting = select(func.count()).where(Notification.next_attempt_at.is_not(None))
            return not session.scalar(waiting)
