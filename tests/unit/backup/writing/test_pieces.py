"""A file that is too long for one archive, or for one tape: in pieces, and whole again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup.entry import Entry, FileType, from_json, raw, to_line
from backup.format.manifest import entries_on
from backup.restore import Restoration
from backup.restoring import chosen
from backup.restoring.chosen import Choice, Choices
from backup.source import holes
from backup.verify import Verification
from policy.detection import EVERY
from tape.errors import TapeFull
from tests.mounts import needs_fuse, shared
from tests.unit.backup.format.test_age import PUBLIC
from tests.unit.backup.rig import SET
from tests.unit.backup.writing.test_spanning import fill, restore, span, volume


def large(path: Path, size: int = 100_000) -> Path:
    path.write_bytes(os.urandom(size))
    os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    path.chmod(0o640)
    return path


def pieces(rig: Any) -> list[Entry]:
    return [entry for entry in rig.log.entries if entry.type is FileType.PIECE]


@given(
    lengths=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=6),
    tail=st.integers(0, 511),
    most=st.integers(1, 40),
)
def test_parts_of_a_file_make_the_whole(lengths: list[tuple[int, int]], tail: int, most: int) -> None:
    """Whatever its holes: each part has so much data at the most, in whole blocks up to the file's end, and
    together they are the file."""
    segments, end = [], 0
    for gap, length in lengths:
        segments.append((end + gap * 512, length * 512))
        end = sum(segments[-1])
    size = end + tail
    if tail and segments:
        segments[-1] = (segments[-1][0], segments[-1][1] + tail)
    elif not segments:
        segments.append((size, 0))
    data, offset = [], 0
    while offset < size:
        end, found = holes.part(segments, offset, size, most * 100)
        assert offset < end <= size
        assert sum(length for _, length in found) <= max(most * 100, 512)
        assert sum(found[-1]) == end
        assert all(offset <= start for start, _ in found)
        assert all(length % 512 == 0 or start + length == size for start, length in found)
        data += [byte for start, length in found for byte in range(start, start + length)]
        offset = end
    assert data == [byte for start, length in segments for byte in range(start, start + length)]


def test_a_file_larger_than_a_tape_spans_tapes_and_comes_back(rig: Any) -> None:
    """Its pieces fill each tape; restored from one tape after the other it is one file as it was."""
    fill(rig.source, 3)
    large(rig.source / "f01")
    tapes = span(rig, 40_000, compression="none", archive_bytes=12_000)
    assert rig.log.warnings == []
    assert len(tapes) >= 3
    assert all(tape.free() < 14_000 for tape in tapes[:-1])
    [whole] = [entry for entry in rig.log.entries if entry.pieces]
    found = pieces(rig)
    assert (whole.type, whole.size, whole.pieces) == (FileType.FILE, 100_000, len(found))
    assert [piece.part.number for piece in found if piece.part] == list(range(1, len(found) + 1))
    assert rig.summary.files == 4
    assert rig.summary.size == 106_000
    report = restore(rig, tapes)
    assert (report.failures, report.files, report.size) == ([], 4, 106_000)
    assert rig.differences() == []
    assert not list(rig.target.rglob(".tapeline-*"))


@pytest.mark.parametrize("breaks", [False, True])
def test_the_tapes_may_come_in_any_order(rig: Any, breaks: bool) -> None:
    """The last one first, where the end of the file lies: it waits for its pieces, also across a break in the
    middle of an archive, and is counted once."""
    fill(rig.source, 3)
    large(rig.source / "f01")
    tapes = span(rig, 40_000, compression="none", archive_bytes=12_000)
    state = rig.spool / "there.sqlite"
    for tape in reversed(tapes):
        numbers = {entry.place.archive for entry in entries_on(tape, SET)}
        for number in sorted(numbers, reverse=True):
            for is_again in (False, True) if breaks else (True,):
                with Restoration(rig.target, state=state) as restoration:
                    restoration.take(tape, SET, entries_on(tape, SET, archives=[number]), number)
                    if is_again:
                        restoration.archive_done()
    with Restoration(rig.target, state=state) as restoration:
        report = restoration.finish()
    assert (report.failures, report.differing) == ([], [])
    assert report.files + restoration.kept == 4
    assert rig.differences() == []
    assert not list(rig.target.rglob(".tapeline-*"))


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_tar_and_cat_alone_put_it_together(rig: Any, compression: str) -> None:
    """What README.txt on the tape says: unpack all archives, then cat the pieces."""
    if missing := [tool for tool in ("tar", "zstd", "bash", "diff") if shutil.which(tool) is None]:
        pytest.skip(f"not installed here: {', '.join(missing)}")
    fill(rig.source, 2)
    large(rig.source / "a b")
    with large(rig.source / "sparse", 1).open("r+b") as file:
        for position in range(10):
            file.seek(position * (1 << 20))
            file.write(os.urandom(9000))
        file.truncate(11 << 20)
    tapes = span(rig, 60_000, compression=compression, archive_bytes=5_000)
    assert len(tapes) >= 3
    rig.target.mkdir()
    for tape in tapes:
        for archive in sorted(tape.root.glob("sets/*/data-*")):
            unpack = "zstd -dc" if compression == "zstd" else "cat"
            command = f"{unpack} {archive} | tar -xpf - -C {rig.target}"
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-ec", command], capture_output=True, check=False
            )
            sealed = any(archive.name == record.name for record in rig.summary.archives)
            assert not sealed or (done.returncode, done.stderr) == (0, b""), archive
    readme = (tapes[0].root / "README.txt").read_text()
    script = re.findall(r"^    (find .*?\n    done)$", readme, re.MULTILINE | re.DOTALL)
    assert len(script) == 2
    assert script[0].replace("/恢复到/这里", "/restore/here") == script[1]
    assert len(list(rig.target.rglob("*.tapeline-*"))) >= 10
    subprocess.run(["bash", "-ec", script[1].replace("/restore/here", str(rig.target))], check=True)
    subprocess.run(["diff", "-r", rig.source, rig.restored()], check=True)
    assert rig.restored("a b").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert rig.restored("a b").stat().st_mode & 0o777 == 0o640


def test_it_is_judged_by_what_is_written(rig: Any) -> None:
    """A file larger than the tape that compresses to almost nothing lies on that tape."""
    (rig.source / "zeros").write_bytes(bytes(5_000_000))
    [tape] = span(rig, 300_000, compression="zstd")
    assert rig.log.warnings == []
    assert tape.used < 100_000
    assert rig.restore().failures == []
    assert rig.differences() == []


def test_data_that_do_not_compress_are_given_room_to_grow(rig: Any) -> None:
    """Compressed and encrypted they are longer than they were, by more than one header: each piece is sealed
    where it was begun, and fills its tape."""
    large(rig.source / "b", 70_000_000)
    tapes = span(rig, 64_000_000, compression="zstd", encrypt_to=(PUBLIC,))
    begun = [path.name for tape in tapes for path in tape.root.glob("sets/*/data-*")]
    assert sorted(begun) == [archive.name for archive in rig.summary.archives]
    # The folder, and one piece on each tape.
    assert (len(tapes), len(begun)) == (2, 3)
    assert tapes[0].free() < 640_000


def test_a_long_file_that_fits_is_cut_as_well_and_a_shorter_one_is_not(rig: Any) -> None:
    """A break costs one piece; a file of a few archives' length is one member, as plain tar has it."""
    large(rig.source / "a", 100_000)
    large(rig.source / "b", 409_600)
    rig.back_up(archive_bytes=20_480, compression="none")
    assert {Path(piece.path).name for piece in pieces(rig)} == {"b"}
    assert len(pieces(rig)) == 20
    assert rig.restore().failures == []
    assert rig.differences() == []


