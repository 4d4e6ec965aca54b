"""File systems that do not report what is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backup.entry import Entry, FileType, Place
from backup.source import inodes
from backup.source.links import LinkTable
from tests import untrue
from tests.mounts import mounted, needs_fuse


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="no files without a size here")
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_a_file_of_more_content_than_it_reports_is_stored_whole(rig: Any, compression: str) -> None:
    """Its size reads as 0, and it has content: that is backed up, without a warning, and comes back."""
    path = Path("/proc/version")
    assert path.stat().st_size == 0
    summary = rig.back_up(path, compression=compression)
    assert (summary.warnings, summary.size) == (0, len(path.read_bytes()))
    report = rig.restore()
    assert (report.failures, report.incomplete) == ([], [])
    assert (rig.target / "proc/version").read_bytes() == path.read_bytes()


def test_what_has_no_end_is_cut_with_a_warning(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So much is looked for behind the reported size, and no more."""
    monkeypatch.setattr("backup.source.member.MAX_BEYOND", 10)
    monkeypatch.setattr("backup.source.member.READ_AT_ONCE", 4)
    path = Path("/proc/version")
    if not path.exists():
        pytest.skip("no files without a size here")
    assert rig.back_up(path).warnings == 1
    ((_, reason),) = rig.log.warnings
    assert "much longer" in str(reason)
    assert rig.log.entries[-1].size == 12


@needs_fuse
@pytest.mark.parametrize("readers", [0, 2])
@pytest.mark.parametrize("what", ["zero", "grow", "twin"])
def test_what_a_file_system_reports_costs_no_content(
    rig: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, readers: int
) -> None:
    """Content behind the reported size, two files that one number stands for: all is stored, and comes back,
    without a warning."""
    monkeypatch.setattr("backup.source.readahead.pool.FEW", 1)
    with mounted(tmp_path, what, Path(untrue.__file__)) as point:
        summary = rig.back_up(point, readers=readers)
    files = untrue.LIES[what]
    assert (summary.warnings, summary.size) == (0, sum(len(file.content) for file in files.values()))
    report = rig.restore()
    assert (report.failures, report.incomplete) == ([], [])
    there = rig.target / str(point)[1:]
    assert {path.name: path.read_bytes() for path in there.iterdir()} == {
        name: file.content for name, file in files.items()
    }


def entry(**facts: Any) -> Entry:
    known = dict.fromkeys(("size", "mtime_ns", "ctime_ns", "uid", "gid"), 7) | facts
    return Entry(path="/a", type=FileType.FILE, inode=1, nlink=2, uname="", gname="", blake3=b"x" * 32,
                 place=Place(1, 0, 0, 0, 512, 7), **({"mode": 0o600} | known))  # fmt: skip


@pytest.mark.parametrize("fact", ["size", "mode", "mtime_ns", "ctime_ns", "uid", "gid"])
def test_two_files_of_one_number_are_no_links(tmp_path: Path, fact: str) -> None:
    """All that names of one file have in common has to be the same."""
    links = LinkTable(tmp_path / "links")
    links.add(5, entry())
    assert links.find(5, entry()) is not None
    assert links.find(5, entry(**{fact: 8})) is None
    links.close()


def test_links_of_a_file_system_that_makes_numbers_up_are_files(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each name is stored with its content, and restored as a file of its own."""
    (rig.source / "one").write_text("content of the first")
    os.link(rig.source / "one", rig.source / "two")
    monkeypatch.setattr(inodes, "are_made_up", lambda _device: True)
    rig.back_up()
    found = rig.entries()
    assert [(found[name].type, found[name].nlink) for name in ("one", "two")] == [(FileType.FILE, 1)] * 2
    rig.restore()
    assert rig.restored("one").stat().st_ino != rig.restored("two").stat().st_ino


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /union rw - fuse.mergerfs a:b rw,user_id=0
31 22 0:41 / /share rw - cifs //server/share rw,noserverino
32 22 0:42 / /true rw - cifs //server/other rw,serverino
33 22 0:43 / /over rw - overlay overlay rw
34 22 8:17 / /ntfs rw - fuseblk /dev/sdb1 rw
"""


def test_the_mounts_show_which_file_systems_make_numbers_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unions, shares whose server gives none; a disk's own are true, and so are those of what is unknown."""
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    monkeypatch.setattr(inodes, "_MOUNTS", table)
    devices = [
        os.makedev(254, 0),
        *(os.makedev(0, number) for number in range(40, 44)),
        os.makedev(8, 17),
        99,
    ]
    try:
        inodes._mounted.cache_clear()
        found = [inodes.are_made_up(device) for device in devices]
        assert found == [False, True, True, False, False, False, False]
    finally:
        inodes._mounted.cache_clear()
