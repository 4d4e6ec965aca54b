"""What a template asks for, through real processes: excludes, increments, a point in time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from sqlalchemy import select

from backup.compare import compare_trees
from cli import sample
from db.models import ChainStep, Notification
from db.states import Step, StepState
from tape.virtual import shelf
from tests.system import System, label


@pytest.fixture
def source(short_path: Path) -> Path:
    folder = short_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def volume(system: System) -> Path:
    """A blank tape in the drive; where its files will be."""
    shelf.new_cartridge(system.drive.path, "A00001L9", capacity=10**9)
    shelf.insert(system.drive.path, "A00001L9")
    return shelf.folder_of(system.drive.path, "A00001L9") / "volume"


def fill(folder: Path, **files: str) -> None:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)


def back_up(system: System, *options: str) -> dict[str, object]:
    """Run the schedule by hand to its end."""
    run_id = int(system.json("schedule", "run", "monthly", *options)["run"])
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED", "SKIPPED")
    assert done["state"] == "SUCCEEDED", done
    return done


def paths(system: System, run: dict[str, object], source: Path) -> list[str]:
    """What the catalogue has of a run's set, below the source."""
    found = system.json("sets", "find", "*", "--set", str(run["set_id"]))
    return sorted(row["path"].removeprefix(f"{source}/") for row in found if row["path"] != str(source))


@pytest.mark.usefixtures("volume")
def test_rules_of_the_template_and_of_the_hand_leave_files_out(system: System, source: Path) -> None:
    """Patterns by hand come after those of the template; the story counts what was left out."""
    fill(source, a_txt="a", b_tmp="b", keep_tmp="k", c_iso="c")
    system.schedule("monthly", source, template={"excludes": ["*.tmp"]})
    system.start("control", "tape")
    run = back_up(system, "--exclude", "*.iso", "--exclude", "!keep.tmp")
    assert paths(system, run, source) == ["a.txt", "keep.tmp"]
    assert "Left out by the rules: 2" in system.cli("runs", "show", str(run["id"])).stdout
    bad = system.cli("schedule", "run", "monthly", "--exclude", "!", code=2)
    assert "excludes" in bad.stderr


ODD_DATES = (-11644473600, 10413792000, 99999999999)
"""1601, which file servers show for no date; 2300, of which no bigint holds the nanoseconds; 5138."""


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder on a file system that holds every date."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        pytest.skip("no file system in memory here")
    folder = Path(tempfile.mkdtemp(prefix="tl-", dir=memory))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.usefixtures("volume")
def test_files_of_odd_dates_hold_nothing_up(system: System, in_memory: Path) -> None:
    """They are in the set and the catalogue to the nanosecond, an increment knows them again, and they come
    back as they were; the run is as silent about them as about any other."""
    source = in_memory / "source"
    source.mkdir()
    for seconds in ODD_DATES:
        path = source / str(seconds)
        path.write_text(str(seconds))
        os.utime(path, ns=(0, seconds * 10**9 + 1))
    system.schedule("monthly", source)
    system.start("control", "tape")
    full, increment = back_up(system), back_up(system, "--type", "incremental")
    found = system.json("sets", "find", f"{source}/*", "--set", str(full["set_id"]))
    assert sorted(row["mtime_ns"] for row in found) == [seconds * 10**9 + 1 for seconds in sorted(ODD_DATES)]
    shown = system.cli("sets", "find", str(ODD_DATES[-1]), "-n", "1")
    assert system.json("tape", "list")[0]["tape_id"] in shown.stdout
    assert paths(system, increment, source) == []
    restored = in_memory / "restored"
    system.cli("sets", "restore", str(increment["set_id"]), "--to", str(restored))
    assert compare_trees(source, restored / source.relative_to("/")) == []