@pytest.mark.parametrize("changed", [False, True])
def test_it_goes_on_after_the_last_piece_unless_the_file_has_changed(rig: Any, changed: bool) -> None:
    """Cut off by a full tape whose room was not foreseen; a changed file is begun anew."""
    path = large(rig.source / "b", 1_000_000)
    fill(rig.source, 1)
    rig.volume = volume(rig, 1, 1 << 30)
    rig.volume.capacity = 800_000
    rig.volume.free = lambda: 1 << 30  # type: ignore[method-assign]
    with pytest.raises(TapeFull):
        rig.back_up(archive_bytes=60_000, compression="none")
    first, before = rig.volume, len(pieces(rig))
    assert before >= 5
    if changed:
        path.write_bytes(os.urandom(1_000_000))
    rig.volume = second = volume(rig, 2, 1 << 30)
    rig.back_up(archive_bytes=60_000, compression="none", resume=rig.log.resume_point())
    number = pieces(rig)[before].part.number
    assert number == (1 if changed else before + 1)
    assert restore(rig, [first, second]).failures == []
    assert rig.differences() == []
    assert not list(rig.target.rglob(".tapeline-*"))


@needs_fuse
@pytest.mark.parametrize(
    ("detect", "change"), [("auto", ""), ("auto", "longer"), ("auto", "mtime"), (str(EVERY), "")]
)
def test_it_goes_on_by_the_rule_of_its_share(rig: Any, tmp_path: Path, detect: str, change: str) -> None:
    """A share numbers it anew at each mount. Cut off twice, it goes on after the last piece and comes back
    whole, unless a field that counts there has changed: then it is begun anew."""
    path = large(rig.source / "b", 1_000_000)
    folder, rig.source = rig.source, tmp_path / "share"
    tapes, numbers = [], []
    for number, capacity in enumerate((300_000, 300_000, 1 << 30)):
        rig.volume = volume(rig, number, 1 << 30)
        rig.volume.capacity = capacity
        rig.volume.free = lambda: 1 << 30
        tapes.append(rig.volume)
        before = len(pieces(rig))
        resume = rig.log.resume_point() if tapes[1:] else None
        how = {"archive_bytes": 60_000, "compression": "none", "detect": detect, "resume": resume}
        with shared(folder, rig.source), nullcontext() if number == 2 else pytest.raises(TapeFull):
            rig.back_up(**how)
        numbers.append([piece.part.number for piece in pieces(rig)[before:]])
        if change and number == 1:
            path.write_bytes(os.urandom(1_000_000 + (change == "longer")))
            os.utime(path, ns=(0, 1_234_567_890_123_456_789 + (change == "mtime")))
    goes_on = not change and detect == "auto"
    assert numbers[1][0] == (len(numbers[0]) + 1 if detect == "auto" else 1)
    assert numbers[2][0] == (len(numbers[0]) + len(numbers[1]) + 1 if goes_on else 1)
    assert restore(rig, tapes).failures == []
    assert (rig.target / str(rig.source)[1:] / "b").read_bytes() == path.read_bytes()


