"""What may strike a process at a point: death, a lost connection, or what others do at that very moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from celery_app import settings
from celery_app.worker import guards
from db.errors import DatabaseUnavailable
from db.states import ACTIVE
from policy.message import M
from tests.histories.machinery import truth
from tests.histories.machinery.bus import Letter
from tests.histories.machinery.points import Strike
from tests.histories.world import World

Fate = Callable[[World], Strike]

DIES, ENDS, GOES_ON = "dies too", "ends its work", "goes on for a while"
"""What becomes of the format program of a worker that is killed."""


def child_killed(world: World, program: str = ENDS) -> Strike:
    """kill -9 of the process that works; its worker finds it gone and says so."""
    return _kill(world, program, "child")


def worker_killed(world: World, program: str = ENDS) -> Strike:
    """kill -9 of the worker with its processes; nobody says anything."""
    return _kill(world, program, "worker")


def host_crashed(world: World) -> Strike:
    """The host loses power: worker and format program end at once."""
    return _kill(world, DIES, "worker")


def program_goes_on(world: World) -> Strike:
    """As child_killed; a format program that it had started goes on, and holds the drive."""
    return _kill(world, GOES_ON, "child")


def program_outlives(world: World) -> Strike:
    """As worker_killed; a format program that it had started goes on, and holds the drive."""
    return _kill(world, GOES_ON, "worker")


def _kill(world: World, program: str, who: str) -> Strike:
    def strike(_: str) -> None:
        letter, process = world.taken, world.points.process
        assert letter
        assert process
        world.counts["kills"] += 1
        world.parts.mailbox.struck()
        world.parts.formatter.survives = program != DIES

        def death() -> None:
            world.parts.formatter.survives = False
            if program == ENDS:
                world.parts.formatter.end_orphan()
            if who == "child":
                world.bus.child_died(letter)
            elif letter.queue != "control":
                world.stop_worker(settings.load().drive_of(letter.queue))

        process.kill(death)

    return strike


def connection_lost(world: World) -> Strike:
    """The connection to the database breaks at a commit: before it, or after it and before its answer."""

    def strike(name: str) -> None:
        process = world.points.process
        assert process
        if name not in {truth.COMMIT, truth.COMMITTED}:
            process.plan.postpone(strike)
            return
        world.counts["connections lost"] += 1
        world.parts.mailbox.struck()
        raise DatabaseUnavailable(M("The database does not answer ({url}).", url="history"))

    return strike


def _beside(world: World, what: Callable[[Letter], None]) -> Strike:
    """Something that others do; never within a transaction of the process, which would wait for itself."""

    def strike(name: str) -> None:
        process, letter, before = world.points.process, world.taken, world.taken
        assert process
        assert letter
        if name == truth.COMMIT:
            process.plan.postpone(strike)
            return
        world.counts["interludes"] += 1
        with world.points.outside():
            what(letter)
        world.taken = before

    return strike


def message_repeated(world: World) -> Strike:
    """The message that is worked on comes again, and every other one comes now."""

    def again(letter: Letter) -> None:
        world.bus.queues[letter.queue].append(letter)
        world.drain()

    return _beside(world, again)


def others_work(world: World) -> Strike:
    """Whatever else is in the queues is worked on now."""
    return _beside(world, lambda _: world.drain())


def taken_for_dead(world: World) -> Strike:
    """The process gets no processor for three minutes; others take it for dead and go on without it."""

    def late(_: Letter) -> None:
        world.parts.mailbox.paused += 1
        world.clock.move(timedelta(minutes=3))
        world.tick()
        world.drain()

    return _beside(world, late)


def cancelled(world: World) -> Strike:
    """An operator cancels every run."""

    def cancel(_: Letter) -> None:
        for run_id in world.run_ids(*ACTIVE):
            world.cancel(run_id)

    return _beside(world, cancel)


def asked_to_end(world: World) -> Strike:
    """The drive's worker is asked to end (a warm shutdown)."""

    def end(letter: Letter) -> None:
        if letter.queue != "control":
            world.workers[settings.load().drive_of(letter.queue)].ending = True
            guards._ending[0] = True

    return _beside(world, end)


def broker_gone(world: World) -> Strike:
    """The broker goes away, and stays away."""

    def away(_: Letter) -> None:
        world.bus.away = True

    return _beside(world, away)


def swapped(world: World) -> Strike:
    """An operator puts the next cartridge of the shelf in, if the drive lets go of the one that is in."""

    def exchange(_: Letter) -> None:
        for drive in world.workers:
            world.insert_next(drive)

    return _beside(world, exchange)


FATES: Sequence[Fate] = (
    child_killed,
    worker_killed,
    host_crashed,
    program_goes_on,
    program_outlives,
    connection_lost,
    message_repeated,
    others_work,
    taken_for_dead,
    cancelled,
    asked_to_end,
    broker_gone,
    swapped,
)
