"""Sets the stage of a library: the drives of the histories, fed by one robot, at one host or at two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from celery_app import settings, wiring
from celery_app.drive_settings import VirtualChangerSettings
from celery_app.worker import guards
from tape.drive import Medium
from tape.virtual import library
from tasks.library import cleaning, fetch, robot
from tests.histories.library.hall import NAME, NUMBERS, Hall, WatchedChanger
from tests.histories.machinery.drive import WatchedDrive
from tests.histories.machinery.stage import PAUSE, stage
from tests.histories.world import Parts


class FedDrive(WatchedDrive):
    """A drive that the robot feeds."""

    hall: Hall

    def look(self) -> Medium:
        medium = super().look()
        return medium if self.hall.chips_have_barcodes else replace(medium, barcode=None)

    def eject(self, *, unload: bool = True) -> None:
        self.points.at("eject")
        self.hall.check_mover(self.name, "eject")
        super().eject(unload=unload)
        self.points.at("ejected")


class Place:
    """Where the halls of the histories stand: each history puts up its own."""

    hall: Hall


@contextmanager
def library_stage(folder: Path, database_url: str) -> Iterator[tuple[Parts, Place]]:
    """The stage of the histories, and a library on it; undone at the end."""
    place = Place()
    with stage(folder, database_url) as parts, pytest.MonkeyPatch.context() as patch:
        plain = settings.load()
        hosts = {
            drives: _host(plain, folder, drives) for drives in ((), ("tape0",), ("tape1",), tuple(NUMBERS))
        }
        patch.setattr(settings, "load", lambda: hosts[_drives_here(place.hall)])
        patch.setattr(wiring, "drive", lambda name: _drive(parts, place.hall, name))
        patch.setattr(wiring, "changer", lambda _: WatchedChanger(place.hall))

        def sleep(_seconds: float) -> None:
            parts.clock.move(PAUSE)
            parts.formatter.wait()

        time = SimpleNamespace(sleep=sleep, monotonic=parts.clock.seconds)
        for module in (fetch, robot, cleaning):
            patch.setattr(module, "time", time)
        patch.setitem(robot.held.__wrapped__.__kwdefaults__, "pause", sleep)  # type: ignore[attr-defined]
        # A move takes as long as it takes; halfway its worker may be struck.
        halfway = SimpleNamespace(sleep=lambda _: parts.points.at("moving"))
        patch.setattr(library, "time", halfway)
        yield parts, place


def _host(plain: settings.Settings, folder: Path, drives: tuple[str, ...]) -> settings.Settings:
    """The settings of a host that has these drives of the library."""
    if not drives:
        return plain
    numbers = {NUMBERS[name]: name for name in drives}
    fed = VirtualChangerSettings(driver="virtual", path=folder / "drives" / NAME, drives=numbers)
    return plain.model_copy(update={"changers": {NAME: fed}})


def _drives_here(hall: Hall) -> tuple[str, ...]:
    """The drives of the library at the host of whoever works now."""
    here = guards._held.drive if guards._held else hall.at_hand
    if here is None:
        return ()
    return (here,) if hall.two_hosts else tuple(NUMBERS)


def _drive(parts: Parts, hall: Hall, name: str) -> FedDrive:
    drive = FedDrive(name, parts.folder / "drives" / name)
    drive.hall = hall
    return drive
