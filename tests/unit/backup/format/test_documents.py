"""Entries, indexes and manifests: what is written reads back, and what is not whole is refused."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from backup import entry
from backup.entry import Entry, FileType, Part, Place
from backup.errors import NoSuchSet, SetUnreadable
from backup.format.documents import signed
from backup.format.manifest import entries_on, read_manifest, sets_on
from backup.records import ArchiveRecord
from backup.restoring.selection import Selection
from tests.unit.backup.rig import SET

names = st.binary(min_size=1, max_size=60).map(entry.text)
numbers = st.integers(0, 1 << 63)
entries = st.builds(
    Entry,
    path=names,
    type=st.sampled_from([kind for kind in FileType if kind is not FileType.DELETED]),
    size=numbers,
    mtime_ns=st.integers(-(1 << 62), 1 << 62),
    ctime_ns=st.integers(-(1 << 62), 1 << 62),
    inode=numbers,
    nlink=numbers,
    mode=st.integers(0, 0o7777),
    uid=numbers,
    gid=numbers,
    uname=names,
    gname=names,
    target=st.none() | names,
    xattrs=st.lists(st.tuples(names, st.binary(max_size=20)), max_size=3).map(tuple),
    sparse=st.booleans(),
    partial=st.booleans(),
    blake3=st.none() | st.binary(min_size=32, max_size=32),
    place=st.builds(Place, *[numbers] * 6),
    part=st.builds(Part, *[numbers] * 3),
    pieces=numbers,
).map(lambda made: made if made.type is FileType.PIECE else made._replace(part=None))


@given(entries)
def test_an_entry_reads_back(made: Entry) -> None:
    """Names of any bytes and all numbers survive a line of JSON, which is valid UTF-8 and one line."""
    line = entry.to_line(made)
    assert line.count(b"\n") == 1
    assert entry.from_json(json.loads(line.decode())) == made


@given(names)
def test_a_deletion_reads_back(path: str) -> None:
    """Its line has a path and a type, and nothing else."""
    line = entry.to_line(entry.deletion(path))
    assert json.loads(line).keys() == {"path", "type"}
    assert entry.from_json(json.loads(line)) == entry.deletion(path)


@given(st.binary(max_size=50))
def test_names_of_any_bytes_become_text_and_back(name: bytes) -> None:
    """Every name has a text, a JSON value, and a form for people."""
    assert entry.raw(entry.text(name)) == name
    assert entry.name_from_json(json.loads(json.dumps(entry.name_to_json(entry.text(name))))) == entry.text(
        name
    )
    assert entry.shown(name).encode() == name or b"\\x" in entry.shown(name).encode()


GOOD = json.loads(
    entry.to_line(
        Entry(
            "/a",
            FileType.FILE,
            1,
            2,
            3,
            4,
            1,
            0o644,
            0,
            0,
            "",
            "",
            blake3=bytes(32),
            place=Place(1, 0, 0, 0, 512, 1),
        )
    )
)


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": 5},
        {"path": {"b64": "###"}},
        {"path": {}},
        {"path": "\udcff"},
        {"type": "socket"},
        {"size": -1},
        {"size": "1"},
        {"size": True},
        {"mode": -5},
        {"mtime_ns": 1.5},
        {"blake3": "zz"},
        {"place": [1, 2]},
        {"place": [1, 0, 0, -1, 0, 0]},
        {"place": None},
        {"xattrs": [["a"]]},
        {"xattrs": None},
        {"uname": None},
    ],
)
def test_a_line_that_is_no_entry_is_refused(wrong: dict[str, Any]) -> None:
    """Nothing is guessed: a field of another kind is an error."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        entry.from_json(GOOD | wrong)


def rewrite_index(rig: Any, change: Any) -> None:
    path = rig.file("index-000001.jsonl.zst")
    lines = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read().splitlines()
    path.write_bytes(zstandard.compress(b"\n".join(change(lines)) + b"\n"))


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:-1],
        lambda lines: lines[:1] + lines[2:],
        lambda lines: [*lines[:1], b"{}", *lines[2:]],
        lambda lines: [*lines[:1], b"not json", *lines[2:]],
        lambda lines: [*lines[:1], b"[1]", *lines[2:]],
        lambda lines: lines[1:],
        lambda lines: [b'{"format":"another"}', *lines[1:]],
        lambda lines: [*lines[:-1], b'{"end":{}}'],
        lambda lines: [],
    ],
)
def test_an_index_that_is_not_whole_is_refused(rig: Any, change: Any) -> None:
    """A line that is missing, torn or of another kind is found, and the index named."""
    (rig.source / "a").write_text("a")
    (rig.source / "b").write_text("b")
    rig.back_up()
    rewrite_index(rig, change)
    with pytest.raises(SetUnreadable, match="index-000001"):
        list(entries_on(rig.volume, SET))


