"""The small parts of the format: headers, holes, and the comparison of trees."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from backup.compare import compare_trees
from backup.entry import Entry, FileType
from backup.format import tar
from backup.format.frames import FrameWriter, compressor
from backup.phases import Phases
from backup.source import holes

PLAIN = Entry("/a", FileType.FILE, 0, 0, 0, 1, 1, 0o644, 0, 0, "root", "root")


def read_back(entry: Entry, length: int = 0) -> tarfile.TarInfo:
    data = tar.header(entry, length) + bytes(length + tar.padding(length)) + tar.END
    return tarfile.open(
        fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape"
    ).next()  # type: ignore[return-value]


@given(
    path=st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=250),
    uid=st.integers(0, (1 << 32) - 1),
    mode=st.integers(0, 0o7777),
    mtime_ns=st.integers(-(1 << 40) * 10**9, (1 << 40) * 10**9),
    uname=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60),
)
def test_a_header_is_read_by_another_program(
    path: str, uid: int, mode: int, mtime_ns: int, uname: str
) -> None:
    """Numbers, names and times of any size are what Python's tarfile reads."""
    made = PLAIN._replace(path=f"/{path}", uid=uid, gid=uid, mode=mode, mtime_ns=mtime_ns, uname=uname)
    read = read_back(made)
    assert (read.name, read.uid, read.gid, read.mode, read.uname) == (path.rstrip("/"), uid, uid, mode, uname)
    told = read.pax_headers.get("mtime")
    if told is None:
        assert read.mtime * 10**9 == mtime_ns
    else:
        whole, _, rest = told.partition(".")
        assert int(whole + rest) == mtime_ns
        assert len(rest) == 9


@pytest.mark.parametrize("size", [0, 8 << 30, (8 << 30) - 1, 1 << 50])
def test_a_size_of_any_length_is_told(size: int) -> None:
    """A file of more than 8 GiB has its size in a record."""
    head = tar.header(PLAIN, size)
    with tarfile.open(fileobj=io.BytesIO(head + bytes(512)), mode="r:") as opened:
        read = opened.next()
    assert read is not None
    assert read.size == size


@given(st.integers(1, 3000))
def test_a_record_counts_its_own_length(length: int) -> None:
    """The length of a record is that of all its bytes, also where it gets one digit more by itself."""
    made = tar._record(b"key", b"v" * length)
    assert int(made.split(b" ")[0]) == len(made)


def sparse_file(path: Path, blocks: list[int], size: int) -> int:
    with path.open("wb") as file:
        for block in blocks:
            file.seek(block * 4096)
            file.write(b"d" * 4096)
        file.truncate(size)
    return os.open(path, os.O_RDONLY)


def test_holes_are_found(tmp_path: Path) -> None:
    """The parts with data are found with their place, and a hole at the end has its mark."""
    fd = sparse_file(tmp_path / "f", [2, 3, 9], 100 * 4096)
    assert holes.find(fd, 100 * 4096) == [(8192, 8192), (9 * 4096, 4096), (100 * 4096, 0)]
    os.close(fd)


def test_a_file_without_holes_has_no_map(tmp_path: Path) -> None:
    """A file full of data is an ordinary one."""
    fd = sparse_file(tmp_path / "f", [0, 1], 8192)
    assert holes.find(fd, 8192) is None
    os.close(fd)


@pytest.mark.parametrize("most", [2, 5, 16])
def test_a_map_gives_up_its_smallest_holes(tmp_path: Path, most: int) -> None:
    """The map stays short, and every byte of data stays within it."""
    blocks = [2 * number + (50 if number > 20 else 0) for number in range(40)]
    size = 200 * 4096
    fd = sparse_file(tmp_path / "f", blocks, size)
    found = holes.find(fd, size, most)
    os.close(fd)
    assert found is not None
    assert len(found) <= most + 1
    covered = {block for start, length in found for block in range(start // 4096, (start + length) // 4096)}
    assert covered >= set(blocks)
    assert found == sorted(found)


@given(st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 30)), max_size=300))
def test_a_map_reads_back(gaps: list[tuple[int, int]]) -> None:
    """A map is whole blocks, and its reader takes exactly these."""
    segments, position = [], 0
    for gap, length in gaps:
        segments.append((position + gap, length))
        position += gap + length
    text = holes.to_map(segments)
    reader = holes.MapReader(position)
    told = [reader.feed(text[at : at + 512]) for at in range(0, len(text), 512)]
    assert told == [False] * (len(told) - 1) + [True]
    assert reader.segments == segments


@pytest.mark.parametrize(
    "text", [b"x\n", b"-1\n", b"1\n5\n9\n", b"2\n0\n5\n3\n5\n", b"1\n\n\n", b"9" * 512, b"1\n+1\n2\n"]
)
def test_a_map_that_makes_no_sense_is_refused(text: bytes) -> None:
    """Parts that overlap or pass the end of the file, and what is no number, are errors."""
    with pytest.raises(ValueError):  # noqa: PT011 - the reader's only error
        holes.MapReader(10).feed(text.ljust(512, b"\0"))


