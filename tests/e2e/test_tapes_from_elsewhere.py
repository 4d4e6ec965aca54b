"""Tapes that somebody else has formatted or changed, or that have the label of another one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from backup.compare import compare_trees
from db.models import Notification
from tape import virtual_shelf
from tests.cartridges import sealed
from tests.e2e.test_import import forget_everything
from tests.system import System


@pytest.fixture
def source(short_path: Path) -> Path:
    folder = short_path / "source"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}").write_bytes(os.urandom(100_000))
    return folder


@pytest.fixture
def backed_up(system: System, source: Path) -> dict[str, Any]:
    """A full backup on the tape in the drive, which is kept for ever."""
    system.insert_blank()
    system.schedule("monthly", source)
    system.start("control", "tape")
    return succeeded(system, system.run_schedule("monthly"))


def succeeded(system: System, run_id: int) -> dict[str, Any]:
    run = system.wait_for_state(run_id, "SUCCEEDED", "FAILED", "WAITING_FOR_TAPE")
    assert run["state"] == "SUCCEEDED", system.cli("runs", "show", str(run_id)).stdout
    return run


def sets(system: System) -> dict[str, str]:
    return {stored["id"]: stored["state"] for stored in system.json("sets", "list")}


def types(system: System) -> dict[str, str]:
    return {stored["id"]: stored["type"] for stored in system.json("sets", "list")}


def increment(system: System) -> int:
    return int(system.json("schedule", "run", "monthly", "--type", "incremental")["run"])


def label_of_tape(system: System) -> str:
    return str(system.drive.look().label)


def restores(system: System, set_id: str, source: Path) -> None:
    target = system.folder / "back"
    system.cli("sets", "restore", set_id, "--to", str(target))
    assert compare_trees(source, target / source.relative_to("/")) == []
    shutil.rmtree(target)


def is_reported(system: System, run_id: int, set_id: str) -> None:
    """In the run's story, and by a message of its own."""
    assert f"any more: {set_id}" in system.cli("runs", "show", str(run_id)).stdout
    sent = select(Notification).where(Notification.event == "sets_lost", Notification.run_id == run_id)
    [told] = system.ask(lambda session: session.scalars(sent).all())
    assert set_id in str(told.facts["reason"])


def test_an_increment_never_follows_a_full_set_that_is_gone(
    system: System, source: Path, backed_up: dict[str, Any]
) -> None:
    """The tape was formatted elsewhere under its old label: the set is destroyed and reported, and the backup
    is a full one that restores."""
    system.drive.format(label_of_tape(system))
    run = succeeded(system, increment(system))
    assert types(system)[run["set_id"]] == "full"
    assert sets(system) == {backed_up["set_id"]: "destroyed", run["set_id"]: "complete"}
    is_reported(system, run["id"], backed_up["set_id"])
    [tape] = system.json("tape", "list")
    assert tape["generation"] == 3
    restores(system, run["set_id"], source)


def test_an_import_corrects_what_the_catalogue_has(
    system: System, backed_up: dict[str, Any], source: Path
) -> None:
    """What is not on the tape is destroyed; when a tape has it after all, it is complete again."""
    folder = virtual_shelf.folder_of(system.drive.path, "A00001L9")
    copy = system.folder / "copy"
    shutil.copytree(folder, copy)
    system.drive.format(label_of_tape(system))
    imported = succeeded(system, int(system.json("tape", "import")["run"]))
    assert sets(system) == {backed_up["set_id"]: "destroyed"}
    is_reported(system, imported["id"], backed_up["set_id"])
    shutil.rmtree(folder)
    copy.rename(folder)
    succeeded(system, int(system.json("tape", "import")["run"]))
    assert sets(system) == {backed_up["set_id"]: "complete"}
    restores(system, backed_up["set_id"], source)


def test_another_sites_tape_of_the_same_label_has_its_own_row(system: System, source: Path) -> None:
    """Imported, it takes nothing from ours: each restores from its own tape, and from no other."""
    system.start("control", "tape")
    made = []
    for barcode in ("B00001L9", "A00001L9"):
        forget_everything(system)
        system.insert_blank(barcode)
        system.schedule("monthly", source)
        made.append(succeeded(system, system.run_schedule("monthly"))["set_id"])
    theirs, ours = made
    label = label_of_tape(system)
    virtual_shelf.insert(system.drive.path, "B00001L9")
    assert label_of_tape(system) == label
    succeeded(system, int(system.json("tape", "import")["run"]))
    assert sets(system) == {ours: "complete", theirs: "complete"}
    tapes = {tape["tape_id"]: [each["id"] for each in tape["sets"]] for tape in system.json("tape", "list")}
    assert tapes == {label: [ours], f"{label}-B00001L9": [theirs]}
    restores(system, theirs, source)
    virtual_shelf.insert(system.drive.path, "A00001L9")
    restores(system, ours, source)


def test_another_sites_tape_that_is_only_put_in_takes_nothing_from_ours(
    system: System, source: Path, backed_up: dict[str, Any]
) -> None:
    """An increment that is appended to it is on it; the full set is on ours, where it was."""
    label = label_of_tape(system)
    system.insert_blank("B00001L9")
    system.drive.format(label)
    run = succeeded(system, increment(system))
    [ours] = [tape for tape in system.json("tape", "list") if tape["tape_id"] == label]
    assert [stored["id"] for stored in ours["sets"]] == [backed_up["set_id"]]
    assert sets(system) == {backed_up["set_id"]: "complete", run["set_id"]: "complete"}
    virtual_shelf.insert(system.drive.path, "A00001L9")
    restores(system, backed_up["set_id"], source)


def test_a_mark_stays_with_the_cartridge(system: System, backed_up: dict[str, Any]) -> None:
    """It comes back with another volume and this month's label: nothing writes on it."""
    del backed_up
    label = label_of_tape(system)
    system.cli("tape", "mark", label, "retired")
    system.drive.format(label)
    run = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert (run["state"], "retired" in str(run["reason"])) == ("FAILED", True)
    assert sealed(virtual_shelf.folder_of(system.drive.path, "A00001L9")) == {}
