"""What a first look at a source tells, and what a scan counts in passing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backup.request import Surveyed
from backup.source import place
from backup.source.changes import Change
from backup.source.counts import SAMPLES, Counts, looked_into
from backup.source.dirlist import look
from backup.source.place import innermost, looked, mounts
from backup.source.scan import FoundPath
from policy.sources import FileSystem

TABLE = b"""\
25 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
40 25 0:35 / /mnt/nas rw shared:9 - nfs4 nas:/export/files rw,vers=4.2
41 25 0:36 / /mnt/with\\040blank rw - fuse.sshfs me@host:/srv rw
42 25 0:37 / /mnt rw - autofs systemd-1 rw
43 25 8:17 / /mnt rw - xfs /dev/sdb1 rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind", "point"),
    [
        (b"/srv/files", "ext4", b"/"),
        (b"/", "ext4", b"/"),
        (b"/mnt/nas", "nfs4", b"/mnt/nas"),
        (b"/mnt/nas/a/b", "nfs4", b"/mnt/nas"),
        (b"/mnt/nas2", "xfs", b"/mnt"),
        (b"/mnt/with blank/x", "fuse.sshfs", b"/mnt/with blank"),
    ],
)
def test_the_innermost_mount_counts(path: bytes, kind: str, point: bytes) -> None:
    """Of several at one point, the one that was mounted last; names are as the kernel escapes them."""
    found = innermost(path, mounts(TABLE))
    assert found is not None
    assert (found.kind, found.point) == (kind, point)


def test_what_tells_a_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share by its address, a disk by its UUID; nothing tells a device whose UUID nobody says."""
    table, disks, device = tmp_path / "mountinfo", tmp_path / "by-uuid", tmp_path / "sdb1"
    disks.mkdir()
    device.touch()
    (disks / "1234-ABCD").symlink_to(device)
    line = b"1 0 8:1 / / rw - ext4 %s rw\n2 1 0:9 / /nas rw - nfs4 nas:/x rw\n"
    monkeypatch.setattr(place, "MOUNTS", table)
    monkeypatch.setattr(place, "DISKS", disks)
    table.write_bytes(line % b"/dev/none")
    assert place.place_of(b"/srv") == FileSystem("ext4", None, "/")
    assert place.place_of(b"/nas/a") == FileSystem("nfs4", "nas:/x", "/nas")
    monkeypatch.setattr(place, "_identity", lambda mount: place._uuid(str(device)))
    assert place.place_of(b"/srv") == FileSystem("ext4", "1234-ABCD", "/")
    table.unlink()
    assert place.place_of(b"/").mount_point == "/"


def test_a_look(tmp_path: Path) -> None:
    """A folder with its names, a file without, and what is not there."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "full" / "below").mkdir(parents=True)
    (tmp_path / "full" / "file").touch()
    (tmp_path / "link").symlink_to("full")
    names = ("empty", "full", "link", "full/file", "none")
    found = looked([str(tmp_path / name) for name in names])
    assert [(each.is_there, each.first_level) for each in found] == [
        (True, 0),
        (True, 2),
        (True, 2),
        (True, None),
        (False, None),
    ]
    assert found[0].place.mount_point is not None
    assert found[4].place == FileSystem()


def surveyed(rig: Any, **changes: Any) -> Surveyed:
    """What is told of the sources of a backup before its first byte, at which nothing is on the volume."""
    told: list[Surveyed] = []

    def keep(found: Surveyed) -> None:
        assert not list(rig.volume.root.iterdir())
        told.append(found)

    rig.back_up(before_first_byte=keep, **changes)
    [found] = told
    return found


def test_what_a_full_backup_counts(rig: Any) -> None:
    """Regular files and their bytes, of each source but one that lies in another, or is not there."""
    one, two = rig.source / "one", rig.source / "two"
    for folder, count in ((one, 3), (two / "deep", 2)):
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"f{number}").write_bytes(b"x" * 10)
    (one / "link").symlink_to("f0")
    sources = (str(one), str(two), str(two / "deep"), str(rig.source / "none"))
    found = surveyed(rig, sources=sources)
    assert [(each.path, each.files, each.bytes, each.known) for each in found.planned] == [
        (str(one), 3, 30, None),
        (str(two), 2, 20, None),
    ]
    assert [(each.is_there, each.files, each.bytes) for each in found.seen] == [
        (True, 3, 30),
        (True, 2, 20),
        (True, None, None),
        (False, None, None),
    ]


def test_what_an_increment_counts(tmp_path: Path) -> None:
    """New, changed and gone files of each root; neither folders, nor what lies in none of them. What was
    known is what is there and not new, and what is gone."""
    (tmp_path / "file").write_bytes(b"12345")
    file, folder = look(bytes(tmp_path / "file")), look(bytes(tmp_path))
    counts = Counts((b"/a", b"/b"))
    walk = [
        FoundPath(b"/a", folder),
        *(FoundPath(b"/a/%d" % n, file) for n in range(5)),
        FoundPath(b"/b", None),
    ]
    assert list(counts.counted(walk)) == walk
    changes = [
        Change(b"/0", None, "file"),
        Change(b"/a", folder, "folder"),
        Change(b"/a/1.doc", file),
        Change(b"/a/2", file, "file"),
        Change(b"/a/3", None, "file"),
        Change(b"/a/4.x", None, "file"),
        Change(b"/a/d", None, "folder"),
        Change(b"/ab", None, "file"),
        Change(b"/b/1", None, "file"),
    ]
    assert list(counts.changes(changes)) == changes
    a, b = (counts.of(root) for root in (b"/a", b"/b"))
    assert a is not None
    assert b is not None
    found = a.planned("/a", follows=True)
    assert (found.files, found.bytes, found.known, found.deleted, found.changed) == (5, 25, 6, 2, 1)
    assert (found.deleted_names, found.changed_names) == (("/a/3", "/a/4.x"), ("/a/2",))
    assert (found.new_suffix, found.deleted_suffixes) == ((".doc", 1), frozenset({"", ".x"}))
    assert (b.planned("/b", follows=True).known, b.planned("/b", follows=False).known) == (1, None)
    assert counts.of(b"/c") is None


def test_the_samples_are_of_all_that_has_changed(tmp_path: Path) -> None:
    """However many there are, so many are looked into, from the first to the last."""
    (tmp_path / "file").write_bytes(b"x" * 5000)
    status = look(bytes(tmp_path / "file"))
    counts = Counts((b"/a",))
    list(counts.changes(Change(b"/a/%06d" % n, status, "file") for n in range(10_000)))
    count = counts.of(b"/a")
    assert count is not None
    numbers = sorted(int(path[3:]) for path in count.samples)
    assert len(set(numbers)) == SAMPLES
    assert numbers[SAMPLES // 4] > 1000
    assert numbers[-SAMPLES // 4] < 9000 + 1000
    assert looked_into([bytes(tmp_path / "file"), b"/not/there"]) == (False, None)
