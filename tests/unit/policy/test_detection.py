"""Which fields of a file show that it has changed."""

from __future__ import annotations

import pytest

from policy import detection
from policy.detection import EVERY, SHARED, ComparedFields, Followed, OfPaths, compared

NO_CTIME = ComparedFields(ctime=False)
NO_INODE = ComparedFields(inode=False)


@pytest.mark.parametrize(
    ("kinds", "fields"),
    [
        (("nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse", "fuse.sshfs", "fuseblk"), SHARED),
        (("ext4", "xfs", "btrfs", "zfs", "overlay", "ceph", "lustre", "fusectl", "nfsd", None), EVERY),
    ],
)
def test_by_itself_the_file_system_decides(kinds: tuple[str | None, ...], fields: ComparedFields) -> None:
    """Inode and ctime of a share do not count; those of a disk, and of what is unknown, do."""
    assert {compared(detection.AUTO, kind) for kind in kinds} == {fields}


@pytest.mark.parametrize("kind", ["nfs4", "ext4", None])
@pytest.mark.parametrize(
    ("detect", "fields"),
    [
        ("ctime+mtime+size+inode", EVERY),
        ("mtime+size+inode", NO_CTIME),
        ("ctime+mtime+size", NO_INODE),
        ("mtime+size", SHARED),
    ],
)
def test_a_named_rule_counts_on_each(detect: str, fields: ComparedFields, kind: str | None) -> None:
    """Whoever knows their share better says so; the words come back as they were written."""
    assert compared(detect, kind) == fields
    assert str(fields) == detect
    assert detect in detection.CHOICES


def test_the_nearest_path_above_has_the_value() -> None:
    """Whenever it was put there; a name that only begins so is another one."""
    of_paths = OfPaths({b"/srv/nas": "nas", b"/srv": "srv"})
    assert [of_paths.at(path) for path in (b"/srv/nas/a", b"/srv/nas2", b"/srv", b"/", b"/home")] == [
        "nas", "srv", "srv", None, None
    ]  # fmt: skip
    of_paths.put(b"/srv/nas/deep/", "deep")
    of_paths.put(b"/", "all")
    assert [of_paths.at(path) for path in (b"/srv/nas/deep/x", b"/srv/nas/dee", b"/home", b"/")] == [
        "deep", "nas", "all", "all"
    ]  # fmt: skip


def test_an_unknown_rule_counts_as_every_field() -> None:
    """One of a later version: that costs time, and misses nothing."""
    assert compared("mtime", "nfs4") == detection.named("mtime") == EVERY


def test_what_did_not_count_for_one_of_the_sets_does_not_count() -> None:
    """The nearest path above decides for each set; a set without a record compared every field."""
    followed = Followed([
        {"/srv": "ctime+mtime+size+inode", "/srv/nas": "mtime+size"},
        {},
        {"/srv": str(EVERY), "/srv/nas": "mtime+size+inode", "/srv/nas/disk": "ctime+mtime+size"},
    ])  # fmt: skip
    assert followed.at(b"/srv/file") == EVERY
    assert followed.at(b"/srv/nas/a") == SHARED
    assert followed.at(b"/srv/nas2") == EVERY
    assert followed.at(b"/elsewhere") == EVERY
    assert Followed([{"/srv": "ctime+mtime+size"}]).at(b"/srv") == NO_INODE
    assert Followed([{"/": "mtime+size"}]).at(b"/srv") == SHARED
    assert Followed([{"/srv": "of a later version"}]).at(b"/srv") == EVERY
