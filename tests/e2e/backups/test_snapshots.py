"""Sources that are read from their snapshots: made, read, checked and removed by a real worker."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from backup.compare import compare_trees
from db.models import BackupFile, CommandBracket
from policy.message import Message
from tape.virtual import shelf
from tests.snapshots import Programs, btrfs, needs_mounts
from tests.system import System


@pytest.fixture
def lvm(system: System, source: Path) -> Iterator[Programs]:
    made = Programs(system.folder, source, "lvs", "lvcreate", "lvremove", "mount")
    system.environment["PATH"] = made.path
    yield made
    system.close()
    for folder in (system.state / "snapshots").glob("tapeline-*"):
        # What a test that failed has left.
        subprocess.run(["umount", str(folder)], check=False, capture_output=True)


def begin(system: System, source: Path, snapshot: dict[str, str], **how: Any) -> int:
    """Processes, a blank tape, a schedule with a snapshot of its source, and a run of it."""
    system.insert_blank(**how.pop("tape", {}))
    system.start("control", "tape")
    template = {"source_options": {str(source): snapshot}, **how}
    system.schedule("nightly", source, template=template)
    return system.run_schedule("nightly")


def reason(run: dict[str, Any]) -> str:
    return str(Message.from_json(run["reason"]))


def story(system: System, run: int) -> str:
    return system.cli("runs", "show", str(run)).stdout


def restored(system: System, set_id: str, source: Path) -> Path:
    """Restore a set and wait for it; where the source is then."""
    target = system.folder / f"restored-{set_id}"
    run = system.json("sets", "restore", set_id, "--to", str(target))["run"]
    system.wait_for_state(int(run), "SUCCEEDED")
    return target / str(source)[1:]


def bracket(system: System, run: int) -> Any:
    def asked(session: Any) -> Any:
        found = session.get(CommandBracket, run)
        return found.snapshots, found.closed_at is not None

    return system.ask(asked)


def copy(source: Path, name: str) -> Path:
    """What the source was, for a comparison."""
    subprocess.run(["cp", "-a", "--", str(source), str(source.parent / name)], check=True)
    return source.parent / name


@needs_mounts
def test_a_source_is_read_from_its_snapshot(system: System, lvm: Programs, source: Path) -> None:
    """Everything in the source changes while it is backed up: the set has what the snapshot has, under the
    names of the source. Then nothing of it is left on the host."""
    before = copy(source, "before")
    lvm.flag("changes").touch()
    run = begin(system, source, {"snapshot": "lvm", "snapshot_size": "50%"})
    done = system.wait_for_state(run, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done["reason"]
    assert done["warnings"] == 0
    lines = [line.split() for line in lvm.calls]
    assert [line[0] for line in lines] == ["lvcreate", "mount", "lvremove"]
    name = lines[0][-3]
    assert lines[0] == [
        "lvcreate",
        "--yes",
        "--snapshot",
        "--size",
        "20971520b",
        "--name",
        name,
        "--",
        "vg0/files",
    ]
    assert lines[1][:3] == ["mount", "-o", "ro"]
    assert lines[2] == ["lvremove", "--yes", "--", f"vg0/{name}"]
    assert f"-{run}-1" in name
    assert lvm.copies == []
    assert not any((system.state / "snapshots").iterdir())
    assert bracket(system, run) == ([], True)
    told = story(system, run)
    assert f"Snapshot {name} of source {source} is made." in told
    assert f"Snapshot {name} is removed." in told
    paths = system.ask(lambda s: s.scalars(select(BackupFile.path)).all())
    assert all(path.startswith(str(source)) for path in paths)
    assert (source / "new").exists()
    assert compare_trees(before, restored(system, done["set_id"], source)) == []
    told = system.cli("precheck", "nightly", "--manual", code=None).stdout
    assert f"Source {source}: read from a snapshot (lvm) of vg0/files, with 21.0 MB for changes." in told


@needs_mounts
def test_a_snapshot_that_fills_up(system: System, lvm: Programs, source: Path) -> None:
    """The kernel invalidates it: files cannot be read, or are not even there. The run fails, the set is not
    complete, and a retry completes it from another snapshot."""
    run = begin(
        system,
        source,
        {"snapshot": "lvm"},
        compression="none",
        archive_bytes=400_000,
        tape={"speed": 1 << 20},
    )
    system.wait_for(lambda: "Archive 1 is sealed" in story(system, run), "an archive")
    lvm.flag("full").touch()
    [snapshot] = lvm.copies
    for path in [path for path in snapshot.rglob("*") if path.is_file()]:
        path.unlink()
    failed = system.wait_for_state(run, "FAILED", "SUCCEEDED")
    assert failed["state"] == "FAILED"
    assert f"of source {source} is full (100.00 %): the backup cannot be whole." in reason(failed)
    assert "Set a larger snapshot_size" in reason(failed) + story(system, run)
    assert [each["state"] for each in system.json("sets", "list")] == ["incomplete"]
    system.wait_for(lambda: lvm.copies == [], "the removal")
    lvm.flag("full").unlink()
    with shelf.edit(system.drive.path, "A00001L9") as record:
        record.speed = 10**9
    system.cli("runs", "retry", str(run))
    done = system.wait_for_state(run, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done["reason"]
    assert compare_trees(source, restored(system, done["set_id"], source)) == []
    assert lvm.copies == []


@needs_mounts
def test_a_snapshot_that_was_full_at_the_very_end(system: System, lvm: Programs, source: Path) -> None:
    """The last archive is on tape, and nobody knows whether all of it was read: it does not count."""
    run = begin(system, source, {"snapshot": "lvm"}, tape={"speed": 1 << 20})
    system.wait_for(lambda: "Planned: " in story(system, run), "the plan")
    lvm.flag("full").touch()
    failed = system.wait_for_state(run, "FAILED", "SUCCEEDED")
    assert failed["state"] == "FAILED"
    assert "is full (100.00 %)" in reason(failed)
    assert not list(system.state.rglob("sets/*/complete.json"))


@needs_mounts
def test_a_snapshot_that_cannot_be_made(system: System, lvm: Programs, source: Path) -> None:
    """The run fails before anything is read, with what the program said; no row is left open."""
    lvm.flag("refuses").touch()
    run = begin(system, source, {"snapshot": "lvm"})
    failed = system.wait_for_state(run, "FAILED")
    assert "lvcreate --yes --snapshot ended with code 5: Volume group" in reason(failed)
    assert failed["set_id"] is None
    system.wait_for(lambda: bracket(system, run) == ([], True), "the end of the bracket")


@needs_mounts
def test_a_snapshot_that_does_not_go(system: System, lvm: Programs, source: Path) -> None:
    """The backup is a success with a warning; its row stays, and the next run removes it first."""
    lvm.flag("busy").touch()
    run = begin(system, source, {"snapshot": "lvm"})
    done = system.wait_for_state(run, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED"
    assert done["warnings"] == 1
    assert "contains a filesystem in use" in story(system, run)
    [entered], is_closed = bracket(system, run)
    assert is_closed
    assert entered["stuck"]
    [left] = lvm.copies
    lvm.flag("busy").unlink()
    again = system.wait_for_state(system.run_schedule("nightly"), "SUCCEEDED", "FAILED")
    assert again["warnings"] == 0
    assert bracket(system, run) == ([], True)
    assert lvm.copies == []
    assert left.name in " ".join(lvm.calls[-4:])


@needs_mounts
def test_what_is_not_ours_is_never_removed(system: System, lvm: Programs, source: Path) -> None:
    """A row of another name, or a volume that is no snapshot of the source's, stays where it is."""
    lvm.flag("hold-made").touch()
    run = begin(system, source, {"snapshot": "lvm"})
    system.wait_for(lambda: lvm.flag("at-made").exists(), "the snapshot")

    def rename(session: Any) -> None:
        row = session.get(CommandBracket, run)
        mine = row.snapshots[0]
        [another] = [{**mine, "name": "photos"}]
        row.snapshots = [mine, another]

    system.ask(rename)
    (lvm.base / "copies" / "photos").mkdir()
    system.cli("runs", "cancel", str(run))
    lvm.has(origin="other")
    lvm.flag("hold-made").unlink()
    system.wait_for_state(run, "CANCELLED", "FAILED")
    system.wait_for(lambda: bracket(system, run)[1], "the end of the bracket")
    assert len(lvm.copies) == 2
    told = story(system, run)
    assert "photos is not a snapshot that this run has made: it is not removed." in told
    assert not any(line.startswith("lvremove") for line in lvm.calls)


