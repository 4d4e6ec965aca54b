"""The operators: they come at nine, and see to what waits, what has failed and what is held."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from benchmarks.fleet.site import Site
from benchmarks.fleet.size import NIGHTLY, Chances
from db.models import ChainRun, Options, TapeCartridge
from db.states import BackupType, RunState
from db.tapes.facts import LoadedTapes
from policy.tapes.facts import CartridgeState
from tape.virtual import record as virtual_record
from tape.virtual import shelf as virtual_shelf

COME_AT = timedelta(hours=9)
GOOD = (CartridgeState.ACTIVE, CartridgeState.FULL)


class Operators:
    """They do what the messages ask for, by the product's own commands."""

    def __init__(self, site: Site, chances: Chances) -> None:
        self.site = site
        self.chances = chances

    def come(self) -> None:
        """What they do each morning, and on the first of the month besides."""
        site = self.site
        for drive in site.size.names:
            source = site.parts.sources / drive
            if not any(source.iterdir()):
                site.change_source(drive, 0)
        for run in self._runs(RunState.HELD):
            site.cancel(run.id)
            site.begin(self._schedule_of(run), Options(type=BackupType.FULL))
        for run in self._runs(RunState.WAITING_FOR_TAPE):
            self._feed(run)
        for run in self._failed():
            self._try_again(run)
        if site.clock.moment.day == 1:
            for drive in site.size.names:
                self.change_tape(drive)
                self._begin_full(drive)
        site.tick()
        site.drain()

    def change_tape(self, drive: str) -> None:
        """Put in a tape that may be overwritten; without one, a new one is bought."""
        free, kept = self._shelf(drive)
        if kept and self.site.random.random() < self.chances.wrong_tape:
            self.site.counts["wrong tapes put in"] += 1
            self.site.insert(drive, kept[0])
        elif free:
            self.site.counts["tapes used again"] += 1
            self.site.insert(drive, free[0])
        else:
            self.site.buy(drive)

    def _feed(self, run: ChainRun) -> None:
        """An increment that has not begun takes no blank tape: a full backup takes its place."""
        self.change_tape(run.drive)
        if run.set_id is None and self._schedule_of(run).startswith(NIGHTLY):
            self.site.cancel(run.id)
            self._begin_full(run.drive)

    def _try_again(self, run: ChainRun) -> None:
        if self._is_spent(run.drive):
            self.change_tape(run.drive)
            if self._schedule_of(run).startswith(NIGHTLY):
                self._begin_full(run.drive)
                return
        self.site.counts["runs retried"] += 1
        self.site.retry(run.id)

    def _begin_full(self, drive: str) -> None:
        self.site.command(lambda: self.site.begin(f"{NIGHTLY}-{drive}", Options(type=BackupType.FULL)))

    # What they see

    def _runs(self, *states: RunState) -> list[ChainRun]:
        with self.site.session() as session:
            return list(session.scalars(select(ChainRun).where(ChainRun.state.in_(states))))

    def _failed(self) -> list[ChainRun]:
        """The runs that have failed since yesterday, if nothing of their schedule has come after them."""
        since = self.site.clock.moment - timedelta(days=1)
        later = select(ChainRun.schedule_id).where(ChainRun.state.not_in([RunState.SKIPPED, RunState.FAILED]))
        wanted = (ChainRun.state == RunState.FAILED) & (ChainRun.finished_at > since)
        with self.site.session() as session:
            going_on = set(session.scalars(later.where(ChainRun.created_at > since)))
            newest = {run.schedule_id: run for run in session.scalars(select(ChainRun).where(wanted))}
        return [run for schedule, run in newest.items() if schedule not in going_on]

    def _schedule_of(self, run: ChainRun) -> str:
        with self.site.session() as session:
            return str(session.get_one(ChainRun, run.id).schedule.name)

    def _is_spent(self, drive: str) -> bool:
        """Whether the tape in a drive is full, worn out, or in doubt."""
        path = self.site.drive_path(drive)
        loaded = virtual_shelf.inserted(path)
        row = self._rows([virtual_shelf.folder_of(path, loaded)]) if loaded else {}
        return any(each.state is not CartridgeState.ACTIVE for each in row.values())

    def _shelf(self, drive: str) -> tuple[list[str], list[str]]:
        """The tapes beside a drive that may be overwritten, and those that have to be kept."""
        path = self.site.drive_path(drive)
        loaded = virtual_shelf.inserted(path)
        beside = [each for each in virtual_shelf.barcodes(path) if each != loaded]
        rows = self._rows([virtual_shelf.folder_of(path, each) for each in beside])
        sound = {name: row for name, row in rows.items() if row.state in GOOD}
        until = self._kept_until([row.id for row in sound.values()])
        free = [name for name, row in sound.items() if until[row.id] <= self.site.clock.moment]
        return free, [name for name in sound if name not in free]

    def _rows(self, folders: list[Path]) -> dict[str, TapeCartridge]:
        serials = {virtual_record.read(folder).medium_serial: folder.name for folder in folders}
        with self.site.session() as session:
            found = select(TapeCartridge).where(TapeCartridge.medium_serial.in_(serials))
            return {serials[str(row.medium_serial)]: row for row in session.scalars(found)}

    def _kept_until(self, ids: list[int]) -> dict[int, Any]:
        """By the product's own rule, until when each cartridge is kept."""
        with self.site.session() as session:
            bounds = LoadedTapes(session, look=False).bounds(session, TapeCartridge.id.in_(ids))
        return {each: bounds[each].kept_until if each in bounds else self.site.clock.moment for each in ids}
