"""What a command prints as a file of the set: in constant memory, whole or not at all."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backup.entry import Entry, FileType
from backup.errors import DumpBroken, DumpTooLong
from backup.format.manifest import entries_on, read_manifest
from backup.request import Dump
from backup.restore import Restoration
from backup.restoring import chosen
from backup.source.changes import KnownFiles
from backup.verify import Verification
from backup.writing import dumping
from policy.message import M
from tape.errors import TapeFull
from tests.unit.backup.format.test_age import PUBLIC
from tests.unit.backup.rig import SET
from tests.unit.backup.writing.test_pieces import _choices
from tests.unit.backup.writing.test_spanning import fill, restore, span, volume

NAME = "accounts.sql"
PATH = f"/tapeline-dumps/{NAME}"


class Printed:
    """What a command prints; ``code``: what it ends with."""

    def __init__(self, data: bytes, code: int) -> None:
        self._data = io.BytesIO(data)
        self._code = code

    def readinto(self, buffer: memoryview) -> int:
        # As from a pipe: never as much as was asked for.
        count = self._data.readinto(buffer[: max(len(buffer) // 3, 1)])
        if not count and self._code:
            raise DumpBroken(M("Command {name} ended with code {code}.", name="d", code=self._code))
        return count


def dump(data: bytes, code: int = 0, name: str = NAME, **how: Any) -> Dump:
    @contextmanager
    def opened() -> Iterator[Printed]:
        yield Printed(data, code)

    return Dump(name, opened, **how)


def restored(rig: Any, name: str = NAME) -> Path:
    return Path(rig.target) / "tapeline-dumps" / name


def pieces(rig: Any) -> list[Entry]:
    return [entry for entry in rig.log.entries if entry.type is FileType.PIECE]


def files(rig: Any) -> list[Entry]:
    return [entry for entry in rig.log.entries if entry.path == PATH and entry.type is FileType.FILE]


@pytest.mark.parametrize("size", [0, 1, 19_999, 20_000, 20_001, 60_000, 100_003])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_it_comes_back(rig: Any, size: int, compression: str) -> None:
    """One file, byte by byte, beside the files of the sources, in the order of the set."""
    fill(rig.source, 3)
    data = os.urandom(size)
    judged: list[int] = []
    rig.back_up(dumps=(dump(data, judge=judged.append),), archive_bytes=20_000, compression=compression)
    assert judged == [size]
    [whole] = files(rig)
    assert (whole.size, whole.mode, whole.partial) == (size, 0o600, False)
    assert (
        len(pieces(rig)) == whole.pieces == (0 if size < 20_000 else size // 20_000 + 1 + bool(size % 20_000))
    )
    report = rig.restore()
    assert (report.failures, report.incomplete) == ([], [])
    assert restored(rig).read_bytes() == data
    assert rig.differences() == []
    assert rig.log.warnings == []
    assert read_manifest(rig.volume, SET).sources[-1] == PATH
    verification = Verification(rig.volume, SET)
    for archive in rig.log.archives:
        verification.archive(archive)
    assert verification.report.damaged == []


def test_a_set_of_dumps_alone(rig: Any) -> None:
    first, second = os.urandom(70_000), b"two"
    rig.back_up(sources=(), dumps=(dump(second, name="b"), dump(first, name="a")), archive_bytes=20_000)
    assert rig.restore().failures == []
    assert (restored(rig, "a").read_bytes(), restored(rig, "b").read_bytes()) == (first, second)


def test_it_is_read_in_constant_memory(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its size: a part of it, and the drive's buffer."""
    monkeypatch.setattr(dumping, "PART", 1 << 20)

    class Long:
        left = 200 << 20

        def readinto(self, buffer: memoryview) -> int:
            count = min(len(buffer), self.left)
            self.left -= count
            return count

    @contextmanager
    def opened() -> Iterator[Long]:
        yield Long()

    tracemalloc.start()
    summary = rig.back_up(sources=(), dumps=(Dump(NAME, opened),), compression="none", buffer_bytes=8 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert summary.size == 200 << 20
    assert peak < 40 << 20


@pytest.mark.parametrize("size", [0, 100, 70_000])
def test_one_that_breaks_off_fails_the_set(rig: Any, size: int) -> None:
    """Nothing of it is a file, neither in the catalogue nor on the tape."""
    with pytest.raises(DumpBroken, match="ended with code 3"):
        rig.back_up(dumps=(dump(os.urandom(size), 3),), archive_bytes=20_000)
    assert files(rig) == []
    assert not read_manifest(rig.volume, SET).complete


@pytest.mark.parametrize("size", [0, 100, 70_000])
def test_an_optional_one_that_breaks_off_is_a_warning(rig: Any, size: int) -> None:
    """The set is complete; the catalogue names the dump, and no restore takes it for whole."""
    fill(rig.source, 2)
    broken = dump(os.urandom(size), 3, optional=True)
    rig.back_up(dumps=(broken, dump(b"well", name="other")), archive_bytes=20_000, compression="none")
    [(path, reason)] = rig.log.warnings
    assert path == PATH
    assert str(reason) == "This dump is not whole: Command d ended with code 3."
    assert files(rig) == []
    assert {piece.path for piece in pieces(rig)} == {PATH}
    assert read_manifest(rig.volume, SET).warnings == 1
    report = rig.restore()
    assert report.failures == []
    assert not restored(rig).exists()
    assert not list(rig.target.rglob(".tapeline-*"))
    assert restored(rig, "other").read_bytes() == b"well"
    by_hand(rig)
    assert not restored(rig).exists()


def by_hand(rig: Any) -> None:
    """Unpack every archive on the tape, and join the pieces as README.txt says."""
    if missing := [tool for tool in ("tar", "bash") if shutil.which(tool) is None]:
        pytest.skip(f"not installed here: {', '.join(missing)}")
    shutil.rmtree(rig.target, ignore_errors=True)
    rig.target.mkdir()
    for archive in sorted(rig.volume.root.glob("sets/*/data-*")):
        subprocess.run(["tar", "-xpf", archive, "-C", rig.target], check=False, capture_output=True)
    readme = (rig.volume.root / "README.txt").read_text()
    script = re.findall(r"^    (find .*?\n    done)$", readme, re.MULTILINE | re.DOTALL)[1]
    subprocess.run(["bash", "-ec", script.replace("/restore/here", str(rig.target))], check=True)


def test_tar_and_cat_alone_put_it_together(rig: Any) -> None:
    """By the same recipe as any long file, also after an attempt that was cut off and longer."""
    fill(rig.source, 2)
    with pytest.raises(DumpBroken):
        rig.back_up(dumps=(dump(os.urandom(90_000), 1),), archive_bytes=20_000, compression="none")
    data = os.urandom(50_000)
    point = rig.log.resume_point()
    rig.back_up(dumps=(dump(data),), archive_bytes=20_000, compression="none", resume=point)
    by_hand(rig)
    assert restored(rig).read_bytes() == data
    assert restored(rig).stat().st_mode & 0o777 == 0o600
    assert rig.restore().failures == []
    assert restored(rig).read_bytes() == data


def test_it_is_read_anew_after_a_break(rig: Any) -> None:
    """No part of it is gone on with; files before it and after it are stored once."""
    fill(rig.source, 3)
    with pytest.raises(DumpBroken):
        rig.back_up(dumps=(dump(os.urandom(70_000), 1),), archive_bytes=20_000, compression="none")
    before = [entry.path for entry in rig.log.entries if entry.type is not FileType.PIECE]
    assert before or str(rig.source) > PATH
    data = os.urandom(100_000)
    point = rig.log.resume_point()
    rig.back_up(dumps=(dump(data),), archive_bytes=20_000, compression="none", resume=point)
    names = [entry.path for entry in rig.log.entries if entry.type is not FileType.PIECE]
    assert len(names) == len(set(names)) == 5
    assert rig.log.plan[1] >= 0
    report = rig.restore()
    assert report.failures == []
    assert restored(rig).read_bytes() == data
    assert rig.differences() == []


def test_the_next_tape_takes_all_of_it(rig: Any) -> None:
    """Where it does not fit any more it is read again for the next tape."""
    data = os.urandom(60_000)
    (rig.source / "a").write_bytes(os.urandom(50_000))
    tapes = span(rig, 130_000, dumps=(dump(data),), compression="none", archive_bytes=10_000)
    assert len(tapes) == 2
    assert restore(rig, tapes).failures == []
    assert restored(rig).read_bytes() == data
    assert rig.differences() == []


def test_one_that_is_longer_than_a_tape_is_an_error(rig: Any) -> None:
    """And no endless row of tapes."""
    rig.volume = volume(rig, 1, 200_000)
    with pytest.raises(DumpTooLong, match=r"does not fit on a tape of its own: .* of it were read"):
        rig.back_up(sources=(), dumps=(dump(os.urandom(300_000)),), compression="none", archive_bytes=10_000)


def test_a_tape_that_is_full_by_itself(rig: Any) -> None:
    """The drive says so before the room was counted: as with any file."""
    rig.volume = volume(rig, 1, 60_000)
    rig.volume.used = 30_000
    with pytest.raises(TapeFull):
        rig.back_up(sources=(), dumps=(dump(os.urandom(50_000)),), compression="none", archive_bytes=10_000)


@pytest.mark.parametrize("lost", [0, 2, -1])
def test_a_damaged_index_costs_no_piece(rig: Any, lost: int) -> None:
    """The headers of its archive say which file it is of, and which part."""
    data = os.urandom(200_000)
    rig.back_up(dumps=(dump(data),), archive_bytes=20_000)
    number = pieces(rig)[lost].place.archive
    rig.file(f"index-{number:06d}.jsonl.zst").write_bytes(b"gone")
    with Restoration(rig.target) as restoration:
        for archive, wanted in _choices(rig).by_archive():
            found = chosen.entries(rig.volume, (SET, archive, wanted), restoration.lose)
            restoration.take(rig.volume, SET, found, archive)
        assert restoration.finish().failures == []
    assert restored(rig).read_bytes() == data


@pytest.mark.parametrize("without", [0, 3, -1])
def test_without_one_of_its_pieces_it_is_no_file(rig: Any, without: int) -> None:
    rig.back_up(dumps=(dump(os.urandom(100_000)),), archive_bytes=20_000)
    missing = pieces(rig)[without]
    report = rig.restore([entry for entry in rig.log.entries if entry != missing])
    assert [Path(name).name for name, _ in report.failures] == [NAME]
    assert not restored(rig).exists()


def test_a_restore_in_any_order_goes_on_after_a_break(rig: Any) -> None:
    data = os.urandom(100_000)
    rig.back_up(dumps=(dump(data),), archive_bytes=20_000, compression="none", sources=())
    state = rig.spool / "there.sqlite"
    numbers = [archive.number for archive in rig.log.archives]
    for number in reversed(numbers):
        for is_again in (False, True):
            with Restoration(rig.target, state=state) as restoration:
                found = entries_on(rig.volume, SET, archives=[number])
                restoration.take(rig.volume, SET, found, number)
                if is_again:
                    restoration.archive_done()
    with Restoration(rig.target, state=state) as restoration:
        report = restoration.finish()
    assert (report.failures, report.differing) == ([], [])
    assert restored(rig).read_bytes() == data


def test_what_is_there_already_is_compared(rig: Any) -> None:
    data = os.urandom(100_000)
    rig.back_up(dumps=(dump(data),), archive_bytes=20_000, sources=())
    restored(rig).parent.mkdir(parents=True)
    restored(rig).write_bytes(data)
    assert rig.restore().kept == [PATH]
    restored(rig).write_bytes(data + b"more")
    assert [path for path, _ in rig.restore().differing] == [PATH]
    assert restored(rig).read_bytes() == data + b"more"


def test_an_encrypted_one(rig: Any) -> None:
    rig.back_up(dumps=(dump(os.urandom(50_000)),), archive_bytes=20_000, encrypt_to=(PUBLIC,))
    assert rig.log.warnings == []
    assert read_manifest(rig.volume, SET).sources == ()
    assert PATH.encode() not in b"".join(
        path.read_bytes() for path in rig.volume.root.rglob("*") if path.is_file()
    )


def test_an_increment_reads_it_anew(rig: Any) -> None:
    """Though nothing tells whether it has changed; unchanged files of the sources are not stored again."""
    fill(rig.source, 3)
    rig.back_up(dumps=(dump(b"monday"),))
    known = KnownFiles(rig.spool / "known")
    rows = sorted(rig.log.entries, key=lambda entry: entry.path.replace("/", "\0"))
    known.write([lambda sink: sink.write(b"".join(map(_row, rows)))])
    rig.log.entries.clear()
    summary = rig.back_up(
        set_id="20261102T020000Z-0a1b2c",
        type="incremental",
        parent=SET,
        known=known,
        dumps=(dump(b"tuesday"),),
    )
    assert [entry.path for entry in rig.log.entries] == [PATH]
    assert summary.deleted == 0


def _row(entry: Entry) -> bytes:
    facts = (entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode)
    return b"%b\t\\N\t%b\t%d\t%d\t%d\t%d\tf\n" % (entry.path.encode(), entry.type.encode(), *facts)


def test_a_real_file_of_its_path_gives_way() -> None:
    """Where the whole host is a source, and a dump was restored there."""
    status = dumping._unknown()
    found = [dumping.FoundPath(path, status) for path in (b"/", b"/srv", PATH.encode(), b"/var")]
    paths = [each.path for each in dumping.among(found, (dump(b""), dump(b"", name="b")), None)]
    assert paths == [b"/", b"/srv", PATH.encode(), b"/tapeline-dumps/b", b"/var"]
    rest = [each.path for each in dumping.among([], (dump(b""), dump(b"", name="b")), PATH)]
    assert rest == [b"/tapeline-dumps/b"]
