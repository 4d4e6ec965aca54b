"""Increments: what has changed since the parent, and nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup.entry import Entry, raw, signed
from backup.errors import BadRequest, Ended
from backup.format.manifest import entries_on
from backup.request import Excludes
from backup.restore import Restoration
from backup.source.changes import (
    Change,
    Known,
    KnownFiles,
    known,
    since,
)
from backup.source.dirlist import Status, status_of
from backup.source.scan import FoundPath
from policy.paths import order
from tests.unit.backup.rig import SET, Log, request
from tests.unit.backup.test_round_trip import grow
from tests.unit.backup.test_round_trip import trees as file_trees

Tree = dict[bytes, Any]
CHILD = "20261102T020000Z-0a1b2c"


def row(known: Known) -> bytes:
    """As COPY writes it."""
    path, is_text = known.path, is_utf8(known.path)
    for plain, escaped in (
        (b"\\", b"\\\\"),
        (b"\t", b"\\t"),
        (b"\n", b"\\n"),
        (b"\r", b"\\r"),
        (b"\v", b"\\v"),
    ):
        path = path.replace(plain, escaped)
    raw_path = b"\\N" if is_text else b"\\\\x" + known.path.hex().encode()
    kind = "file" if known.type == "hardlink" else known.type
    numbers = (known.size if kind == "file" else 0, known.mtime_ns, known.ctime_ns, known.inode)
    fields = [path if is_text else b"?", raw_path, kind.encode(), *(b"%d" % number for number in numbers)]
    return b"\t".join([*fields, b"t" if known.partial else b"f"]) + b"\n"


def is_utf8(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


def remembered(rig: Any, entries: list[Entry]) -> KnownFiles:
    """What the catalogue would say of the entries of a set."""
    base = KnownFiles(rig.spool / "known")
    rows = [
        row(Known(raw(e.path), e.type.value, e.size, e.mtime_ns, e.ctime_ns, signed(e.inode), e.partial))
        for e in entries
    ]
    base.write([lambda sink: sink.writelines(rows)])
    return base


def increment(rig: Any, **changes: Any) -> dict[str, str]:
    """Back up what has changed since the set of ``rig.log``; what the new set says of each path."""
    base = remembered(rig, rig.log.entries)
    log = Log()
    facts: dict[str, Any] = {"set_id": CHILD, "type": "incremental", "parent": SET, "known": base}
    rig.summary = rig.back_up(log=log, **(facts | changes))
    rig.second = log
    return said(rig, log.entries)


def said(rig: Any, entries: list[Entry]) -> dict[str, str]:
    start = len(str(rig.source)) + 1
    return {entry.path[start:]: entry.type.value for entry in entries}


def test_nothing_changed_makes_an_empty_set(rig: Any) -> None:
    """Such a set has no archive, and is complete."""
    (rig.source / "a").write_text("a")
    rig.back_up()
    assert increment(rig) == {}
    assert rig.summary.archives == ()
    assert list(entries_on(rig.volume, CHILD)) == []


def test_what_is_new_changed_or_gone_is_in_the_set(rig: Any) -> None:
    """Content, metadata, type, a name taken by another file, a deleted tree, and the folders they are in."""
    for name in ("same", "content", "mode", "type", "swap", "was/deep/x", "was/y", "old name"):
        path = rig.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    rig.back_up()
    (rig.source / "content").write_text("CONTENT")
    (rig.source / "mode").chmod(0o600)
    (rig.source / "type").unlink()
    (rig.source / "type").symlink_to("same")
    other = rig.source / "other"
    other.write_text("swap")
    os.utime(other, ns=(0, (rig.source / "swap").stat().st_mtime_ns))
    other.rename(rig.source / "swap")
    for name in ("was/deep/x", "was/y"):
        (rig.source / name).unlink()
    (rig.source / "was/deep").rmdir()
    (rig.source / "was").rmdir()
    (rig.source / "old name").rename(rig.source / "new name")
    (rig.source / "new").write_text("new")
    assert increment(rig) == {
        "": "folder", "content": "file", "mode": "file", "type": "symlink", "swap": "file",
        "was": "deleted", "was/deep": "deleted", "was/deep/x": "deleted", "was/y": "deleted",
        "old name": "deleted", "new name": "file", "new": "file",
    }  # fmt: skip
    assert (rig.summary.files, rig.summary.deleted) == (7, 5)
    orders = [order(raw(entry.path)) for entry in rig.second.entries]
    assert orders == sorted(orders)


def test_a_file_that_was_partial_is_taken_again(rig: Any) -> None:
    """What is on tape is no state of the file, though nothing about it has changed since."""
    (rig.source / "a").write_text("a")
    rig.back_up()
    rig.log.entries = [entry._replace(partial=entry.path.endswith("/a")) for entry in rig.log.entries]
    assert increment(rig) == {"a": "file"}


def test_a_name_added_to_a_file_has_the_content_in_the_same_set(rig: Any) -> None:
    """A hard link made since: all names of the file are in the set, the first with its content."""
    (rig.source / "a").write_text("a")
    rig.back_up()
    os.link(rig.source / "a", rig.source / "b")
    assert increment(rig) == {"": "folder", "a": "file", "b": "hardlink"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_what_could_not_be_read_is_not_taken_for_deleted(rig: Any) -> None:
    """A folder without permission is a warning; its files stand as they were."""
    (rig.source / "closed").mkdir()
    (rig.source / "closed/a").write_text("a")
    rig.back_up()
    (rig.source / "closed").chmod(0)
    try:
        assert increment(rig) == {"closed": "folder"}
    finally:
        (rig.source / "closed").chmod(0o755)


def test_the_files_of_a_missing_source_are_not_taken_for_deleted(rig: Any) -> None:
    """A file system that is not mounted: a warning, and its files stand as they were."""
    other = rig.source.parent / "other"
    other.mkdir()
    (other / "a").write_text("a")
    rig.back_up(rig.source, other)
    (other / "a").unlink()
    other.rmdir()
    sources = tuple(str(path) for path in (rig.source, other))
    assert increment(rig, sources=sources) == {}
    assert len(rig.second.warnings) == 1


def test_what_the_rules_pass_over_by_size_stays_as_it_was(rig: Any) -> None:
    """A file that has grown too large is not deleted; one that a pattern leaves out now is."""
    for name in ("grows", "a.tmp"):
        (rig.source / name).write_text(name)
    rig.back_up()
    (rig.source / "grows").write_bytes(bytes(1000))
    rules = Excludes(patterns=("*.tmp",), max_bytes=500)
    assert increment(rig, excludes=rules) == {"a.tmp": "deleted"}


def test_an_increment_that_was_cut_off_goes_on(rig: Any) -> None:
    """Asked to end in the middle and resumed, it has every change once."""
    for number in range(12):
        (rig.source / f"f{number:02}").write_text("x")
    rig.back_up()
    for number in range(0, 12, 2):
        (rig.source / f"f{number:02}").unlink()
    for number in range(1, 12, 2):
        (rig.source / f"f{number:02}").write_text("changed")
    base = remembered(rig, rig.log.entries)
    facts: dict[str, Any] = {"set_id": CHILD, "type": "incremental", "parent": SET, "known": base}
    first = Log(ends_after=3)
    with pytest.raises(Ended):
        rig.back_up(log=first, **facts)
    second = Log()
    summary = rig.back_up(log=second, resume=first.resume_point(), **facts)
    paths = [entry.path for entry in first.entries + second.entries]
    assert sorted(Path(path).name for path in paths[1:]) == [f"f{number:02}" for number in range(12)]
    assert first.entries
    assert second.entries
    assert (summary.files, summary.deleted) == (7, 6)
    assert [entry.path for entry in entries_on(rig.volume, CHILD)] == paths


@pytest.mark.parametrize("facts", [{"type": "full", "parent": SET}, {"type": "incremental", "parent": None}])
def test_only_an_increment_has_a_parent(facts: dict[str, Any]) -> None:
    """A request that contradicts itself is refused."""
    with pytest.raises(BadRequest):
        request(Path("/"), **facts)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    before=file_trees,
    later=file_trees,
    gone=st.lists(st.booleans(), max_size=8),
    kinds=st.sampled_from([("incremental", "zstd"), ("differential", "none")]),
)
def test_any_tree_comes_back_as_it_was_after_any_change(
    new_rig: Callable[[], Any], before: Tree, later: Tree, gone: list[bool], kinds: tuple[str, str]
) -> None:
    """A full set and what follows it: names of any bytes, links, holes, times; what is gone is not there."""
    rig = new_rig()
    root = os.fsencode(rig.source)
    grow(root, before, [])
    rig.back_up(archive_bytes=20_000, frame_bytes=4096)
    for name, is_gone in zip(sorted(os.listdir(root)), gone, strict=False):  # noqa: PTH208 - bytes
        if is_gone:
            remove(root + b"/" + name)
    grow(root, {name: node for name, node in later.items() if not os.path.lexists(root + b"/" + name)}, [])
    increment(rig, type=kinds[0], compression=kinds[1], archive_bytes=20_000, frame_bytes=4096)
    restore_both(rig)
    assert rig.differences() == []


def remove(path: bytes) -> None:
    if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114 - a Path cannot hold bytes
        shutil.rmtree(path)
    else:
        os.unlink(path)  # noqa: PTH108 - as above


def restore_both(rig: Any) -> None:
    """The state of the second set: of each path the newest entry, unless it is deleted."""
    newest = {entry.path: SET for entry in rig.log.entries}
    newest |= {entry.path: CHILD for entry in rig.second.entries}
    with Restoration(rig.target) as restoration:
        for set_id, log in ((SET, rig.log), (CHILD, rig.second)):
            live = (entry for entry in log.entries if newest[entry.path] == set_id)
            restoration.take(rig.volume, set_id, live)
        assert restoration.finish().failures == []


names = st.binary(min_size=1, max_size=3).filter(
    lambda name: not set(name) & {0, ord("/")} and name not in (b".", b"..")
)
trees = st.recursive(
    st.integers(0, 2), lambda children: st.dictionaries(names, children, max_size=4), max_leaves=12
).filter(lambda made: isinstance(made, dict))  # fmt: skip


def walk(tree: Any, path: bytes = b"/s") -> Iterator[tuple[bytes, int]]:
    """Paths with a number that tells one state of a file from another; folders have -1."""
    yield path, tree if isinstance(tree, int) else -1
    if isinstance(tree, dict):
        for name in sorted(tree):
            yield from walk(tree[name], path + b"/" + name)


def status(path: bytes, state: int) -> Status:
    mode = 0o100644 if state >= 0 else 0o040755
    # The inode tells one state from another.
    found = os.stat_result(
        (mode, 6 + state, 0, 1, 0, 0, 9, 0, 0, 0),
        {"st_mtime_ns": 1_000_000_007, "st_ctime_ns": 2_000_000_009},
    )
    return status_of(path, found)


@given(before=trees, after=trees, resumed=st.integers(0, 20))
def test_the_changes_make_one_tree_of_the_other(before: Tree, after: Tree, resumed: int) -> None:
    """Applied to what was, they give what is; nothing that is the same is among them; from any point on."""
    old, new = dict(walk(before)), dict(walk(after))
    base = [
        row(Known(path, "folder" if state < 0 else "file", 9, *_times(state), 6 + state, partial=False))
        for path, state in old.items()
    ]
    found = [FoundPath(path, status(path, state)) for path, state in new.items()]
    changes = list(since(base, found))
    state = dict(old)
    for path, now, _ in changes:
        assert path not in old or path not in new or old[path] != new[path]
        if now is None:
            del state[path]
        else:
            state[path] = new[path]
    assert state == new
    keys = [order(change.path) for change in changes]
    assert keys == sorted(set(keys))
    if changes:
        after_key = keys[resumed % len(keys)]
        rest = [each for each in found if order(each.path) > after_key]
        assert list(since(base, rest, after_key)) == changes[keys.index(after_key) + 1 :]


def _times(state: int) -> tuple[int, int]:
    seen = status(b"", state)
    return seen.mtime_ns, seen.ctime_ns


@given(base=trees, later=st.lists(trees, max_size=3))
def test_several_sets_make_up_one_state(base: Tree, later: list[Tree]) -> None:
    """Of each path the newest row counts, and none that says that the file is gone."""
    state, sets = dict(walk(base)), [dict(walk(base))]
    for tree in later:
        new = dict(walk(tree))
        changed = {path: number for path, number in new.items() if state.get(path) != number}
        sets.append(changed | dict.fromkeys(state.keys() - new.keys(), GONE))
        state = new
    with tempfile.TemporaryDirectory() as folder:
        known_files = KnownFiles(Path(folder))
        known_files.write([partial(put, made) for made in reversed(sets)])
        found = {each.path: each.inode for each in map(known, known_files)}
        assert list(found) == sorted(found, key=order)
    assert found == state


GONE = -2


def put(made: dict[bytes, int], sink: Any) -> None:
    for path in sorted(made, key=order):
        kind = {GONE: "deleted", -1: "folder"}.get(made[path], "file")
        sink.write(row(Known(path, kind, 0, 0, 0, made[path], partial=False)))


def test_a_name_that_looks_like_the_escaped_row_of_another_is_another_file() -> None:
    """Two backslashes are not one: the row of the one would read like the name of the other."""
    before, now = b"/s/a\\b", b"/s/a\\\\b"
    base = [row(Known(before, "file", 9, *_times(1), 7, partial=False))]
    changes = list(since(base, [FoundPath(now, status(now, 1))]))
    assert {(change.path, change.status is None) for change in changes} == {(before, True), (now, False)}


def test_a_place_that_was_not_looked_at_changes_nothing() -> None:
    """Neither itself nor what is below it counts as gone; its neighbours do."""
    base = [
        row(Known(path, "file", 9, *_times(1), 5, partial=False))
        for path in (b"/s/a", b"/s/b", b"/s/b/x", b"/s/b.txt")
    ]
    assert list(since(base, [FoundPath(b"/s/b", None)])) == [
        Change(b"/s/a", None, "file"),
        Change(b"/s/b.txt", None, "file"),
    ]


def test_the_largest_inode_fits_the_catalogue() -> None:
    """An inode of 64 bits becomes a signed number and stays distinct."""
    assert signed(2**64 - 1) == -1
    assert signed(2**63 - 1) == 2**63 - 1