def test_a_file_that_changes_between_two_pieces_is_partial(rig: Any) -> None:
    """One warning; it comes back as far as it is, and the next increment has it again."""
    path = large(rig.source / "b", 400_000)

    def change(_record: Any) -> None:
        if len(pieces(rig)) == 2:
            with path.open("r+b") as file:
                file.write(b"changed")

    rig.log.on_sealed = change
    rig.back_up(archive_bytes=20_000, compression="none")
    [(name, _)] = rig.log.warnings
    assert Path(name).name == "b"
    assert [entry.partial for entry in rig.log.entries if entry.pieces] == [True]
    report = rig.restore()
    assert [Path(name).name for name, _ in report.incomplete] == ["b"]


def test_what_is_there_already_is_compared_piece_by_piece(rig: Any) -> None:
    """The same: kept. One byte else: kept, and named; with overwrite it is replaced."""
    large(rig.source / "b", 400_000)
    rig.back_up(archive_bytes=20_000, compression="none")
    rig.restore()
    assert [Path(path).name for path in rig.restore().kept] == ["b"]
    with rig.restored("b").open("r+b") as file:
        file.seek(333_333)
        file.write(b"?")
    mine = rig.restored("b").read_bytes()
    report = rig.restore()
    assert ([Path(path).name for path, _ in report.differing], report.kept) == (["b"], [])
    assert rig.restored("b").read_bytes() == mine
    assert rig.restore(overwrite=True).failures == []
    assert rig.differences() == []
    assert not list(rig.target.rglob(".tapeline-*"))


