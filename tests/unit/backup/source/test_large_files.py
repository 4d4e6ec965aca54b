"""A large file on a share: several of its pieces are read at once, and it is stored as any other."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from backup.source.inodes import is_on_share
from backup.write import write_set
from tape.programs import aside, replies
from tape.programs.replies import AT_ONCE, CONTENT, ERROR, Replies
from tests.mounts import needs_fuse, shared
from tests.unit.backup.rig import Log, request

if sys.platform == "win32":
    pytest.skip("there nothing can be left behind", allow_module_level=True)

MIB = 1 << 20


def never(_about: str, seconds: float) -> None:
    assert seconds < 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the server has: content without a period, and a file with a hole."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "large").write_bytes(os.urandom(20 * MIB + 17))
    with (folder / "sparse").open("wb") as file:
        file.truncate(9 * MIB)
        file.write(os.urandom(3 * MIB + 1))
    return folder


@pytest.fixture
def coming(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pieces had been requested, and not been taken, with each request; negative: one by one."""
    counts: list[int] = []
    want = aside.Aside.want

    def counted(self: aside.Aside, *piece: int, beside: bool) -> None:
        assert self._reading is not None
        counts.append((1 + len(self._reading._coming)) * (1 if beside else -1))
        want(self, *piece, beside=beside)

    monkeypatch.setattr(aside.Aside, "want", counted)
    return counts


def back_up(rig: Any, source: Path, readers: int, log: Log | None = None) -> Any:
    asked = request(source, readers=readers, compression="none", buffer_bytes=2 * MIB, frame_bytes=MIB)
    return write_set(rig.volume, asked, log or rig.log, rig.spool, never)


@needs_fuse
@pytest.mark.parametrize("readers", [1, 3, 32])
def test_it_comes_back_as_it_was(
    rig: Any, folder: Path, tmp_path: Path, coming: list[int], readers: int
) -> None:
    """Never more pieces are in memory than are read at once."""
    rig.source = tmp_path / "share"
    with shared(folder, rig.source):
        assert is_on_share(b"", rig.source.stat().st_dev)
        assert back_up(rig, rig.source, readers).warnings == 0
    rig.restore()
    for name in ("large", "sparse"):
        assert rig.restored(name).read_bytes() == (folder / name).read_bytes()
    at_once = min(readers, AT_ONCE)
    assert max(map(abs, coming)) == max(at_once, aside.AHEAD)
    assert all((count > 0) == (at_once > 1) for count in coming)


def test_a_file_on_a_disk_is_read_piece_by_piece(rig: Any, folder: Path, coming: list[int]) -> None:
    """Its head would only move more."""
    back_up(rig, folder, 32)
    assert coming
    assert all(-aside.AHEAD <= count < 0 for count in coming)


@needs_fuse
@pytest.mark.parametrize("size", [5 * MIB + 3, 0, 30 * MIB])
def test_it_changes_while_it_is_read(rig: Any, folder: Path, tmp_path: Path, size: int) -> None:
    """It shrinks, or grows: one warning, the copy is partial, and the next file is whole."""

    class Changing(Log):
        def progress(self, files: int, bytes_: int) -> None:
            super().progress(files, bytes_)
            if bytes_ >= 2 * MIB:
                os.truncate(folder / "large", size)

    rig.log, rig.source = Changing(), tmp_path / "share"
    with shared(folder, rig.source):
        assert back_up(rig, rig.source, 8).warnings == 1
    assert [Path(path).name for path, _ in rig.log.warnings] == ["large"]
    assert {entry.path.rpartition("/")[2] for entry in rig.log.entries if entry.partial} == {"large"}
    assert rig.entries()["large"].size == 20 * MIB + 17
    rig.restore()
    assert rig.restored("sparse").read_bytes() == (folder / "sparse").read_bytes()


def test_answers_come_in_the_order_of_their_requests(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Also if the first piece takes longest, one cannot be read, and another question comes between."""
    read = replies.piece

    def slow(descriptor: int, offset: int, length: int) -> memoryview:
        time.sleep(0.3 if offset == 0 else 0)
        return read(descriptor, offset, length)

    monkeypatch.setattr(replies, "piece", slow)
    answers = io.BytesIO()
    made = Replies(answers)
    with (folder / "large").open("rb") as file:
        for offset in (0, 1000, 2000):
            made.to(replies.piece_beside, (file.fileno(), offset, 1000))
        made.to(os.lstat, ("/nowhere/at/all",))
        made.to(replies.piece_beside, (-1, 0, 10))
        made.to(replies.piece_beside, (file.fileno(), 3000, 1000))
        deadline = time.monotonic() + 20
        while len(_kinds(answers)) < 6:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert _kinds(answers) == [CONTENT, CONTENT, CONTENT, ERROR, ERROR, CONTENT]
        found = b"".join(data for kind, data in _parts(answers) if kind == CONTENT)
        assert found == os.pread(file.fileno(), 4000, 0)


def _kinds(answers: io.BytesIO) -> list[bytes]:
    return [kind for kind, _ in _parts(answers)]


def _parts(answers: io.BytesIO) -> list[tuple[bytes, bytes]]:
    data, parts = answers.getvalue(), []
    while len(data) >= 9 and len(data) >= 9 + (size := int.from_bytes(data[1:9], "little")):
        parts.append((data[:1], data[9 : 9 + size]))
        data = data[9 + size :]
    return parts
