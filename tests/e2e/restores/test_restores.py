"""Restores through real processes: what is counted is there, and each trouble is called by its name."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
from pathlib import Path

import pyrage
import pytest
import zstandard
from sqlalchemy import update

from backup.compare import compare_trees
from db import models
from policy.message import Message
from tape.virtual import record as virtual_record
from tape.virtual import shelf
from tests.system import System


@pytest.fixture
def source(short_path: Path) -> Path:
    folder = short_path / "source"
    folder.mkdir()
    for number in range(6):
        (folder / f"file{number}").write_bytes(os.urandom(1 << 20))
    return folder


@pytest.fixture
def volume(system: System) -> Path:
    """A blank tape in the drive; where its files will be."""
    shelf.new_cartridge(system.drive.path, "A00001L9", capacity=10**9)
    shelf.insert(system.drive.path, "A00001L9")
    return shelf.folder_of(system.drive.path, "A00001L9") / "volume"


def back_up(system: System, source: Path, **template: object) -> str:
    """The id of the set that a first backup makes."""
    system.schedule("monthly", source, template={"compression": "none", **template})
    system.start("control", "tape")
    done = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    return str(done["set_id"])


def told(system: System, run_id: int) -> dict[str, object]:
    """The facts of the message at the end of a run."""
    with system.database.transaction() as session:
        rows = session.query(models.Notification).filter_by(run_id=run_id).order_by(models.Notification.id)
        return dict(rows.all()[-1].facts)


def reason(run: dict[str, object]) -> str:
    """Why a run failed, as people read it."""
    return str(Message.from_json(run["reason"]))


def restore(system: System, set_id: str, target: Path, *options: str) -> int:
    """Begin a restore; its run."""
    asked = system.json("sets", "restore", set_id, "--to", str(target), *options)
    return int(asked["run"])


def test_a_restore_that_goes_on_in_an_emptied_folder_restores_all(
    system: System, source: Path, short_path: Path
) -> None:
    """It waits for its second tape when its worker is killed and its folder emptied: then it
    asks for the first again; in the end every file is there, and so many are counted."""
    for number in (1, 2):
        shelf.new_cartridge(system.drive.path, f"A0000{number}L9", capacity=(4 * number) << 20)
    shelf.insert(system.drive.path, "A00001L9")
    system.schedule("monthly", source, template={"compression": "none", "archive_bytes": 2 << 20})
    system.start("control", "tape")
    system.start_beat()
    backup = system.run_schedule("monthly")
    system.wait_for_state(backup, "WAITING_FOR_TAPE")
    shelf.insert(system.drive.path, "A00002L9")
    set_id = str(system.wait_for_state(backup, "SUCCEEDED")["set_id"])

    target = short_path / "restored"
    shelf.insert(system.drive.path, "A00001L9")
    run_id = restore(system, set_id, target)
    system.wait_for_state(run_id, "WAITING_FOR_TAPE")
    system.kill("tape", signal.SIGKILL)
    shutil.rmtree(target)
    system.start("tape")
    shelf.insert(system.drive.path, "A00002L9")
    first = str(system.json("sets", "list")[0]["tapes"][0])
    system.wait_for(lambda: first in _asked_for(system, run_id), "it to ask for the first tape again")
    shelf.insert(system.drive.path, "A00001L9")
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert compare_trees(source, target / source.relative_to("/")) == []
    facts = told(system, run_id)
    assert (facts["files"], facts["kept"], facts["target"]) == (7, 0, str(target))


def _asked_for(system: System, run_id: int) -> str:
    """The tapes that a waiting run says the rest is on."""
    run = system.json("runs", "show", str(run_id))
    return reason(run) if run["state"] == "WAITING_FOR_TAPE" else ""


@pytest.mark.usefixtures("volume")
def test_a_restore_onto_changed_files_names_them(system: System, source: Path, short_path: Path) -> None:
    """What is there is compared: as in the backup, it is kept in silence; otherwise it is kept, named with
    the remedy, and the message counts it. The message says how many files are where."""
    set_id = back_up(system, source)
    target = short_path / "restored"
    first = restore(system, set_id, target)
    system.wait_for_state(first, "SUCCEEDED")
    assert told(system, first)["event"] == "success"
    changed = target / source.relative_to("/") / "file2"
    changed.write_text("mine")
    (changed.parent / "file3").unlink()
    second = restore(system, set_id, target)
    assert system.wait_for_state(second, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    facts = told(system, second)
    assert (facts["event"], facts["warnings"], facts["kept"]) == ("warnings", 1, 4)
    assert (facts["files"], facts["target"]) == (2, str(target))
    story = system.cli("runs", "show", str(second)).stdout
    assert "file2: It was there already, is not as in the backup, and was kept." in story
    assert "--overwrite" in story
    assert changed.read_text() == "mine"
    listed = {run["id"]: run["warnings"] for run in system.json("runs")}
    assert (listed[first], listed[second]) == (0, 1)
    assert "SUCCEEDED, 1 warning\n" in story
    system.cli("sets", "restore", set_id, "--to", str(target), "--overwrite")
    assert compare_trees(source, changed.parent) == []


@pytest.mark.usefixtures("volume")
def test_a_wrong_key_is_called_so_and_the_retry_takes_another(
    system: System, source: Path, short_path: Path
) -> None:
    """Nothing is called damaged; the run is retried with the right key, and into another folder."""
    right, wrong = (pyrage.x25519.Identity.generate() for _ in range(2))
    for name, key in (("right", right), ("wrong", wrong)):
        (short_path / name).write_text(f"{key}\n")
    set_id = back_up(system, source, encrypt_to=[str(right.to_public())])
    run_id = restore(system, set_id, short_path / "a", "--identity", str(short_path / "wrong"))
    failed = system.wait_for_state(run_id, "FAILED", "SUCCEEDED")
    assert f"This key does not open set {set_id}, encrypted to {right.to_public()}." in reason(failed)
    assert "damaged" not in system.cli("runs", "show", str(run_id)).stdout
    again = ("--identity", str(short_path / "right"), "--to", str(short_path / "b"))
    system.cli("runs", "retry", str(run_id), *again)
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert compare_trees(source, short_path / "b" / source.relative_to("/")) == []
    backup = str(system.json("runs")[-1]["id"])
    system.cli("runs", "retry", backup, "--to", str(short_path / "c"), code=1)


def test_a_dump_beside_an_open_set_shows_no_name_of_an_encrypted_one(
    system: System, source: Path, volume: Path, short_path: Path
) -> None:
    """It is encrypted to the keys in use, those of schedules that were removed and of no template that is
    broken; without one that is known there is none, and a warning."""
    key = pyrage.x25519.Identity.generate()
    (short_path / "key").write_text(f"{key}\n")
    back_up(system, source, encrypt_to=[str(key.to_public())])
    (short_path / "open").mkdir()
    system.schedule("open", short_path / "open", template={"type": "incremental"})
    opened = system.wait_for_state(system.run_schedule("open"), "SUCCEEDED", "FAILED")
    [dump] = (volume / "sets" / str(opened["set_id"])).glob("database*")
    plain = pyrage.decrypt(dump.read_bytes(), [key])
    text = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(plain)).read()
    assert b"file3" in text

    system.ask(lambda session: session.execute(update(models.BackupTask).values(encrypt_to=[])))
    broken = {"encrypt_to": ["age1nonsense"]}
    system.schedule("broken", short_path / "open", template=broken)
    again = system.wait_for_state(system.run_schedule("open"), "SUCCEEDED", "FAILED")
    assert not list((volume / "sets" / str(again["set_id"])).glob("database*"))
    assert "encrypt_to" in system.cli("runs", "show", str(again["id"])).stdout


def test_an_erased_tape_is_not_called_damaged(
    system: System, source: Path, volume: Path, short_path: Path
) -> None:
    """Neither by a restore nor by a verification; the set is not marked as damaged."""
    set_id = back_up(system, source)
    shutil.rmtree(volume / "sets" / set_id)
    with virtual_record.editing(volume.parent) as record:
        assert record.volume
        record.volume.files = {name: size for name, size in record.volume.files.items() if set_id not in name}
    for command in (("restore", set_id, "--to", str(short_path / "x")), ("verify", set_id)):
        run_id = int(system.json("sets", *command)["run"])
        failed = system.wait_for_state(run_id, "FAILED", "SUCCEEDED")
        assert failed["state"] == "FAILED"
        assert f"does not have set {set_id}" in reason(failed)
        assert "damaged" not in system.cli("runs", "show", str(run_id)).stdout
    assert not system.json("sets", "list")[0]["damaged"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files away")
def test_restored_files_belong_to_whom_the_map_names(system: System, source: Path, short_path: Path) -> None:
    """A map that is none, and an owner whom the drive's host does not have, write nothing."""
    os.chown(source / "file0", 4001, 4002)
    os.chown(source / "file1", 4001, 0)
    system.insert_blank()
    set_id = back_up(system, source)
    target = short_path / "restored"
    restore = ("sets", "restore", set_id, "--to", str(target))
    [refused] = system.cli(*restore, "--owner-map", "4001", code=2).stderr.strip().splitlines()
    assert "--owner-map: '4001' maps no owner. Write FROM:TO" in refused
    unknown = system.cli(*restore, "--owner-map", "4001:nobody-has-this", code=1)
    assert "this host has no user or group 'nobody-has-this'" in unknown.stdout + unknown.stderr
    assert not list(target.rglob("file*"))
    done = system.cli(*restore, "--owner-map", "4001:5001", "--owner-map", "@4002:@5002")
    assert "Owners: 4001:5001, @4002:@5002." in done.stdout
    owners = {file.name: (file.stat().st_uid, file.stat().st_gid) for file in target.rglob("file?")}
    theirs = (source / "file2").stat()
    assert owners["file0"] == (5001, 5002)
    assert owners["file1"] == (5001, 0)
    assert owners["file2"] == (theirs.st_uid, theirs.st_gid)