def test_two_names_of_a_file_in_pieces_are_one_file_again(rig: Any) -> None:
    """Each name has its pieces, so that plain cat can make it; a restore links them."""
    large(rig.source / "b", 400_000)
    os.link(rig.source / "b", rig.source / "c")
    summary = rig.back_up(archive_bytes=20_000, compression="none")
    assert (summary.files, summary.size) == rig.log.plan == rig.log.steps[-1] == (3, 400_000)
    report = rig.restore()
    assert (report.failures, report.files, report.size) == ([], 3, 400_000)
    assert rig.differences() == []
    assert not list(rig.target.rglob(".tapeline-*"))


def test_damage_to_one_piece_costs_the_file_and_no_other(rig: Any) -> None:
    """It is named once, never has its name, and nothing of it stays; a verification names it too."""
    fill(rig.source, 2)
    large(rig.source / "f00x", 400_000)
    rig.back_up(archive_bytes=20_000, compression="none")
    number = pieces(rig)[3].place.archive
    path = rig.file(f"data-{number:06d}.tar")
    data = bytearray(path.read_bytes())
    data[-1500] ^= 1
    path.write_bytes(data)
    report = rig.restore()
    assert [Path(name).name for name, _ in report.failures] == ["f00x"]
    assert sorted(path.name for path in rig.restored().iterdir()) == ["f00", "f01"]
    verification = Verification(rig.volume, SET)
    for archive in rig.log.archives:
        verification.archive(archive)
    assert [Path(name).name for name, _ in verification.report.damaged] == ["f00x"]
    assert verification.report.files == 4


@pytest.mark.parametrize("without", [0, 5, -1])
def test_a_file_without_one_of_its_pieces_is_no_file(rig: Any, without: int) -> None:
    """It fails by its name, and nothing of it stays in the target."""
    large(rig.source / "b", 400_000)
    rig.back_up(archive_bytes=20_000, compression="none")
    missing = pieces(rig)[without]
    report = rig.restore([entry for entry in rig.log.entries if entry != missing])
    assert [Path(name).name for name, _ in report.failures] == ["b"]
    assert list(rig.restored().iterdir()) == []


def test_a_file_whose_pieces_are_not_those_of_its_hash_is_no_file(rig: Any) -> None:
    """Each piece is as its own entry says; the entry of the file says otherwise."""
    large(rig.source / "b", 400_000)
    rig.back_up(archive_bytes=20_000, compression="none")
    wrong = [entry._replace(blake3=bytes(32)) if entry.pieces else entry for entry in rig.log.entries]
    report = rig.restore(wrong)
    assert [Path(name).name for name, _ in report.failures] == ["b"]
    assert list(rig.restored().iterdir()) == []


@pytest.mark.parametrize("lost", ["piece", "last"])
def test_a_damaged_index_costs_no_piece(rig: Any, lost: str) -> None:
    """The headers of its archive say which file it is of, and which part."""
    large(rig.source / "b", 400_000)
    rig.back_up(archive_bytes=20_000)
    number = pieces(rig)[-1 if lost == "last" else 4].place.archive
    rig.file(f"index-{number:06d}.jsonl.zst").write_bytes(b"gone")
    with Restoration(rig.target) as restoration:
        for archive, wanted in _choices(rig).by_archive():
            found = chosen.entries(rig.volume, (SET, archive, wanted), restoration.lose)
            restoration.take(rig.volume, SET, found, archive)
        assert restoration.finish().failures == []
    assert rig.restored("b").read_bytes() == (rig.source / "b").read_bytes()