def test_an_index_cut_off_anywhere_is_refused(rig: Any) -> None:
    """Not one byte can be missing from the end of an index."""
    (rig.source / "a").write_text("a")
    rig.back_up()
    path = rig.file("index-000001.jsonl.zst")
    whole = path.read_bytes()
    for length in range(len(whole)):
        os.truncate(path, length)
        with pytest.raises(SetUnreadable):
            list(entries_on(rig.volume, SET))
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["set.json", "complete.json"])
def test_a_document_of_another_version_is_refused(rig: Any, name: str) -> None:
    """A set that a newer release wrote is named as such, never read by guess."""
    rig.back_up()
    if name == "set.json":
        rig.file("complete.json").unlink()
    document = json.loads(rig.file(name).read_text())
    rig.file(name).write_bytes(signed(document | {"version": 99}))
    with pytest.raises(SetUnreadable, match="99"):
        read_manifest(rig.volume, SET)


@pytest.mark.parametrize(
    "wrong", [{"archives": None}, {"set": {}}, {"finished_at": "soon"}, {"archives": [{"number": "1"}]}]
)
def test_a_manifest_that_lacks_something_is_refused(rig: Any, wrong: dict[str, Any]) -> None:
    """A complete.json with a field of another kind is damaged, not taken as it is."""
    rig.back_up()
    document = json.loads(rig.file("complete.json").read_text())
    rig.file("complete.json").write_bytes(signed(document | wrong))
    with pytest.raises(SetUnreadable):
        read_manifest(rig.volume, SET)


def test_a_set_that_is_not_there_is_named(rig: Any) -> None:
    """The error names the set; a name that is a path is not one."""
    rig.back_up()
    for name in ("another", "../sets", f"{SET}/.."):
        with pytest.raises(NoSuchSet):
            read_manifest(rig.volume, name)


def test_a_volume_lists_its_sets(rig: Any) -> None:
    """Sets are listed with whether they are complete; a blank volume has none."""
    assert sets_on(rig.volume) == []
    rig.back_up()
    rig.back_up(set_id="another")
    (rig.volume.root / "sets/another/complete.json").write_text("{")
    assert {found.set_id: found.complete for found in sets_on(rig.volume)} == {SET: True, "another": False}


def test_entries_of_some_archives(rig: Any) -> None:
    """Only the indexes of the archives asked for are read."""
    for name in "abc":
        (rig.source / name).write_bytes(os.urandom(5000))
    rig.back_up(archive_bytes=6000)
    rig.volume.reads.clear()
    found = list(entries_on(rig.volume, SET, archives={2}))
    assert found
    assert {one.place.archive for one in found} == {2}
    assert {name for name, _ in rig.volume.reads if "index" in name} == {f"sets/{SET}/index-000002.jsonl.zst"}


def test_an_archive_record_reads_back() -> None:
    """A record survives JSON, the first one with nothing before it."""
    record = ArchiveRecord(1, "data-000001.tar", 10, "ab", 2, 1, 3, None)
    assert ArchiveRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_record_of_an_earlier_version_has_no_label() -> None:
    """It is read all the same; a label that is none is damage."""
    record = ArchiveRecord(1, "data-000001.tar", 10, "ab", 2, 1, 3, None, label="TP20261101")
    data = record.to_json()
    assert ArchiveRecord.from_json(data).label == "TP20261101"
    with pytest.raises(TypeError, match="label"):
        ArchiveRecord.from_json(data | {"label": 7})
    del data["label"]
    assert ArchiveRecord.from_json(data).label is None


@pytest.mark.parametrize(
    ("selected", "path", "wanted"),
    [
        ([], "/a", True),
        (["/"], "/a/b", True),
        (["/a"], "/a", True),
        (["a/"], "/a/b/c", True),
        (["/a"], "/ab", False),
        (["/a/b"], "/a", False),
        (["/x", "/a/b"], "/a/b", True),
    ],
)
def test_a_selection_knows_its_paths(selected: list[str], path: str, wanted: bool) -> None:
    """A path is wanted when it or a folder above it was named."""
    assert Selection(selected).wants(path) is wanted