@pytest.mark.usefixtures("volume")
def test_increments_restore_the_source_as_it_was_at_any_time(
    system: System, source: Path, short_path: Path
) -> None:
    """Full, two increments, a differential, an increment on it: each point in time comes back byte for byte,
    without what was deleted and with what was renamed; only the first of them formats."""
    kinds = ("full", "incremental", "incremental", "differential", "incremental")
    copies, runs = [], []
    sample.make(source / "tree", large=1 << 20, small=40)
    fill(source, a_txt="a", gone_txt="gone", old_name="renamed", same_txt="same")
    # A source that loses most of its files would be held otherwise.
    off = dict.fromkeys(("fewer_files", "fewer_bytes", "deleted", "changed"), "off")
    system.schedule("monthly", source, template={"guard": off})
    system.start("control", "tape")
    for number, kind in enumerate(kinds):
        _change(source, number)
        copies.append(_copy(source, short_path / f"copy{number}"))
        runs.append(back_up(system, "--type", kind))
    parents = {stored["id"]: stored["parent"] for stored in system.json("sets", "list")}
    ids = [str(run["set_id"]) for run in runs]
    assert [parents[set_id] for set_id in ids] == [None, ids[0], ids[1], ids[0], ids[3]]
    steps = [{s["name"]: s["state"] for s in run["steps"]}["format_tape"] for run in runs]  # type: ignore[attr-defined]
    assert steps == ["SUCCEEDED"] + ["SKIPPED"] * 4
    assert system.json("sets", "list")[0]["files"] < 10

    for number, (set_id, copy) in enumerate(zip(ids, copies, strict=True)):
        target = short_path / f"restored{number}"
        system.cli("sets", "restore", set_id, "--to", str(target))
        assert compare_trees(copy, target / source.relative_to("/")) == []

    moment = next(s["started_at"] for s in system.json("sets", "list") if s["id"] == ids[2])
    target = short_path / "as of"
    system.cli("sets", "restore", "monthly", "--at", moment, "--to", str(target))
    assert compare_trees(copies[2], target / source.relative_to("/")) == []
    newest = system.json("sets", "restore", "monthly", "--to", str(target), "--dry-run")
    assert newest["set"] == system.json("sets", "list")[0]["id"]
    assert "no schedule 'nightly'" in system.cli("sets", "restore", "nightly", "--to", "/x", code=2).stderr
    early = system.cli("sets", "restore", "monthly", "--at", "2020-01-01", "--to", str(target), code=2)
    assert "2020-01-01" in early.stderr

    gone = system.cli("sets", "restore", ids[2], str(source / "old.name"), "--to", str(target), code=2)
    assert "old.name" in gone.stderr
    plan = system.json("sets", "restore", ids[4], "--match", "*.txt", "--to", str(target), "--dry-run")
    assert plan["sets"] == ids[3:]
    assert plan["tapes"] == [label()]
    assert plan["bytes"] > 0
    assert plan["seconds"] >= 0


def _change(source: Path, number: int) -> None:
    """What happens between two backups."""
    if number == 0:
        return
    (source / f"new{number}.txt").write_text(f"new {number}")
    (source / "a.txt").write_text("a" * number)
    if number == 1:
        (source / "gone.txt").unlink()
        (source / "old.name").rename(source / "new.name")
    if number == 2:
        (source / "gone.txt").mkdir()
        (source / "gone.txt" / "inside").write_text("a folder now")
        os.link(source / "same.txt", source / "same too.txt")
    if number == 3:
        shutil.rmtree(source / "tree")


def _copy(source: Path, target: Path) -> Path:
    """As it is now, to be compared with later."""
    subprocess.run(["cp", "-a", source, target], check=True)
    return target


@pytest.mark.usefixtures("volume")
def test_without_a_set_to_follow_an_increment_is_full_and_says_so(system: System, source: Path) -> None:
    """The first backup of a schedule that makes increments is a full one, with a warning in its story."""
    fill(source, a_txt="a")
    system.schedule("monthly", source, template={"type": "differential"})
    system.start("control", "tape")
    run = back_up(system)
    [stored] = system.json("sets", "list")
    assert (stored["type"], stored["parent"]) == ("full", None)
    assert "this one is full" in system.cli("runs", "show", str(run["id"])).stdout
    back_up(system)
    assert system.json("sets", "list")[0]["type"] == "differential"