def _choices(rig: Any) -> Choices:
    made, last, position = Choices(rig.spool / "choices.zst"), 0, 0
    for entry in rig.log.entries:
        position = position + 1 if entry.place.archive == last else 0
        last = entry.place.archive
        made.add(Choice(last, position, raw(entry.path), entry.blake3 or b""))
    made.end()
    return made


def test_the_longest_names_and_names_of_any_bytes_can_be_cut(rig: Any) -> None:
    """The name of a piece is never longer than a file system takes, and its entry is read back as it was."""
    for name in (b"x" * 255, b"\xff\xfe", b"new\nline"):
        large(Path(os.fsdecode(os.fsencode(rig.source) + b"/" + name)), 400_000)
    rig.back_up(archive_bytes=20_000, compression="none")
    assert all(from_json(json.loads(to_line(entry))) == entry for entry in rig.log.entries)
    if shutil.which("tar"):
        rig.target.mkdir()
        for archive in rig.log.archives:
            subprocess.run(["tar", "-xf", rig.file(archive.name), "-C", rig.target], check=True)
        shutil.rmtree(rig.target)
    assert rig.restore().failures == []
    assert rig.differences() == []


@pytest.mark.parametrize("empty", [False, True])
def test_a_restore_that_is_broken_off_between_pieces_goes_on(rig: Any, empty: bool) -> None:
    """With the pieces that are there; in an emptied folder, from the first."""
    large(rig.source / "b", 400_000)
    rig.back_up(archive_bytes=20_000, compression="none")
    numbers = [archive.number for archive in rig.log.archives]
    state = rig.spool / "there.sqlite"

    def go_on(until: int) -> list[int]:
        with Restoration(rig.target, state=state) as restoration:
            read = [number for number in numbers[:until] if not restoration.is_done(SET, number)]
            for number in read:
                restoration.take(rig.volume, SET, entries_on(rig.volume, SET, archives=[number]), number)
                restoration.archive_done()
            if until == len(numbers):
                assert restoration.finish().failures == []
        return read

    assert go_on(7) == numbers[:7]
    if empty:
        shutil.rmtree(rig.target)
    assert go_on(len(numbers)) == (numbers if empty else numbers[7:])
    assert rig.differences() == []
    assert go_on(len(numbers)) == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sizes=st.lists(st.integers(0, 200_000), min_size=1, max_size=4), capacity=st.integers(90_000, 300_000))
def test_whatever_the_sizes_nothing_is_lost(
    new_rig: Callable[[], Any], sizes: list[int], capacity: int
) -> None:
    """Files of any size on tapes of any size: all come back from the tapes."""
    rig = new_rig()
    for number, size in enumerate(sizes):
        (rig.source / f"f{number}").write_bytes(os.urandom(size))
    tapes = span(rig, capacity, compression="none", archive_bytes=15_000)
    assert rig.log.warnings == []
    assert restore(rig, tapes).failures == []
    assert rig.differences() == []


def test_a_file_in_pieces_is_put_beside_one_that_exists(rig: Any) -> None:
    """Whatever that is: it is not touched, and the next restore takes the next name."""
    large(rig.source / "big.bin", 400_000)
    rig.back_up(archive_bytes=20_000, compression="none")
    rig.restored().mkdir(parents=True)
    rig.restored("big.bin").mkdir()
    for name in ("big.restored-1.bin", "big.restored-2.bin"):
        report = rig.restore(beside=True)
        assert (report.failures, report.differing) == ([], [])
        assert [name for _, name in report.beside] == [name]
        assert rig.restored(name).read_bytes() == (rig.source / "big.bin").read_bytes()
    assert rig.restored("big.bin").is_dir()
    assert not list(rig.target.rglob(".tapeline-*"))
