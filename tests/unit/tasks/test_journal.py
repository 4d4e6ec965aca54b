"""What the catalogue gets of an entry, and how progress is summed up."""

from __future__ import annotations

import pytest

from backup.entry import Entry, FileType, Part, text
from db.sets.catalog import FileRow
from tasks.writing.journal import in_words, rows


@pytest.mark.parametrize(
    ("name", "path", "raw_path"),
    [
        (b"/data/plain", "/data/plain", None),
        ("/data/文件".encode(), "/data/文件", None),
        (b"/data/\xff", "/data/\\xff", b"/data/\xff"),
    ],
)
@pytest.mark.parametrize("partial", [True, False])
def test_each_fact_of_a_file_comes_into_its_column(
    name: bytes, path: str, raw_path: bytes | None, partial: bool
) -> None:
    """An increment compares with these: no two of them may change places, and none be left out."""
    entry = Entry(
        path=text(name), type=FileType.HARDLINK, size=1, mtime_ns=-2, ctime_ns=3, inode=(1 << 64) - 4,
        nlink=5, mode=6, uid=7, gid=8, uname="9", gname="10", partial=partial, blake3=b"\x0b" * 32,
    )  # fmt: skip
    expected = FileRow(
        position=1, path=path, raw_path=raw_path, type="hardlink", size=1, mtime_ns=-2, ctime_ns=3, inode=-4,
        blake3=b"\x0b" * 32, partial=partial,
    )  # fmt: skip
    assert list(rows([entry, entry]))[1] == expected


def test_a_piece_also_has_the_size_of_its_file() -> None:
    """Whoever goes on with the file compares it."""
    facts = dict.fromkeys(("mtime_ns", "ctime_ns", "inode", "nlink", "mode", "uid", "gid"), 0)
    entry = Entry(path="/a", type=FileType.PIECE, size=4, uname="", gname="", part=Part(1, 0, 9), **facts)
    assert [row.whole for row in rows([entry, entry._replace(part=None)])] == [9, None]


def test_progress_is_summed_up_in_the_units_of_every_other_size() -> None:
    """A small set is not 0.00 GB, and a slow drive not 0 MB/s."""
    now = {"bytes": 250_000, "bytes_total": 1_000_000, "bytes_per_second": 42_000}
    assert in_words(now) == "25.0% of 1.0 MB, 42.0 kB/s"
    assert in_words({**now, "bytes": 0, "bytes_total": 0}) == "100.0% of 0 B, 42.0 kB/s"
