"""Histories in which facts get lost: databases, copies, tapes that others write on; kept sets stay kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from sqlalchemy import exists, select

from db.models import Options, ScheduledTask
from db.states import ACTIVE, BackupType, RunState
from policy.times.period import ScheduleType
from tape.virtual import shelf as virtual_shelf
from tests import cartridges
from tests.histories import catastrophes
from tests.histories.machine import SCHEDULES, Machine, run
from tests.histories.machinery import shelf, sources
from tests.histories.machinery.shelf import Cartridge
from tests.histories.test_histories import drives, numbers, schedules, strikes, zones
from tests.histories.world import Parts

TWIN = Cartridge("TWIN", "TP20310301", foreign=True)
"""Another site's tape, under the label that the first format asks for."""
SHELF = {
    "tape0": (*shelf.GOOD, Cartridge("SPARE"), Cartridge("NEW"), TWIN),
    "tape1": (Cartridge("BLANK2"), Cartridge("SPARE2")),
}

keeping = st.sampled_from([(None, 1), (None, 1), (1, None), (30, None), (1, 1), (30, 2), (None, None)])
plans = st.fixed_dictionaries(
    {
        "schedule_type": st.just(ScheduleType.MONTHLY),
        "tape_policy": st.sampled_from(["rotate", "rotate", "rotate", "current_month"]),
        "wait_for_tape_seconds": st.sampled_from([None, 24 * 3600]),
        "on_format_failure": st.sampled_from(["continue", "fail"]),
        "time_zone": zones,
    }
)
places = st.integers(0, 5)
"""Of a cartridge on the shelf of a drive."""
on_shelves = st.sampled_from([(drive, each.name) for drive, kinds in SHELF.items() for each in kinds])
acts = st.lists(
    st.one_of(st.tuples(st.just("apply"), schedules), st.tuples(st.just("import"), on_shelves)),
    unique=True,
    max_size=8,
)
"""What an operator does first in an empty database, in any order; what is left out comes later, or never."""
APPLIED = tuple(("apply", name) for name in SCHEDULES)
IMPORTED = tuple(("import", (drive, each.name)) for drive, kinds in SHELF.items() for each in kinds)
guides = st.permutations(IMPORTED).flatmap(
    lambda tapes: st.sampled_from([[*APPLIED, *tapes], [*tapes, *APPLIED]])
)
"""As the guide says: all of them, the schedules before or after the tapes."""


@dataclass(frozen=True)
class Month:
    """What is backed up in a month."""

    days: int
    """Since the last one."""
    schedule: str
    place: int
    increments: int


months = st.builds(Month, st.sampled_from([1, 32, 32, 64]), schedules, places, st.integers(0, 2))


