"""Random histories of two drives that one robot feeds, and what holds in every one of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from sqlalchemy import select

from db.models import BackupSet
from db.states import ACTIVE, RunState
from policy.tapes.facts import SetState
from tape.virtual import shelf as virtual_shelf
from tests.histories.library import fates
from tests.histories.library.hall import MAIL_SLOT, NUMBERS
from tests.histories.library.stage import Place
from tests.histories.library.world import CLEANER, TAPES, LibraryWorld
from tests.histories.machine import SCHEDULES, Fates, Machine, run
from tests.histories.test_histories import NAMES, drives, numbers, pauses, plans, schedules
from tests.histories.world import Parts

CARTRIDGES = [cartridge.name for cartridge in TAPES]
ROBOT = ["robot", "answered", "moving", "moved", "eject", "ejected"]
"""Points of the robot."""

slots = st.integers(1, MAIL_SLOT)
tapes = st.sampled_from([*CARTRIDGES, CLEANER])
places = (
    st.tuples(st.none(), st.integers(1, 230))
    | st.tuples(st.sampled_from(NAMES), st.integers(1, 8))
    | st.tuples(st.sampled_from(ROBOT), st.integers(1, 6))
)
strikes = st.dictionaries(places, st.sampled_from(fates.FATES), min_size=1, max_size=3)
breakdowns = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.sampled_from(["load", "unload"]),
            "error": st.sampled_from(["busy", "door", "before", "after", "lost"]),
            "nth": st.integers(1, 2),
        }
    )
    | st.fixed_dictionaries(
        {"at": st.sampled_from(["status", "inventory"]), "error": st.sampled_from(["busy", "door"])}
    ),
    min_size=1,
    max_size=2,
)


class LibraryHistories(Machine):
    """Days of schedules, of a robot that fails, and of hands in its library."""

    world: LibraryWorld
    place: Place

    def make_world(self) -> LibraryWorld:
        return LibraryWorld(self.parts, self.place)

    @initialize(first=plans, second=plans, third=plans, two_hosts=st.booleans(), chips=st.booleans())
    def set_up(self, first: Any, second: Any, third: Any, two_hosts: bool, chips: bool) -> None:
        self.world.set_up_library(two_hosts=two_hosts, chips_have_barcodes=chips)
        for name, plan in zip(SCHEDULES, (first, second, third), strict=True):
            source = "two" if name == "s1" else "one"
            self.world.schedule(name, SCHEDULES[name], source, **plan)

    @invariant()
    def nothing_is_lost(self) -> None:
        if self.world.hall.path.exists():
            self.world.check_library()

    # Runs

    @rule(schedule=schedules, planned=strikes)
    def back_up_and_be_struck(self, schedule: str, planned: Fates) -> None:
        self.world.begin(schedule)
        self._drain(planned)

    @rule(schedule=schedules, planned=strikes, plan=breakdowns)
    def back_up_with_a_robot_that_fails(self, schedule: str, planned: Fates, plan: Any) -> None:
        self.world.hall.breaks(plan)
        self.world.begin(schedule)
        self._drain(planned)

    @rule(planned=strikes)
    def back_up_at_both_drives(self, planned: Fates) -> None:
        """Two runs want the robot."""
        self.world.begin("s0")
        self.world.begin("s2")
        self._drain(planned)

    @rule(schedule=schedules)
    def back_up(self, schedule: str) -> None:
        self.world.begin(schedule)
        self.world.drain()

    @rule(number=numbers)
    def retry(self, number: int) -> None:
        self._with_run(number, self._retry, RunState.FAILED)

    def _retry(self, run_id: int) -> None:
        self.world.hall.disturbances += 1
        self.world.retry(run_id)

    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        self._with_run(number, self.world.cancel, *ACTIVE)

    def _with_run(self, number: int, do: Any, *states: RunState) -> None:
        found = self.world.run_ids(*states)
        if found:
            do(found[number % len(found)])

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

    # The library

    @rule(slot=slots, cartridge=st.none() | tapes)
    def put(self, slot: int, cartridge: str | None) -> None:
        self.world.hall.put(slot, cartridge)

    @rule(one=slots, other=slots)
    def exchange(self, one: int, other: int) -> None:
        self.world.hall.exchange(one, other)

    @rule(drive=drives, cartridge=st.none() | st.sampled_from(CARTRIDGES))
    def change_by_hand(self, drive: str, cartridge: str | None) -> None:
        self.world.hall.into_drive(NUMBERS[drive], cartridge)

    @rule(is_open=st.booleans())
    def door(self, is_open: bool) -> None:
        self.world.hall.door(is_open=is_open)

    @rule(cartridge=st.sampled_from(CARTRIDGES), sticker=st.none() | tapes | st.just("OTHER"))
    def lie(self, cartridge: str, sticker: str | None) -> None:
        self.world.hall.lie(cartridge, sticker)

    @rule(plan=breakdowns)
    def robot_fails(self, plan: Any) -> None:
        self.world.hall.breaks(plan)

    @rule(drive=drives)
    def unload_by_command(self, drive: str) -> None:
        self.world.unload(drive)

    @rule(drive=drives, slot=slots)
    def load_by_command(self, drive: str, slot: int) -> None:
        self.world.load(drive, slot)

    @rule(verb=st.sampled_from(["load", "unload", "export", "import", "inventory"]), slot=slots, drive=drives)
    def press_a_button(self, verb: str, slot: int, drive: str) -> None:
        number = NUMBERS[drive]
        self.world.by_button(verb, number if verb == "unload" else slot, number, drive)

    @rule(drive=drives)
    def drive_gets_dirty(self, drive: str) -> None:
        virtual_shelf.set_dirty(self.world.drive_path(drive))

    # Time and messages

    @rule(by=pauses)
    def time_passes(self, by: timedelta) -> None:
        self.world.time_passes(by)

    @rule()
    def work(self) -> None:
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
        waiting = self.world.deliverable()
        self.world.deliver(waiting[number % len(waiting)])

    @rule(drive=drives, up=st.booleans())
    def restart(self, drive: str, up: bool) -> None:
        self.world.stop_worker(drive)
        if up:
            self.parts.formatter.end_orphan()
            self.world.start_worker(drive)


def test_library_histories(
    staged: tuple[Parts, Place], shard: tuple[int, int], record_property: Any, pytestconfig: pytest.Config
) -> None:
    """Whatever fails: no cartridge leaves a run, none is lost, none that is in doubt is formatted, and a run
    that could be fed ends."""
    parts, place = staged
    machine = type("Staged", (LibraryHistories,), {"place": place})
    run(machine, parts, shard, record_property, pytestconfig)
