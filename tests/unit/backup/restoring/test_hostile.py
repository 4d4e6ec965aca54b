"""Entries that mean harm: nothing gets outside the target."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backup.entry import Entry, FileType, Place
from backup.restoring import target as target_module


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"f{number:02}").write_bytes(os.urandom(size))


def entry_like(model: Entry, **changes: Any) -> Entry:
    return model._replace(**changes)


@pytest.mark.parametrize(
    "path",
    ["/../out", "/a/../../out", "out", "../out", "/a/./b", "/a//b", "", "/a/b/..", "//out", "/a\0b", "/a/"],
)
def test_a_hostile_path_is_refused(rig: Any, path: str) -> None:
    """A path that could lead out is a failure, and nothing is made."""
    fill(rig.source, 1)
    rig.back_up()
    evil = entry_like(rig.entries()["f00"], path=path)
    for kind in (FileType.FILE, FileType.FOLDER, FileType.SYMLINK, FileType.FIFO):
        report = rig.restore([evil._replace(type=kind, target="x")])
        assert (report.files, len(report.failures)) == (0, 1)
    assert list(rig.target.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_is_written_through_a_link(rig: Any, tmp_path: Path, overwrite: bool) -> None:
    """A symbolic link that was restored, or was there before, is never followed out of the target."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("safe")
    fill(rig.source, 1)
    (rig.source / "l").symlink_to(outside)
    rig.back_up()
    model, link = rig.entries()["f00"], rig.entries()["l"]
    rig.target.mkdir()
    (rig.target / "before").symlink_to(outside)
    hostile = [
        entry_like(link, path="/evil"),
        entry_like(model, path="/evil/new"),
        entry_like(model, path="/before/new"),
        entry_like(model, path="/before/victim"),
        entry_like(model, path="/evil/sub", type=FileType.FOLDER, mode=0o777),
        entry_like(link, path="/evil/link"),
    ]
    report = rig.restore(hostile, overwrite=overwrite)
    assert (report.files, len(report.failures)) == (1, 5)
    assert [path.name for path in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_text() == "safe"


def test_a_link_in_place_of_a_file_is_replaced_not_followed(rig: Any, tmp_path: Path) -> None:
    """Overwriting a name that is a link changes the name, not what the link points to."""
    victim = tmp_path / "victim"
    victim.write_text("safe")
    fill(rig.source, 1)
    rig.back_up()
    model = rig.entries()["f00"]
    rig.target.mkdir()
    (rig.target / "name").symlink_to(victim)
    rig.restore([entry_like(model, path="/name", mode=0o777)], overwrite=True)
    assert victim.read_text() == "safe"
    assert victim.stat().st_mode & 0o777 != 0o777
    assert not (rig.target / "name").is_symlink()


def test_a_hostile_hard_link_cannot_reach_outside(rig: Any, tmp_path: Path) -> None:
    """A hard link's target is never looked up as a path: only files of this restore are linked to."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    fill(rig.source, 1)
    rig.back_up()
    model = rig.entries()["f00"]
    evil = entry_like(model, path="/h", type=FileType.HARDLINK, target=f"/../{secret}", nlink=2)
    rig.restore([evil])
    assert (rig.target / "h").read_bytes() == (rig.source / "f00").read_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"place": Place(1, 1 << 80, 0, 0, 0, 10)},
        {"place": Place(1, 0, 1 << 60, 0, 0, 10)},
        {"place": Place(99, 0, 0, 0, 512, 3000)},
        {"size": 5},
        {"blake3": b""},
        {"blake3": None},
        {"sparse": True},
        {"path": "/" + "n" * 300},
        {"type": FileType.SYMLINK, "target": ""},
    ],
)
def test_a_senseless_entry_costs_no_other(rig: Any, changes: dict[str, Any]) -> None:
    """Numbers and names that this system cannot hold are one failure each, and leave no file behind."""
    fill(rig.source, 2)
    rig.back_up()
    model = rig.entries()["f00"]
    report = rig.restore([entry_like(model, **{"path": "/bad"} | changes), rig.entries()["f01"]])
    assert len(report.failures) == 1
    assert report.files == 1
    assert [path.name for path in rig.target.iterdir()] == [rig.source.parts[1]]


DESCRIPTORS = Path("/proc/self/fd")


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="the system does not list descriptors here")
def test_the_target_keeps_one_folder_open(tmp_path: Path) -> None:
    """Walking through many folders does not use up descriptors."""
    target = target_module.TargetFolders(tmp_path / "target")
    before = len(list(DESCRIPTORS.iterdir()))
    for number in range(50):
        target.folder(tuple(b"%d" % step for step in range(number)))
    after = len(list(DESCRIPTORS.iterdir()))
    target.close()
    assert after == before