@pytest.mark.usefixtures("volume")
def test_an_increment_never_takes_a_blank_tape(system: System, source: Path) -> None:
    """It needs a tape to append to, says which, and touches nothing."""
    fill(source, a_txt="a")
    system.schedule("monthly", source)
    system.start("control", "tape")
    back_up(system)
    shelf.new_cartridge(system.drive.path, "A00002L9", capacity=10**9)
    shelf.insert(system.drive.path, "A00002L9")
    run_id = int(system.json("schedule", "run", "monthly", "--type", "incremental")["run"])
    failed = system.wait_for_state(run_id, "FAILED", "SUCCEEDED")
    assert failed["state"] == "FAILED"
    assert not failed["permits"]
    assert system.drive.look().state.value == "blank"


def test_a_backup_is_read_back_and_a_flipped_bit_is_named(
    system: System, source: Path, volume: Path, short_path: Path
) -> None:
    """verify_percent queues a run of its own; a damaged file is found by hand, named, and costs no other."""
    fill(source, a_txt="a" * 5000, b_txt="b" * 5000)
    system.schedule("monthly", source, template={"verify_percent": 100, "compression": "none"})
    system.start("control", "tape")
    run = back_up(system)
    system.wait_for(lambda: len(system.json("runs")) == 2, "the verification")
    done = system.wait_for_state(system.json("runs")[0]["id"], "SUCCEEDED", "FAILED")
    assert (done["kind"], done["state"], done["set_id"]) == ("verify", "SUCCEEDED", run["set_id"])
    [stored] = system.json("sets", "list")
    assert (stored["verified_percent"], stored["damaged"]) == (100, 0)

    [archive] = volume.glob("sets/*/data-*")
    archive.write_bytes(archive.read_bytes().replace(b"b" * 5000, b"b" * 4999 + b"c"))
    found = system.cli("sets", "verify", str(run["set_id"]), code=1)
    assert "b.txt" in found.stdout
    assert "a.txt" not in found.stdout
    assert system.json("sets", "list")[0]["damaged"] == 1

    target = short_path / "restored"
    named = system.cli("sets", "restore", str(run["set_id"]), "--to", str(target), code=1)
    assert "b.txt" in named.stdout
    below = target / source.relative_to("/")
    assert [path.name for path in below.iterdir()] == ["a.txt"]


def test_a_backup_spans_tapes_and_is_restored_from_them(
    system: System, source: Path, short_path: Path
) -> None:
    """The tape is full: the run waits, asks for the next label of the month, and goes on by itself as part 2
    with a permit of its own; the set is restored and verified from both tapes, each asked for in its turn."""
    sample.make(source / "mixed", large=1 << 20, small=30)
    for number in range(8):
        (source / f"large{number}").write_bytes(os.urandom(1 << 20))
    for number in (1, 2):
        shelf.new_cartridge(system.drive.path, f"A0000{number}L9", capacity=(5 * number) << 20)
    shelf.insert(system.drive.path, "A00001L9")
    system.schedule("monthly", source, template={"compression": "none", "archive_bytes": 2 << 20})
    system.start("control", "tape")
    system.start_beat()
    run_id = system.run_schedule("monthly")
    waiting = system.wait_for_state(run_id, "WAITING_FOR_TAPE", "FAILED", "SUCCEEDED")
    assert (waiting["state"], waiting["part"]) == ("WAITING_FOR_TAPE", 2), waiting
    second = label(2)
    assert second in str(waiting["reason"])
    shelf.insert(system.drive.path, "A00002L9")
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert [permit["part"] for permit in done["permits"] if permit["consumed_at"]] == [1, 2]
    [stored] = system.json("sets", "list")
    assert (stored["state"], stored["tapes"]) == ("complete", [label(), second])
    story = system.cli("runs", "show", str(run_id)).stdout
    assert "Part 1\n" in story
    assert len(re.findall("run_backup +SUCCEEDED", story)) == 2
    with system.database.transaction() as session:
        [said] = session.scalars(select(Notification.facts).where(Notification.event == "success"))
        assert said["label"] == f"{label()}, {second}"
        first = session.get(ChainStep, (run_id, 1, Step.RUN_BACKUP))
        assert first is not None
        assert first.state is StepState.SUCCEEDED, "what it has written is no skip"
        assert 0 < first.result["files"] < stored["files"]
    states = {tape["tape_id"]: tape["state"] for tape in system.json("tape", "list")}
    assert states == {label(): "full", second: "active"}

    target = short_path / "restored"
    for command in (("restore", stored["id"], "--to", str(target)), ("verify", stored["id"])):
        shelf.insert(system.drive.path, "A00001L9")
        reading = int(system.json("sets", *command)["run"])
        asks = system.wait_for_state(reading, "WAITING_FOR_TAPE", "FAILED", "SUCCEEDED")
        assert asks["state"] == "WAITING_FOR_TAPE", asks
        assert second in str(asks["reason"])
        shelf.insert(system.drive.path, "A00002L9")
        read = system.wait_for_state(reading, "SUCCEEDED", "FAILED")
        assert read["state"] == "SUCCEEDED", read
    assert compare_trees(source, target / source.relative_to("/")) == []
    assert system.json("sets", "list")[0]["damaged"] == 0


