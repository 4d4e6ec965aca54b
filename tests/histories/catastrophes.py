"""The worst days: the database is lost, an older copy of it is restored, tapes are imported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from db.admin import dump, holds
from db.admin import load as undump
from db.models import now
from db.runs import starting
from tasks import chain
from tests.histories.machinery import truth
from tests.histories.world import DRIVES, World


def lose_database(world: World) -> None:
    """Nothing is left of it; an empty one takes its place."""
    _replace(world, lambda: None)


def keep_copy(world: World) -> None:
    """``tapeline database dump``."""
    dump.write(world.parts.database, _copy(world))


def has_copy(world: World) -> bool:
    return _copy(world).exists()


def restore_copy(world: World) -> None:
    """``tapeline database restore``, of the copy that was kept last."""

    def load() -> None:
        with _copy(world).open("rb") as file:
            undump.restore(world.parts.database, file)

    _replace(world, load)


def release(world: World) -> None:
    """``tapeline database release --all``, and the drives go on."""
    with world.session() as session:
        for schedule in holds.held_schedules(session):
            holds.release_schedule(session, schedule.name, now())
        drives = {holds.release_run(session, run.id, "operator").drive for run in holds.held_runs(session)}
    for drive in drives:
        chain.release(drive, brief=True)


def import_tape(world: World, drive: str, barcode: str) -> None:
    """``tapeline tape import`` of a cartridge that stands on the shelf of a drive."""
    world.insert(drive, barcode)
    with world.session() as session:
        run = starting.start_import(session, drive=drive, requested_by="operator")
    chain.release(run.drive, brief=True)
    world.drain()


def _copy(world: World) -> Path:
    return world.parts.folder / "drives" / "copy.sql.zst"


def _replace(world: World, load: Callable[[], None]) -> None:
    with world.session() as session:
        world.memory.learn(session)
    world.parts.formatter.end_orphan()
    world.bus.clear()
    up = [name for name in DRIVES if world.workers[name].up]
    for name in up:
        world.stop_worker(name)
    truth.clear(world.parts.database)
    load()
    world.memory.database += 1
    world.ledger.database_replaced()
    world.is_rebuilt = True
    for name in up:
        world.start_worker(name)
    world.counts["databases lost"] += 1