class WorstDays(Machine):
    """Months of full backups and increments, in which nothing that is written down can be relied on."""

    @initialize(chosen=st.tuples(plans, plans, plans), kept=st.tuples(keeping, keeping, keeping))
    def set_up(self, chosen: Any, kept: Any) -> None:
        self.world.set_up(SHELF)
        self.changes = 0
        self.plans = {
            name: {**plan, "retention_days": days, "keep_sets": sets}
            for name, plan, (days, sets) in zip(SCHEDULES, chosen, kept, strict=True)
        }
        for name in SCHEDULES:
            self._apply(name)

    def _apply(self, name: str) -> None:
        self.world.schedule(name, SCHEDULES[name], self._source(name), **self.plans[name])

    def _source(self, schedule: str) -> str:
        return "two" if schedule == "s1" else "one"

    # Backups

    @rule(gone_by=st.lists(months, min_size=1, max_size=3), planned=st.just({}) | st.just({}) | strikes)
    def months_go_by(self, gone_by: list[Month], planned: Any) -> None:
        """In each a full backup on a tape, and increments on the same; something may strike in the last."""
        for month in gone_by:
            self._month(month, planned if month is gone_by[-1] else {})

    def _month(self, month: Month, planned: Any) -> None:
        self.world.time_passes(timedelta(days=month.days))
        self._put_in(month.schedule, month.place)
        self._back_up(month.schedule, Options(), {} if month.increments else planned)
        for number in range(month.increments):
            self.the_source_changes(self._source(month.schedule))
            self.world.clock.move(timedelta(hours=24))
            last = number + 1 == month.increments
            self._back_up(month.schedule, Options(type=BackupType.INCREMENTAL), planned if last else {})

    @rule(schedule=schedules, place=st.none() | places, planned=st.just({}) | strikes)
    def back_up_what_changed(self, schedule: str, place: int | None, planned: Any) -> None:
        """An increment; on the tape that is in the drive, or on another."""
        if place is not None:
            self._put_in(schedule, place)
        self._back_up(schedule, Options(type=BackupType.INCREMENTAL), planned)

    @rule(schedule=schedules)
    def erase_a_label(self, schedule: str) -> None:
        """By hand, with ``--erase-label`` of the tape that is in the drive."""
        path = self.world.drive_path(SCHEDULES[schedule])
        loaded = virtual_shelf.inserted(path)
        label = cartridges.label_of(virtual_shelf.folder_of(path, loaded)) if loaded else None
        self._back_up(schedule, Options(erase_label=label), {})

    def _put_in(self, schedule: str, place: int) -> None:
        drive = SCHEDULES[schedule]
        self.world.insert(drive, SHELF[drive][place % len(SHELF[drive])].name)

    def _back_up(self, schedule: str, options: Options, planned: Any) -> None:
        if not self._is_there(schedule):
            self._apply(schedule)
        self.world.begin(schedule, options)
        self._drain(planned)

    def _is_there(self, schedule: str) -> bool:
        with self.world.session() as session:
            return bool(session.scalar(select(exists().where(ScheduledTask.name == schedule))))

    @rule(source=st.sampled_from(sources.NAMES))
    def the_source_changes(self, source: str) -> None:
        if self.world.run_ids(*ACTIVE):
            return
        self.changes += 1
        folder = self.world.parts.sources / source
        with self.world.session() as session:
            self.world.memory.source_changes(session, folder)
        sources.change(folder, self.changes)

    @rule(number=numbers)
    def retry(self, number: int) -> None:
        if failed := self.world.run_ids(RunState.FAILED):
            self.world.retry(failed[number % len(failed)])
            self._drain({})

    @rule()
    def work(self) -> None:
        """Some minutes pass, beat ticks, and the workers do what there is to do."""
        self.world.clock.move(timedelta(minutes=5))
        self.world.tick()
        self.world.drain()

    # Tapes

    @rule(drive=drives)
    def somebody_writes_on_it(self, drive: str) -> None:
        """On the tape in a drive, with another program."""
        if loaded := virtual_shelf.inserted(self.world.drive_path(drive)):
            shelf.write_beside(virtual_shelf.folder_of(self.world.drive_path(drive), loaded))

    @rule(drive=drives)
    def somebody_formats_it(self, drive: str) -> None:
        """The tape in a drive, with another program, under the label that it had."""
        if loaded := virtual_shelf.inserted(self.world.drive_path(drive)):
            self.parts.formatter.end_orphan()
            folder = virtual_shelf.folder_of(self.world.drive_path(drive), loaded)
            self.world.memory.erased_elsewhere(folder, self.world.clock.moment)
            self.changes += 1
            shelf.format_elsewhere(folder, self.changes)

    @rule(tape=on_shelves)
    def import_a_tape(self, tape: tuple[str, str]) -> None:
        catastrophes.import_tape(self.world, *tape)

    # Databases

    @rule(done=acts | guides)
    def the_database_is_lost(self, done: Any) -> None:
        """An empty one takes its place; tapes are imported and schedules applied, in some order."""
        catastrophes.lose_database(self.world)
        for what, which in done:
            if what == "apply":
                self._apply(which)
            else:
                catastrophes.import_tape(self.world, *which)

    @rule()
    def keep_a_copy(self) -> None:
        catastrophes.keep_copy(self.world)

    @precondition(lambda self: catastrophes.has_copy(self.world))
    @rule(is_released=st.booleans())
    def an_older_copy_is_restored(self, is_released: bool) -> None:
        """A person lets it run again, at once or later."""
        catastrophes.restore_copy(self.world)
        if is_released:
            catastrophes.release(self.world)

    @rule()
    def release(self) -> None:
        catastrophes.release(self.world)

    def teardown(self) -> None:
        if not self.failed:
            catastrophes.release(self.world)
        super().teardown()


def test_worst_days(
    parts: Parts, shard: tuple[int, int], record_property: Any, pytestconfig: pytest.Config
) -> None:
    """Whatever is lost: nothing that all the facts would keep is erased, nothing called whole is missing."""
    run(WorstDays, parts, shard, record_property, pytestconfig)