class Sink:
    """A tape file in memory."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        self.data += data

    def close(self) -> None:
        """Nothing is open."""


@given(st.lists(st.integers(0, 300_000), max_size=8), st.booleans())
def test_each_frame_can_be_read_alone(sizes: list[int], compressed: bool) -> None:
    """A member begins at the skip of its frame, and at the offset of the whole stream."""
    sink = Sink()
    out = FrameWriter(sink, compressor(1) if compressed else None, Phases())
    members = []
    for number, size in enumerate(sizes):
        members.append((out.position(), bytes([number + 1]) * size))
        out.write(members[-1][1])
        if out.frame_length > 100_000:
            out.end_frame()
    out.end_frame()
    assert out.bytes == len(sink.data)
    for (frame, skip, offset), content in members:
        rest = bytes(sink.data[frame:])
        if compressed and rest:
            rest = zstandard.ZstdDecompressor().stream_reader(rest).read()
        assert rest[skip : skip + len(content)] == content
        assert offset == sum(len(other) for (_, _, at), other in members if at < offset)


def two_trees(folder: Path) -> tuple[Path, Path]:
    for name in ("one", "two"):
        tree = folder / name
        (tree / "folder").mkdir(parents=True)
        for file in ("a", "b", "folder/c"):
            (tree / file).write_bytes(b"content" * 1000)
        (tree / "link").symlink_to("a")
        os.link(tree / "a", tree / "hard")
        for path in (*tree.rglob("*"), tree):
            os.utime(path, ns=(0, 10**18), follow_symlinks=False)
    return folder / "one", folder / "two"


def change_content(tree: Path) -> None:
    (tree / "b").write_bytes(b"contenT" * 1000)
    os.utime(tree / "b", ns=(0, 10**18))


def make_sparse(tree: Path) -> None:
    with (tree / "b").open("wb") as file:
        file.truncate(7000)
    os.truncate(tree / "b", 7000)
    os.utime(tree / "b", ns=(0, 10**18))


def break_link(tree: Path) -> None:
    data = (tree / "hard").read_bytes()
    (tree / "hard").unlink()
    (tree / "hard").write_bytes(data)
    (tree / "hard").chmod((tree / "a").stat().st_mode & 0o7777)


def replace_by_folder(tree: Path) -> None:
    (tree / "b").unlink()
    (tree / "b").mkdir()


def point_elsewhere(tree: Path) -> None:
    (tree / "link").unlink()
    (tree / "link").symlink_to("b")


@pytest.mark.parametrize(
    ("change", "path", "what"),
    [
        (lambda tree: (tree / "b").unlink(), "b", "missing"),
        (lambda tree: (tree / "new").write_text(""), "new", "extra"),
        (lambda tree: (tree / "b").chmod(0o600), "b", "mode"),
        (lambda tree: os.utime(tree / "b", ns=(0, 10**18 + 1)), "b", "mtime"),
        (lambda tree: os.truncate(tree / "b", 5), "b", "size"),
        (change_content, "b", "content"),
        (make_sparse, "b", "holes"),
        (break_link, "a", "links"),
        (replace_by_folder, "b", "type"),
        (point_elsewhere, "link", "target"),
    ],
)
def test_each_kind_of_difference_is_found(tmp_path: Path, change: Any, path: str, what: str) -> None:
    """Two equal trees have no difference; after one change, that one is named."""
    one, two = two_trees(tmp_path)
    assert compare_trees(one, two) == []
    change(two)
    found = {(difference.path, difference.what) for difference in compare_trees(one, two)}
    assert (path, what) in found
    assert {name for name, _ in found} <= {path, ".", "hard"}


def test_attributes_are_compared(tmp_path: Path) -> None:
    """A file that lost an extended attribute is different."""
    one, two = two_trees(tmp_path)
    try:
        os.setxattr(one / "b", "user.note", b"1")
    except OSError as error:
        pytest.skip(f"this file system has no extended attributes: {error}")
    assert [(found.path, found.what) for found in compare_trees(one, two)] == [("b", "xattrs")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owners_are_compared_by_root(tmp_path: Path) -> None:
    """A file of another owner is different where the owner could have been set."""
    one, two = two_trees(tmp_path)
    os.chown(two / "b", 1234, 4321)
    assert [(found.path, found.what) for found in compare_trees(one, two)] == [("b", "owner")]


def test_two_files_are_compared(tmp_path: Path) -> None:
    """A source that is a single file is compared with a single file."""
    one, two = two_trees(tmp_path)
    assert compare_trees(one / "a", two / "b") == []
    change_content(two)
    assert [found.what for found in compare_trees(one / "a", two / "b")] == ["content"]