COMMAND = """
import os, shutil, subprocess, sys
from pathlib import Path
base = Path(sys.argv[1])
moment, name = os.environ["BACKUP_MOMENT"], os.environ["BACKUP_SNAPSHOT"]
with (base / "calls").open("a") as file:
    file.write(moment + " " + os.environ["BACKUP_SCHEDULE"] + "\\n")
copy = base / name
if moment == "snapshot":
    print("a line of its own", file=sys.stderr)
    subprocess.run(["cp", "-a", "--", os.environ["BACKUP_SNAPSHOT_SOURCE"], str(copy)], check=True)
    for path in Path(os.environ["BACKUP_SNAPSHOT_SOURCE"]).rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_text("overwritten meanwhile")
    print(copy, flush=True)
elif moment == "snapshot-check":
    assert os.environ["BACKUP_SNAPSHOT_FOLDER"] == str(copy)
    if (base / "lost").exists():
        sys.exit("the copy is not whole")
else:
    shutil.rmtree(copy, ignore_errors=True)
"""


def by_command(system: System, script: str = COMMAND) -> Path:
    (system.folder / "snapshot.py").write_text(script)
    base = system.folder / "by-command"
    base.mkdir()
    argv = [sys.executable, str(system.folder / "snapshot.py"), str(base)]
    system.environment["TAPELINE_COMMANDS"] = json.dumps({"clone": {"argv": argv}})
    return base