def test_a_file_larger_than_a_tape_spans_tapes(system: System, source: Path, short_path: Path) -> None:
    """In pieces: on the tapes that its month gives, catalogued as one file, unchanged for the next increment,
    restored whole from both tapes, verified; and the tapes alone make the catalogue again."""
    (source / "dump").write_bytes(os.urandom(7 << 20))
    fill(source, a_txt="a", z_txt="z")
    for number in (1, 2):
        shelf.new_cartridge(system.drive.path, f"A0000{number}L9", capacity=6 << 20)
    shelf.insert(system.drive.path, "A00001L9")
    system.schedule("monthly", source, template={"compression": "none", "archive_bytes": 1 << 20})
    system.start("control", "tape")
    system.start_beat()
    run_id = system.run_schedule("monthly")
    waiting = system.wait_for_state(run_id, "WAITING_FOR_TAPE", "FAILED", "SUCCEEDED")
    assert waiting["state"] == "WAITING_FOR_TAPE", waiting
    shelf.insert(system.drive.path, "A00002L9")
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    assert paths(system, done, source) == ["a.txt", "dump", "z.txt"]
    [stored] = system.json("sets", "list")
    assert (stored["files"], stored["bytes"], stored["warnings"]) == (4, (7 << 20) + 2, 0)
    second = label(2)
    assert stored["tapes"] == [label(), second]

    back_up(system, "--type", "incremental")
    assert system.json("sets", "list")[0]["files"] == 0

    target = short_path / "restored"
    one = ("restore", stored["id"], str(source / "dump"), "--to", str(target))
    plan = system.json("sets", *one, "--dry-run")
    assert (plan["tapes"], plan["files"], plan["bytes"]) == ([label(), second], 1, 7 << 20)
    for command in (one, ("verify", stored["id"])):
        shelf.insert(system.drive.path, "A00001L9")
        reading = int(system.json("sets", *command)["run"])
        system.wait_for_state(reading, "WAITING_FOR_TAPE", "FAILED", "SUCCEEDED")
        shelf.insert(system.drive.path, "A00002L9")
        read = system.wait_for_state(reading, "SUCCEEDED", "FAILED")
        assert read["state"] == "SUCCEEDED", read
    restored = target / source.relative_to("/")
    assert (restored / "dump").read_bytes() == (source / "dump").read_bytes()
    assert [path.name for path in restored.iterdir()] == ["dump"]


def test_an_encrypted_backup_is_restored_with_its_key(
    system: System, source: Path, volume: Path, short_path: Path
) -> None:
    """The host holds the public key alone; without the secret one a restore says so before it begins."""
    fill(source, a_txt="the secret text")
    key = pyrage.x25519.Identity.generate()
    (short_path / "key.txt").write_text(f"{key}\n")
    system.schedule("monthly", source, template={"encrypt_to": [str(key.to_public())]})
    system.start("control", "tape")
    run = back_up(system)
    assert not any(b"a.txt" in path.read_bytes() for path in volume.rglob("*") if path.is_file())
    target = short_path / "restored"
    command = ("sets", "restore", str(run["set_id"]), "--to", str(target))
    refused = system.cli(*command, code=2)
    assert "--identity" in refused.stderr
    system.cli(*command, "--identity", str(short_path / "key.txt"))
    assert compare_trees(source, target / source.relative_to("/")) == []
    wrong = system.cli(*command, "--identity", str(source / "a.txt"), code=1)
    assert "a.txt" in wrong.stdout
