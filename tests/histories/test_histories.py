"""Random histories of schedules, tapes, clocks, operators and deaths, and what holds in every one of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from sqlalchemy import select

from db.models import BackupSet, Options
from db.states import ACTIVE, RunState, Step
from policy.tapes.facts import SetState
from policy.times.period import ScheduleType
from tape.virtual import shelf as virtual_shelf
from tests import cartridges
from tests.histories.machine import SCHEDULES, Fates, Machine, run
from tests.histories.machinery import fates, shelf, sources
from tests.histories.world import DRIVES, Parts

FIRST_SHELF = (*shelf.GOOD, *shelf.OTHERS)
SECOND_SHELF = tuple(
    replace(cartridge, name=f"{cartridge.name}2", label=None, kept_for=None) for cartridge in shelf.GOOD
)

FAULTS: tuple[tuple[dict[str, Any], ...], ...] = (
    (),
    *(({"at": "format", "error": e},) for e in ("eio", "lie_ok", "lie_error", "half", "wrong_label")),
    ({"at": "write", "error": "full", "nth": 3},),
    ({"at": "write", "error": "eio", "nth": 2},),
    ({"at": "close", "error": "full", "nth": 2},),
    ({"at": "seal", "error": "eio", "nth": 2},),
    ({"at": "look", "error": "unreadable", "nth": 2},),
    ({"at": "mount", "error": "unreadable"},),
)

schedules = st.sampled_from(sorted(SCHEDULES))
drives = st.sampled_from(DRIVES)
barcodes = st.sampled_from([cartridge.name for cartridge in (*FIRST_SHELF, *SECOND_SHELF)])
places = st.sampled_from([0, 1, 2] * 3 + list(range(len(FIRST_SHELF))))
"""Of a cartridge on a shelf; the good ones stand first."""
numbers = st.integers(0, 5)
NAMES = [
    "commit",
    "committed",
    "look",
    "looked",
    "mount",
    "unmounted",
    "create",
    "seal",
    "sealed",
    "format",
    "wiped",
    "labelled",
    "send",
    "sent",
]
points = st.tuples(st.none(), st.integers(1, 170)) | st.tuples(st.sampled_from(NAMES), st.integers(1, 6))
strikes = st.dictionaries(points, st.sampled_from(fates.FATES), min_size=1, max_size=3)
pauses = st.sampled_from(
    [
        timedelta(minutes=2),
        timedelta(minutes=20),
        timedelta(hours=25),
        timedelta(days=32),
        timedelta(days=400),
    ]
)
zones = st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York"])
plans = st.fixed_dictionaries(
    {
        "schedule_type": st.sampled_from([ScheduleType.MONTHLY, ScheduleType.DAILY, ScheduleType.WEEKLY]),
        "tape_policy": st.sampled_from(["rotate", "current_month"]),
        "wait_for_tape_seconds": st.sampled_from([None, 24 * 3600]),
        "on_format_failure": st.sampled_from(["continue", "fail"]),
        "retention_days": st.sampled_from([1, 30, None]),
        "time_zone": zones,
    }
)


def _source(schedule: str) -> str:
    return "two" if schedule == "s1" else "one"


class Histories(Machine):
    """Days, months and years of schedules, tapes and operators, with deaths at any moment."""

    @initialize(first=plans, second=plans, third=plans)
    def set_up(self, first: Any, second: Any, third: Any) -> None:
        self.world.set_up({"tape0": FIRST_SHELF, "tape1": SECOND_SHELF})
        for name, plan in zip(SCHEDULES, (first, second, third), strict=True):
            self.world.schedule(name, SCHEDULES[name], _source(name), **plan)

    # Runs

    @rule(schedule=schedules, place=places, planned=strikes)
    def back_up_and_be_struck(self, schedule: str, place: int, planned: Fates) -> None:
        """A tape is put in, a run begins and is struck on its way."""
        self._back_up(schedule, place, planned)

    @rule(schedule=schedules, place=places, first=strikes, then=strikes)
    def back_up_and_be_struck_again(self, schedule: str, place: int, first: Fates, then: Fates) -> None:
        """As before, and what is done to mend it is struck too."""
        self._back_up(schedule, place, first)
        self.work_and_be_struck(then)

    @rule(schedule=schedules, place=places)
    def back_up(self, schedule: str, place: int) -> None:
        self._back_up(schedule, place, {})

    def _back_up(self, schedule: str, place: int, planned: Fates) -> None:
        drive = SCHEDULES[schedule]
        on_shelf = FIRST_SHELF if drive == "tape0" else SECOND_SHELF
        self.world.insert(drive, on_shelf[place % len(on_shelf)].name)
        self.world.begin(schedule)
        self._drain(planned)

    @rule(schedule=schedules, named=st.booleans())
    def run_by_hand(self, schedule: str, named: bool) -> None:
        """With ``--erase-label`` of the tape that is in the drive, if it is named."""
        path = self.world.drive_path(SCHEDULES[schedule])
        loaded = virtual_shelf.inserted(path)
        label = cartridges.label_of(virtual_shelf.folder_of(path, loaded)) if loaded and named else None
        self.world.begin(schedule, Options(erase_label=label))

    @rule(schedule=schedules, times=st.integers(1, 2))
    def announce(self, schedule: str, times: int) -> None:
        self.world.announce(schedule, times)

    @rule(number=numbers, step=st.sampled_from([None, *Step]))
    def retry(self, number: int, step: Step | None) -> None:
        self._with_run(number, lambda run_id: self.world.retry(run_id, step), RunState.FAILED, RunState.HELD)

    @rule(name=st.sampled_from(sources.NAMES), how=st.sampled_from(sources.Loss))
    def lose_files(self, name: str, how: sources.Loss) -> None:
        self.world.lose_files(name, how)

    @rule(
        schedule=schedules,
        place=places,
        how=st.sampled_from(sources.Loss),
        planned=st.just({}) | strikes,
        pause=pauses,
    )
    def back_up_what_is_left(
        self, schedule: str, place: int, how: sources.Loss, planned: Fates, pause: timedelta
    ) -> None:
        """A backup, and a later one of a source that has lost files since."""
        self._back_up(schedule, place, {})
        self.world.lose_files(_source(schedule), how)
        self.world.time_passes(pause)
        self._back_up(schedule, place, planned)

    @rule(number=numbers)
    def accept(self, number: int) -> None:
        self._with_run(number, self.world.accept, RunState.HELD)

    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        self._with_run(number, self.world.cancel, *ACTIVE)

    @rule(number=numbers, drive=drives)
    def restore(self, number: int, drive: str) -> None:
        with self.world.session() as session:
            sets = session.scalars(
                select(BackupSet.id).where(
                    BackupSet.state != SetState.DESTROYED, BackupSet.run_id.is_not(None)
                )
            ).all()
        if sets:
            self.world.restore(sorted(sets)[number % len(sets)], drive)

    def _with_run(self, number: int, do: Any, *states: RunState) -> None:
        found = self.world.run_ids(*states)
        if found:
            do(found[number % len(found)])

    # Tapes

    @rule(drive=drives, barcode=st.none() | barcodes)
    def insert(self, drive: str, barcode: str | None) -> None:
        self.world.insert(drive, barcode)

    @rule(barcode=barcodes)
    def carry_over(self, barcode: str) -> None:
        """A cartridge is taken to the shelf of the other drive."""
        self.world.carry_over(barcode)

    @rule(drive=drives, plan=st.sampled_from(FAULTS))
    def something_breaks(self, drive: str, plan: Any) -> None:
        loaded = virtual_shelf.inserted(self.world.drive_path(drive))
        if loaded and loaded != "TORN":
            virtual_shelf.set_faults(self.world.drive_path(drive), loaded, plan)

    # Time and messages

    @rule(by=pauses)
    def time_passes(self, by: timedelta) -> None:
        self.world.time_passes(by)

    @rule()
    def work(self) -> None:
        """A minute passes, beat ticks, and the workers do what there is to do."""
        self.world.clock.move(timedelta(minutes=2))
        self.world.tick()
        self.world.drain()

    @rule(planned=strikes)
    def work_and_be_struck(self, planned: Fates) -> None:
        self.world.clock.move(timedelta(minutes=2))
        self.world.tick()
        self._drain(planned)

    @precondition(lambda self: self.world.deliverable())
    @rule(number=numbers)
    def deliver(self, number: int) -> None:
        """One message, out of order."""
        waiting = self.world.deliverable()
        self.world.deliver(waiting[number % len(waiting)])

    @precondition(lambda self: any(self.world.bus.letters()))
    @rule(number=numbers, times=st.sampled_from([0, 2]))
    def lose_or_repeat(self, number: int, times: int) -> None:
        letters = list(self.world.bus.letters())
        letter = letters[number % len(letters)]
        self.world.bus.take(letter)
        self.world.bus.queues[letter.queue] += [letter] * times

    @rule()
    def flush(self) -> None:
        """The broker has lost everything, and is back."""
        self.world.bus.clear()
        self.world.bus.away = False

    @rule(drive=drives, up=st.booleans())
    def restart(self, drive: str, up: bool) -> None:
        """The drive's worker is killed, and perhaps started again; a format program comes to its end."""
        self.world.stop_worker(drive)
        if up:
            self.parts.formatter.end_orphan()
            self.world.start_worker(drive)


def test_histories(
    parts: Parts, shard: tuple[int, int], record_property: Any, pytestconfig: pytest.Config
) -> None:
    """Whatever happens: no tape is lost, nothing is claimed that is not there, every run ends."""
    run(Histories, parts, shard, record_property, pytestconfig)