def test_a_command_makes_the_snapshot(system: System, source: Path) -> None:
    """``[commands.clone]`` of the host's own file, which prints where the source is read."""
    base = by_command(system)
    before = copy(source, "before")
    run = begin(system, source, {"snapshot": "clone"})
    done = system.wait_for_state(run, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done["reason"]
    calls = (base / "calls").read_text().splitlines()
    assert calls[0] == "snapshot nightly"
    assert set(calls[1:-1]) == {"snapshot-check nightly"}
    assert calls[-1] == "snapshot-remove nightly"
    assert [each.name for each in base.iterdir()] == ["calls"]
    assert compare_trees(before, restored(system, done["set_id"], source)) == []


def test_a_command_that_finds_its_snapshot_lost(system: System, source: Path) -> None:
    base = by_command(system)
    (base / "lost").touch()
    failed = system.wait_for_state(begin(system, source, {"snapshot": "clone"}), "FAILED", "SUCCEEDED")
    assert failed["state"] == "FAILED"
    assert f"of source {source} is not whole: Command clone ended with code 1: the copy" in reason(failed)


def test_a_command_that_names_no_folder(system: System, source: Path) -> None:
    by_command(system, "print('done')")
    failed = system.wait_for_state(begin(system, source, {"snapshot": "clone"}), "FAILED", "SUCCEEDED")
    assert "Command clone printed no folder as its last line: done" in reason(failed)


def test_a_real_btrfs(system: System, short_path: Path) -> None:
    """A folder in a subvolume: its snapshot has its inodes and times, so an increment stores what has changed
    and nothing else. What a snapshot does not have, a subvolume below it, is read as it is."""
    with btrfs(short_path) as point:
        subprocess.run(["btrfs", "subvolume", "create", str(point / "data")], check=True, capture_output=True)
        source = point / "data" / "files"
        source.mkdir()
        for number in range(40):
            (source / f"{number:02d}").write_bytes(bytes([number]) * 5000)
        nested = source / "nested"
        subprocess.run(["btrfs", "subvolume", "create", str(nested)], check=True, capture_output=True)
        (nested / "inner").write_text("in a subvolume of its own")
        before = copy(source, "before")
        run = begin(system, source, {"snapshot": "btrfs"})
        first = system.wait_for_state(run, "SUCCEEDED", "FAILED")
        assert first["state"] == "SUCCEEDED", first["reason"]
        assert f"Not in the snapshot of {source}, and read as they are: {nested}." in story(system, run)
        assert compare_trees(before, restored(system, first["set_id"], source)) == []
        (source / "07").write_text("changed")
        second = system.json("schedule", "run", "nightly", "--type", "incremental")["run"]
        done = system.wait_for_state(int(second), "SUCCEEDED", "HELD", "FAILED")
        assert done["state"] == "SUCCEEDED", done["reason"]
        stored = system.ask(
            lambda s: s.scalars(select(BackupFile.path).where(BackupFile.set_id == done["set_id"])).all()
        )
        assert [path for path in stored if not Path(path).is_dir()] == [str(source / "07")]
        assert not [path for path in (point / "data").iterdir() if path.name.startswith(".")]
        shutil.rmtree(source.parent / "before")


APPLIED = """
[schedules.nightly]
when = {{ type = "manual" }}
backup = {{ sources = [{{ path = "{source}", snapshot = "{kind}" }}] }}
"""


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("btfrs", "snapshot = btfrs: tapeline.toml of this host has no command of this name."),
        ("zfs", "snapshot = zfs: there is no program zfs on this host."),
        ("lvm", "which is not a logical volume: Cannot process volume group"),
        ("btrfs", "there is no snapshot of kind btrfs."),
    ],
)
def test_a_snapshot_that_is_none(system: System, source: Path, kind: str, words: str) -> None:
    """Found by ``schedule apply`` in one line, by ``doctor``, by ``precheck``, and by the run."""
    made = Programs(system.folder, source, "lvs", "lvcreate", "lvremove", "btrfs")
    made.has(is_volume=False)
    system.environment["PATH"] = made.path
    system.insert_blank()
    system.start("control", "tape")
    file = system.folder / "schedules.toml"
    file.write_text(APPLIED.format(source=source, kind=kind))
    [line] = system.cli("schedule", "apply", str(file), "--yes", code=2).stderr.strip().splitlines()
    assert line.startswith("tapeline: schedules.nightly.backup.sources: ")
    assert words in line
    system.schedule("nightly", source, template={"source_options": {str(source): {"snapshot": kind}}})
    findings = {each["check"]: each for each in system.json("doctor")}
    assert words in findings["Commands of schedules"]["detail"]
    told = system.cli("precheck", "nightly", "--manual", code=1).stdout
    assert words in told.replace("\n", " ")
    failed = system.wait_for_state(system.run_schedule("nightly"), "FAILED")
    assert words in reason(failed)
    assert not list(system.state.rglob("sets/*"))


def test_what_cannot_be_seen_at_apply_is_for_the_precheck(system: System) -> None:
    """A share that is not mounted now: its schedule can be applied."""
    made = Programs(system.folder, system.folder, "lvs", "lvcreate", "lvremove", "btrfs")
    system.environment["PATH"] = made.path
    file = system.folder / "schedules.toml"
    file.write_text(APPLIED.format(source=system.folder / "not-mounted", kind="btrfs"))
    system.cli("schedule", "apply", str(file), "--yes")
