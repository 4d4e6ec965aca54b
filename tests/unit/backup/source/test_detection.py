"""What shows that a file has changed, file system by file system, and after a change of the rule."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.source import inodes
from backup.source.changes import Known, since
from backup.source.detection import Detection
from backup.source.dirlist import status_of
from backup.source.pack import SMALL
from backup.source.scan import FoundPath
from policy import detection
from policy.detection import EVERY, SHARED, Followed
from tests.mounts import needs_fuse, shared
from tests.unit.backup.source.test_changes import increment, row

NAMED = [choice for choice in detection.CHOICES if choice != detection.AUTO]
FIELDS = ("size", "mtime", "ctime", "inode")
facts = st.fixed_dictionaries(dict.fromkeys(FIELDS, st.integers(0, 2)))


def found(path: bytes, state: dict[str, int], device: int = 0) -> FoundPath:
    fields = (0o100644, state["inode"], device, 1, 0, 0, state["size"], 0, 0, 0)
    times = {"st_mtime_ns": state["mtime"], "st_ctime_ns": state["ctime"]}
    return FoundPath(path, status_of(path, os.stat_result(fields, times)))


def catalogued(path: bytes, state: dict[str, int]) -> bytes:
    mtime, ctime = state["mtime"], state["ctime"]
    return row(Known(path, "file", state["size"], mtime, ctime, state["inode"], partial=False))


@given(
    was=st.lists(facts, min_size=1, max_size=5),
    changed=st.lists(facts, min_size=5, max_size=5),
    rule=st.sampled_from(NAMED),
    earlier=st.lists(st.sampled_from(NAMED), max_size=3),
)
def test_a_file_has_changed_if_a_field_that_all_rules_compare_has(
    was: list[dict[str, int]], changed: list[dict[str, int]], rule: str, earlier: list[str]
) -> None:
    """By today's rule and by that of each set before: no other file is read again, and none is missed."""
    rows, now, expected = [], [], []
    for number, (before, after) in enumerate(zip(was, changed, strict=False)):
        path = b"/s/%d" % number
        rows.append(catalogued(path, before))
        now.append(found(path, after))
        counts = {"size", "mtime"}.union(
            *[{name for name in FIELDS if all(name in each for each in [rule, *earlier])}]
        )
        if any(before[name] != after[name] for name in counts):
            expected.append(path)
    rules = Detection(rule, [{"/s": each} for each in earlier])
    assert [each.path for each in since(rows, rules.noted(now), rule=rules.of)] == expected
    assert rules.rules == {"/s/0": rule}


MOUNTS = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:40 / /srv/nas rw - nfs4 nas:/x rw\n"


