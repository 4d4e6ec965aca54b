"""The virtual drive beside what every drive does: its folders, its damage, its plans, its speed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import UsageError
from tape.drive import Health, MediumState
from tape.errors import DriveBusy, DriveError, NoMedium, NotMountable, SealFailed, TapeFull
from tape.virtual import record as virtual_record
from tape.virtual.drive import (
    VirtualDrive,
    insert,
    new_cartridge,
    remove,
    set_faults,
)
from tape.virtual.faults import (
    POSSIBLE,
    WAITS,
    Fault,
    take,
)
from tape.virtual.record import DamagedRecord, Record, VolumeRecord
from tape.virtual.shelf import barcodes

BARCODE = "TAPE01L8"


@pytest.fixture
def drive(tmp_path: Path) -> VirtualDrive:
    """A drive with a formatted cartridge with the sealed file ``folder/file``."""
    new_cartridge(tmp_path, BARCODE, capacity=1_000_000)
    insert(tmp_path, BARCODE)
    drive = VirtualDrive("tape", tmp_path)
    assert drive.format("TP20261101").return_code == 0
    store(drive, "folder/file")
    return drive


def store(drive: VirtualDrive, name: str, data: bytes = b"data") -> None:
    with drive.mount() as volume:
        file = volume.create(name)
        file.write(data)
        file.close()


def cartridge(drive: VirtualDrive) -> Path:
    return drive.path / "cartridges" / BARCODE


def change(drive: VirtualDrive, **values: Any) -> None:
    path = cartridge(drive) / "cartridge.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, **values}))


def damage_json(drive: VirtualDrive) -> None:
    path = cartridge(drive) / "cartridge.json"
    path.write_text(path.read_text()[:-20])


DAMAGE = {
    "cut off": damage_json,
    "empty": lambda drive: (cartridge(drive) / "cartridge.json").write_text(""),
    "a list": lambda drive: (cartridge(drive) / "cartridge.json").write_text("[]"),
    "not text": lambda drive: (cartridge(drive) / "cartridge.json").write_bytes(b"\xff\xfe\x00"),
    "gone": lambda drive: (cartridge(drive) / "cartridge.json").unlink(),
    "another version": lambda drive: change(drive, version=2),
    "an unknown key": lambda drive: change(drive, colour="red"),
    "a size that is none": lambda drive: change(drive, capacity="big"),
    "a negative size": lambda drive: change(drive, loads=-1),
    "an odd switch": lambda drive: change(drive, write_protected="no"),
    "an odd volume": lambda drive: change(drive, volume={}),
    "an odd fault": lambda drive: change(drive, faults=[{"at": "lunch", "error": "eio"}]),
    "another barcode": lambda drive: change(drive, barcode="OTHER1L8"),
    "a format begun": lambda drive: change(drive, formatting=True),
    "files but blank": lambda drive: change(drive, volume=None),
    "no volume folder": lambda drive: (drive.path / "cartridges" / BARCODE / "volume").rename(
        drive.path / "x"
    ),
    "a file gone": lambda drive: (cartridge(drive) / "volume/folder/file").unlink(),
    "a file shorter": lambda drive: (cartridge(drive) / "volume/folder/file").write_bytes(b"dat"),
    "a file longer": lambda drive: (cartridge(drive) / "volume/folder/file").write_bytes(b"data!"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_never_blank(drive: VirtualDrive, damage: Any) -> None:
    """A damaged cartridge is unreadable, not blank, and it is not mounted."""
    damage(drive)
    medium = drive.look()
    assert medium.state is MediumState.UNREADABLE
    assert (medium.label, medium.volume_uuid) == (None, None)
    with pytest.raises(NotMountable) as refused, drive.mount():
        raise AssertionError("mounted")
    assert refused.value.remedy
    drive.eject()
    assert drive.load(BARCODE).state is MediumState.UNREADABLE


def test_a_damaged_cartridge_has_no_health(drive: VirtualDrive) -> None:
    """Nothing is known of the condition of a damaged cartridge."""
    damage_json(drive)
    assert drive.health() == Health()


@pytest.mark.parametrize(
    "content", ["", "{}", '{"version": 1, "loaded": "../x"}', '{"version": 9, "loaded": null}']
)
def test_a_drive_that_does_not_know(drive: VirtualDrive, content: str) -> None:
    """A drive whose own file is damaged does not say that it is empty; loading a cartridge heals it."""
    (drive.path / "drive.json").write_text(content)
    with pytest.raises(DriveError, match="not known"):
        drive.look()
    assert drive.load(BARCODE).label == "TP20261101"


def test_unsealed_files_are_put_aside(drive: VirtualDrive) -> None:
    """What a crash left on a volume is moved aside at the next mount, and its room stays used."""
    volume = cartridge(drive) / "volume"
    free = drive.look().free
    assert free is not None
    for name in ("folder/lost", "other/deep/lost"):
        (volume / name).parent.mkdir(parents=True, exist_ok=True)
        (volume / name).write_bytes(b"x" * 100)
    with drive.mount(read_only=True) as mounted:
        assert mounted.names() == ["folder"]
        assert mounted.names("folder") == ["file"]
    assert (cartridge(drive) / "lost/1/folder/lost").read_bytes() == b"x" * 100
    assert (cartridge(drive) / "lost/1/other/deep/lost").exists()
    assert drive.look().free == free - 200
    (volume / "again").write_bytes(b"")
    with drive.mount():
        pass
    assert (cartridge(drive) / "lost/2/again").exists()


def test_a_format_removes_what_was_put_aside(drive: VirtualDrive) -> None:
    """A format leaves nothing of what was on the cartridge."""
    (cartridge(drive) / "volume" / "left").write_bytes(b"x")
    with drive.mount():
        pass
    assert drive.format("TP20261102").return_code == 0
    assert not (cartridge(drive) / "lost").exists()
    assert list((cartridge(drive) / "volume").iterdir()) == []


def test_formats_are_counted(drive: VirtualDrive) -> None:
    """Each format makes the next generation, also after one that was cut off."""
    set_faults(drive.path, BARCODE, [{"at": "format", "error": "half"}])
    assert drive.format("TP20261102").return_code == 1
    assert drive.format("TP20261102").return_code == 0
    record = virtual_record.read(cartridge(drive))
    assert record.volume
    assert record.volume.generation == 2


def test_each_seal_writes_an_index(drive: VirtualDrive) -> None:
    """A seal counts up the generation of the index; a mount that wrote nothing leaves it."""
    before = index(drive).index_generation
    with drive.mount():
        pass
    assert index(drive).index_generation == before
    with drive.mount() as volume:
        volume.create("a").close()
        volume.seal()
        assert index(drive).files == {"folder/file": 4, "a": 0}
        volume.create("b").close()
    assert index(drive).index_generation == before + 2


def index(drive: VirtualDrive) -> VolumeRecord:
    volume = virtual_record.read(cartridge(drive)).volume
    assert volume
    return volume


def test_the_end_of_the_tape_is_remembered_at_once(drive: VirtualDrive) -> None:
    """Where the tape was found to end is on the cartridge before the next seal, in case there is none."""
    set_faults(drive.path, BARCODE, [{"at": "write", "error": "full"}])
    with drive.mount() as volume:
        with pytest.raises(TapeFull):
            volume.create("a").write(b"x")
        assert drive.look().free == 0


def test_a_record_that_is_lost_under_a_mount(drive: VirtualDrive) -> None:
    """If the record is gone while the volume is mounted, the seal fails: nothing counts without it."""
    with pytest.raises(SealFailed, match="damaged"):
        lose_the_record(drive)


def lose_the_record(drive: VirtualDrive) -> None:
    with drive.mount() as volume:
        volume.create("a").close()
        damage_json(drive)


def test_a_tape_takes_its_time(tmp_path: Path) -> None:
    """Writes pass at the speed of the tape, whatever their sizes."""
    new_cartridge(tmp_path, BARCODE, capacity=1_000_000, speed=200_000)
    insert(tmp_path, BARCODE)
    drive = VirtualDrive("tape", tmp_path)
    drive.format("TP20261101")
    with drive.mount() as volume:
        file = volume.create("file")
        started = time.monotonic()
        for size in (1, 10_000, 49_999, 40_000):
            file.write(b"x" * size)
        assert 0.5 <= time.monotonic() - started < 5
        file.close()


def test_insert_changes_the_cartridge(drive: VirtualDrive) -> None:
    """Inserting a cartridge puts the one before back on the shelf, and counts a load of the new one."""
    new_cartridge(drive.path, "TAPE02L8", capacity=1000)
    assert drive.load("TAPE02L8").barcode == "TAPE02L8"
    assert drive.load("TAPE02L8").barcode == "TAPE02L8"
    assert drive.health().loads == 1
    assert drive.load(BARCODE).label == "TP20261101"
    assert barcodes(drive.path) == ["TAPE01L8", "TAPE02L8"]


def test_load_finds_a_cartridge_by_what_it_is_called(drive: VirtualDrive) -> None:
    """By label, serial or barcode; a barcode means that one; of two with one label none is guessed."""
    for barcode, label in (("ONE", "FIRST"), ("TWO", "SECOND"), ("FIRST", "THIRD")):
        new_cartridge(drive.path, barcode, capacity=1000)
        insert(drive.path, barcode)
        drive.format(label, serial=f"S{label[:5]}")
    assert drive.load("SECOND").barcode == "TWO"
    assert drive.load("STHIRD").barcode == drive.load("FIRST").barcode == "FIRST"
    drive.format("SECOND")
    assert drive.load("SECOND").barcode == "FIRST"
    loads = drive.health().loads
    assert drive.load("SECOND").barcode == "FIRST"
    assert drive.health().loads == loads
    drive.load("ONE")
    with pytest.raises(NoMedium, match="SECOND: FIRST, TWO"):
        drive.load("SECOND")
    assert drive.look().barcode == "ONE"


def test_nobody_changes_a_mounted_cartridge(drive: VirtualDrive) -> None:
    """While a volume is mounted its cartridge is neither taken out nor replaced."""
    new_cartridge(drive.path, "TAPE02L8", capacity=1000)
    with drive.mount():
        with pytest.raises(DriveBusy):
            insert(drive.path, "TAPE02L8")
        with pytest.raises(DriveBusy):
            remove(drive.path)
    assert drive.look().barcode == BARCODE


def test_a_new_drive_is_empty(tmp_path: Path) -> None:
    """A drive whose folder is not there yet is an empty drive with no cartridges, and nothing is made."""
    drive = VirtualDrive("tape", tmp_path / "new")
    assert drive.look().state is MediumState.NO_MEDIUM
    assert drive.health() == Health()
    assert barcodes(drive.path) == []
    for barcode in (None, "TAPE01L8", ".."):
        with pytest.raises(NoMedium):
            drive.load(barcode)
    with pytest.raises(NoMedium), drive.mount():
        raise AssertionError("mounted")
    drive.eject()
    assert not drive.path.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"barcode": BARCODE},
        {"barcode": "../x"},
        {"barcode": ""},
        {"barcode": "a/b"},
        {"capacity": 0},
        {"speed": 0},
        {"format_seconds": -1},
    ],
)
def test_a_cartridge_that_cannot_be(drive: VirtualDrive, wrong: dict[str, Any]) -> None:
    """A barcode that is taken or breaks the rule, or a size of nought, is refused and changes nothing."""
    before = drive.look()
    with pytest.raises(UsageError) as refused:
        new_cartridge(drive.path, **{"barcode": "TAPE02L8", "capacity": 1000, **wrong})
    assert refused.value.remedy
    assert (barcodes(drive.path), drive.look()) == ([BARCODE], before)


@pytest.mark.parametrize(
    "fault",
    [
        {"at": "lunch", "error": "eio"},
        {"at": "look", "error": "full"},
        {"at": "write"},
        {"at": "write", "error": "full", "colour": "red"},
        {"at": "write", "error": "full", "nth": 1, "after_bytes": 1},
        {"at": "close", "error": "full", "after_bytes": 1},
        {"at": "write", "error": "full", "nth": -1},
        {"at": "look", "error": "hang"},
        {"at": "write", "error": "full", "seconds": 1},
    ],
)
def test_a_plan_that_cannot_be(drive: VirtualDrive, fault: dict[str, Any]) -> None:
    """A fault that cannot come is refused, not ignored."""
    with pytest.raises(UsageError):
        set_faults(drive.path, BARCODE, [fault])
    assert virtual_record.read(cartridge(drive)).faults == []


def test_a_plan_is_used_up_across_processes(drive: VirtualDrive) -> None:
    """What has come is crossed off on the cartridge, so that another process does not see it again."""
    set_faults(drive.path, BARCODE, [{"at": "look", "error": "unreadable", "nth": 2, "times": 2}])
    states = [VirtualDrive("tape", drive.path).look().state for _ in range(4)]
    unreadable, formatted = MediumState.UNREADABLE, MediumState.FORMATTED
    assert states == [formatted, unreadable, unreadable, formatted]
    assert virtual_record.read(cartridge(drive)).faults == []


@given(nth=st.integers(1, 20), times=st.integers(1, 20))
def test_a_fault_comes_from_its_turn_on(nth: int, times: int) -> None:
    """A fault comes at its turn and as many times in a row as it says, and never again."""
    plan = [Fault("seal", "eio", nth=nth, times=times)]
    came = [take(plan, "seal") is not None for _ in range(50)]
    assert [turn for turn, it in enumerate(came, 1) if it] == list(range(nth, nth + times))


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    at = draw(st.sampled_from(sorted(POSSIBLE)))
    error = draw(st.sampled_from(sorted(POSSIBLE[at])))
    seconds = draw(st.floats(0, 100)) if error in WAITS else None
    return Fault(at, error, nth=draw(st.none() | st.integers(1)), times=draw(st.integers(1)), seconds=seconds)


sizes = st.integers(0, 2**63)
TEXTS = st.text(
    st.characters(categories=["L", "P", "Cs"])
)  # with lone surrogates, as names that are no UTF-8 have
volumes = st.builds(
    VolumeRecord,
    label=TEXTS,
    serial=st.none() | st.text(),
    uuid=st.uuids().map(str),
    generation=sizes,
    used=sizes,
    read_only=st.booleans(),
    files=st.dictionaries(TEXTS, sizes, max_size=5),
)
records = st.builds(
    Record,
    barcode=st.text(),
    medium_serial=st.text(),
    capacity=sizes,
    speed=st.none() | st.integers(1),
    format_seconds=st.floats(0, 1e6),
    write_protected=st.booleans(),
    volume=st.none() | volumes,
    faults=st.lists(faults(), max_size=3),
)


@given(record=records)
def test_a_record_is_read_as_it_was_written(record: Record, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every record comes back from its file as it was."""
    folder = tmp_path_factory.mktemp("cartridge")
    virtual_record.write(folder, record)
    assert virtual_record.read(folder) == record


@given(cut=st.integers(0, 300))
def test_a_record_that_is_cut_off(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A record that is cut off anywhere is damaged, and never another record."""
    folder = tmp_path_factory.mktemp("cartridge")
    virtual_record.write(folder, Record("B", "M", 1, volume=VolumeRecord("L", None, "U", 1)))
    path = folder / virtual_record.FILE
    content = path.read_bytes()
    path.write_bytes(content[: min(cut, len(content) - 1)])
    with pytest.raises(DamagedRecord):
        virtual_record.read(folder)
