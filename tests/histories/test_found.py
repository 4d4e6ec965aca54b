"""What random histories have found, each as one plain history."""

from __future__ import annotations

from tests.histories import checks
from tests.histories.machinery import fates, shelf
from tests.histories.machinery.points import Plan
from tests.histories.world import Parts, World


def test_a_tape_is_swapped_just_before_it_is_mounted(parts: Parts) -> None:
    """Nothing is written on a tape that nobody has looked at, and the catalogue claims nothing of it."""
    world = World(parts)
    world.set_up({"tape0": shelf.GOOD})
    world.schedule("monthly", "tape0", "one", tape_policy="rotate")
    world.insert("tape0", "EXPIRED")
    world.begin("monthly")
    while world.deliverable()[0].task != "tapeline.run_backup":
        world.deliver(world.deliverable()[0])

    def before_the_mount(name: str) -> None:
        process = world.points.process
        assert process
        if name == "mount":
            fates.swapped(world)(name)
        else:
            process.plan.postpone(before_the_mount)

    try:
        world.deliver(world.deliverable()[0], Plan({(None, 1): before_the_mount}))
        world.settle()
        checks.check(world)
    finally:
        world.close()
