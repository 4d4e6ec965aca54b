"""What goes wrong in a fleet: workers and hosts die, tapes fail, sources are gone, the broker is away."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from benchmarks.fleet.site import FIRST_HOUR, NIGHT_HOURS, Site
from benchmarks.fleet.size import Chances
from celery_app import settings
from tape.virtual import shelf as virtual_shelf
from tests.histories.machinery import fates
from tests.histories.machinery.bus import Letter
from tests.histories.machinery.points import Plan

FAULTS: tuple[Mapping[str, Any], ...] = (
    {"at": "write", "error": "eio", "nth": 2},
    {"at": "seal", "error": "eio", "nth": 2},
    {"at": "format", "error": "eio"},
    {"at": "look", "error": "unreadable", "nth": 2},
    {"at": "mount", "error": "unreadable"},
)
POINTS = 40
"""Of a step that writes: at one of them its worker dies."""
RESTART = timedelta(minutes=2)
OUTAGE = timedelta(hours=1)


class Mishaps:
    """Chance, made from the fleet's seed."""

    def __init__(self, site: Site, chances: Chances) -> None:
        self.site = site
        self.chances = chances
        self._faults = itertools.cycle(FAULTS)

    def before_letter(self, letter: Letter) -> Plan | None:
        """What strikes the worker that takes a message to write."""
        if letter.task != "tapeline.run_backup":
            return None
        drive = settings.load().drive_of(letter.queue)
        if self._happens(self.chances.tape_fails):
            self._spoil_tape(drive)
        if not self._happens(self.chances.worker_dies):
            return None
        self.site.counts["workers killed"] += 1
        self.site.later(self.site.clock.moment + RESTART, partial(self.site.start_worker, drive))
        return Plan({(None, self.site.random.randrange(1, POINTS)): fates.worker_killed(self.site)})

    def _happens(self, chance: float) -> bool:
        return self.site.random.random() < chance

    def _spoil_tape(self, drive: str) -> None:
        path = self.site.drive_path(drive)
        loaded = virtual_shelf.inserted(path)
        if loaded is not None:
            self.site.counts["faults of tapes"] += 1
            virtual_shelf.set_faults(path, loaded, [next(self._faults)])

    def of_the_day(self) -> None:
        """Decide what will happen until tomorrow's morning."""
        site = self.site
        for drive in site.size.names:
            if self._happens(self.chances.source_gone):
                site.counts["sources gone"] += 1
                for file in (site.parts.sources / drive).iterdir():
                    file.unlink()
        for host in sorted({site.size.host_of(name) for name in site.size.names}):
            if self._happens(self.chances.host_dies):
                self._at_night(partial(self._lose_power, host))
        if self._happens(self.chances.broker_away):
            self._at_night(self._lose_broker)

    def _at_night(self, act: Callable[[], None]) -> None:
        """It is morning now."""
        hours = FIRST_HOUR - 6 + self.site.random.random() * NIGHT_HOURS
        self.site.later(self.site.clock.moment + timedelta(hours=hours), act)

    def _lose_power(self, host: str) -> None:
        self.site.counts["hosts without power"] += 1
        names = self.site.size.drives_of(host)
        for name in names:
            self.site.stop_worker(name)
        for name in names:
            self.site.later(self.site.clock.moment + OUTAGE, partial(self.site.start_worker, name))

    def _lose_broker(self) -> None:
        self.site.counts["hours without broker"] += 1
        self.site.bus.away = True
        self.site.later(self.site.clock.moment + OUTAGE, lambda: setattr(self.site.bus, "away", False))
