"""Tapes that somebody else has formatted or changed, or that have the label of another one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from backup.compare import compare_trees
from db.models import Notification, now
from db.runs import admission, starting
from db.schedules.schedules import put
from db.states import Trigger
from db.tapes import cartridges, permits
from policy.message import M
from policy.tapes.permit import Decision
from tape.virtual import shelf
from tests.cartridges import sealed
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
    folder = shelf.folder_of(system.drive.path, "A00001L9")
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
        system.forget_everything()
        system.insert_blank(barcode)
        system.schedule("monthly", source)
        made.append(succeeded(system, system.run_schedule("monthly"))["set_id"])
    theirs, ours = made
    label = label_of_tape(system)
    shelf.insert(system.drive.path, "B00001L9")
    assert label_of_tape(system) == label
    succeeded(system, int(system.json("tape", "import")["run"]))
    assert sets(system) == {ours: "complete", theirs: "complete"}
    tapes = {tape["tape_id"]: [each["id"] for each in tape["sets"]] for tape in system.json("tape", "list")}
    assert tapes == {label: [ours], f"{label}-B00001L9": [theirs]}
    restores(system, theirs, source)
    shelf.insert(system.drive.path, "A00001L9")
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
    shelf.insert(system.drive.path, "A00001L9")
    restores(system, backed_up["set_id"], source)


def test_a_mark_stays_with_the_cartridge(system: System, backed_up: dict[str, Any]) -> None:
    """It comes back with another volume and this month's label: nothing writes on it."""
    del backed_up
    label = label_of_tape(system)
    system.cli("tape", "mark", label, "retired")
    system.drive.format(label)
    run = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert (run["state"], "retired" in str(run["reason"])) == ("FAILED", True)
    assert sealed(shelf.folder_of(system.drive.path, "A00001L9")) == {}


@pytest.mark.parametrize("left", ["nothing", "set.json alone"])
def test_an_increment_looks_for_what_it_follows_on_the_tape(
    system: System, source: Path, backed_up: dict[str, Any], left: str
) -> None:
    """Somebody has deleted the full set, or its archives, from the volume: the backup is a full one."""
    lose(system, backed_up["set_id"], keep=() if left == "nothing" else ("set.json",))
    run = succeeded(system, increment(system))
    assert types(system)[run["set_id"]] == "full"
    [before] = [each for each in system.json("sets", "list") if each["id"] == backed_up["set_id"]]
    assert (before["state"], before["damaged"]) == (
        ("destroyed", None) if left == "nothing" else ("complete", 1)
    )
    assert "any more" in system.cli("runs", "show", str(run["id"])).stdout
    restores(system, run["set_id"], source)
    assert (
        json.loads((volume_of(system) / "sets" / run["set_id"] / "set.json").read_bytes())["type"] == "full"
    )
    following = succeeded(system, increment(system))
    assert types(system)[following["set_id"]] == "incremental"


def volume_of(system: System) -> Path:
    return shelf.folder_of(system.drive.path, "A00001L9") / "volume"


def lose(system: System, set_id: str, *, keep: tuple[str, ...]) -> None:
    """Delete the files of a set as ``rm`` does on a mounted volume."""
    with shelf.edit(system.drive.path, "A00001L9") as record:
        assert record.volume is not None
        for name in [name for name in record.volume.files if name.startswith(f"sets/{set_id}/")]:
            if Path(name).name not in keep:
                del record.volume.files[name]
                (volume_of(system) / name).unlink()
    if not keep:
        shutil.rmtree(volume_of(system) / "sets" / set_id)


def test_a_format_at_another_drive_ends_what_was_to_be_followed(
    system: System, source: Path, backed_up: dict[str, Any]
) -> None:
    """Its permit is consumed while an increment is being written: that is no success. From then on the backup
    is a full one."""
    label = label_of_tape(system)
    system.insert_blank("A00002L9", speed=400_000)
    system.drive.format(f"{label[:-2]}77")
    (source / "large").write_bytes(os.urandom(2_000_000))
    run_id = increment(system)
    system.wait_for(lambda: types(system).get(system.json("runs", "show", str(run_id))["set_id"]), "its set")
    system.ask(lambda session: is_being_formatted(session, label))
    run = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert (run["state"], "not whole any more" in str(run["reason"])) == ("FAILED", True)
    assert sets(system)[run["set_id"]] == "incomplete"
    (source / "large").unlink()
    again = succeeded(system, increment(system))
    assert types(system)[again["set_id"]] == "full"
    assert backed_up["set_id"] in sets(system)


def is_being_formatted(session: Any, tape_id: str) -> None:
    """A run at another drive has consumed its permit for a cartridge, and its program is at work."""
    cartridge = cartridges.find(session, tape_id)
    assert cartridge is not None
    row = put(session, "other", drive="tape1", sources=["/data"])
    assert starting.start(session, row, due_at=now(), trigger=Trigger.MANUAL)
    run = admission.admit(session, "tape1")
    assert run is not None
    shown = {"state": "formatted", "label": cartridge.label, "volume_uuid": cartridge.volume_uuid}
    permit = permits.store(session, run, shown, "TP20200101", Decision(True, (), (M("past"),), ()))
    permits.consume(session, permit.id, now())
