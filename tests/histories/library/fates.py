"""What may strike a process that uses a library: what strikes any other, and what others do in the
library."""

from __future__ import annotations

from collections.abc import Sequence

from tests.histories.library.world import LibraryWorld
from tests.histories.machinery import fates
from tests.histories.machinery.fates import Fate
from tests.histories.machinery.points import Strike
from tests.histories.world import DRIVES, World


def _in_library(world: World) -> LibraryWorld:
    assert isinstance(world, LibraryWorld)
    return world


def unloaded_by_command(world: World) -> Strike:
    """A person puts the tape of every drive away, as far as that is allowed."""
    return fates._beside(world, lambda _: [_in_library(world).unload(drive) for drive in DRIVES] and None)


def loaded_by_command(world: World) -> Strike:
    """A person loads a tape into every drive, as far as that is allowed."""
    return fates._beside(
        world, lambda _: [_in_library(world).load(drive, 1 + at) for at, drive in enumerate(DRIVES)] and None
    )


def exchanged(world: World) -> Strike:
    """Somebody exchanges the contents of slots behind the open door."""

    def exchange(_: object) -> None:
        hall = _in_library(world).hall
        hall.exchange(1, 2)
        hall.exchange(3, 8)

    return fates._beside(world, exchange)


def door_opened(world: World) -> Strike:
    """Somebody opens the door and leaves it open."""
    return fates._beside(world, lambda _: _in_library(world).hall.door(is_open=True))


FATES: Sequence[Fate] = (
    *fates.FATES,
    unloaded_by_command,
    loaded_by_command,
    exchanged,
    door_opened,
)