def test_each_file_system_below_a_source_has_its_own_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that is mounted in a local folder: there the inode does not count, beside it it does."""
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    monkeypatch.setattr(inodes, "_MOUNTS", table)
    disk, nas = os.makedev(8, 1), os.makedev(0, 40)
    before, after = dict.fromkeys(FIELDS, 1), {**dict.fromkeys(FIELDS, 1), "inode": 2}
    paths = [(b"/srv/a", disk), (b"/srv/nas/b", nas), (b"/srv/z", disk), (b"/unknown", 99)]
    rules = Detection(detection.AUTO)
    walk = rules.noted([found(path, after, device) for path, device in paths])
    changes = since([catalogued(path, before) for path, _ in paths], walk, rule=rules.of)
    assert [change.path for change in changes] == [b"/srv/a", b"/srv/z", b"/unknown"]
    beside = {"/srv/a": str(EVERY), "/srv/z": str(EVERY), "/unknown": str(EVERY)}
    assert rules.rules == {"/srv/nas/b": "mtime+size", **beside}


def test_a_source_has_a_rule_of_its_own() -> None:
    """It counts there and below, also inside another source and on the same disk; the rules of the set lead
    each path to its own."""
    own = {b"/srv/nas": "mtime+size", b"/srv/nas/disk": "ctime+mtime+size"}
    before, after = dict.fromkeys(FIELDS, 1), {**dict.fromkeys(FIELDS, 1), "inode": 2, "ctime": 2}
    paths = [b"/srv", b"/srv/a", b"/srv/nas", b"/srv/nas/b", b"/srv/nas/disk/c", b"/srv/z"]
    rules = Detection(str(EVERY), of_sources=own)
    walk = rules.noted([found(path, after) for path in paths], [b"/srv"])
    changes = since([catalogued(path, before) for path in paths], walk, rule=rules.of)
    assert [change.path for change in changes] == [b"/srv", b"/srv/a", b"/srv/nas/disk/c", b"/srv/z"]
    followed = Followed([rules.rules])
    assert [str(followed.at(path)) for path in paths] == [
        str(EVERY), str(EVERY), "mtime+size", "mtime+size", "ctime+mtime+size", str(EVERY)
    ]  # fmt: skip


def test_two_sources_on_one_share() -> None:
    """The rule is noted where each of them begins: after a change of it neither is read again."""
    now = dict.fromkeys(FIELDS, 1)
    rules = Detection("mtime+size")
    roots = [b"/mnt/nas/a", b"/mnt/nas/b"]
    walk = [found(path, now) for path in (roots[0], b"/mnt/nas/a/x", roots[1], b"/mnt/nas/b/y")]
    list(rules.noted(walk, roots))
    assert Followed([rules.rules]).at(b"/mnt/nas/b/y") == SHARED


def test_a_device_that_is_another_file_system_tonight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker lives for months: its mounts are read anew for each backup."""
    table = tmp_path / "mountinfo"
    monkeypatch.setattr(inodes, "_MOUNTS", table)
    for kind, rule in (("nfs4", "mtime+size"), ("xfs", str(EVERY))):
        table.write_text(f"2 1 0:40 / /srv/nas rw - {kind} x rw\n")
        rules = Detection(detection.AUTO)
        list(rules.noted([found(b"/srv/nas", dict.fromkeys(FIELDS, 1), os.makedev(0, 40))]))
        assert rules.rules == {"/srv/nas": rule}
    inodes.look_anew()


@needs_fuse
@pytest.mark.parametrize("readers", [0, 2])
def test_a_share_with_new_inodes_at_each_mount(
    rig: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readers: int
) -> None:
    """An increment after the next mount has what changed; by every field it would have all."""
    monkeypatch.setattr("backup.source.readahead.pool.FEW", 1)
    folder, point = rig.source, tmp_path / "share"
    (folder / "in").mkdir()
    for name in ("same", "in/same", "content"):
        (folder / name).write_text(name)
    rig.source = point
    with shared(folder, point):
        rig.back_up(point, readers=readers)
    (folder / "content").write_text("changed")
    sources = (str(point),)
    with shared(folder, point):
        assert increment(rig, sources=sources, readers=readers) == {"content": "file"}
    with shared(folder, point):
        everything = increment(rig, sources=sources, detect=str(EVERY), set_id="20261103T020000Z-0a1b2c")
    assert everything.keys() == {"", "same", "in", "in/same", "content"}


@needs_fuse
@pytest.mark.parametrize("readers", [0, 2])
def test_a_share_that_never_gives_a_file_the_same_number(
    rig: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readers: int
) -> None:
    """Each call has other numbers and ctimes: small files and large ones are stored, without a warning."""
    monkeypatch.setattr("backup.source.readahead.pool.FEW", 1)
    (rig.source / "small").write_text("content")
    (rig.source / "large").write_bytes(os.urandom(SMALL + 1))
    point = tmp_path / "share"
    with shared(rig.source, point, restless=True):
        summary = rig.back_up(point, readers=readers)
    assert (summary.warnings, summary.files, summary.size) == (0, 3, SMALL + 8)
    assert rig.restore().failures == []


@needs_fuse
def test_elsewhere_another_number_is_another_file(
    rig: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, where the numbers are believed: nothing is stored under the name of another file."""
    monkeypatch.setattr(inodes, "kind_at", lambda _path, _device: "ext4")
    (rig.source / "file").write_text("content")
    point = tmp_path / "share"
    with shared(rig.source, point, restless=True):
        summary = rig.back_up(point)
    assert (summary.warnings, summary.size) == (1, 0)
    assert "another file took its place" in str(rig.log.warnings[0][1])
