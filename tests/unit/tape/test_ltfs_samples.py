"""What real LTFS programs print, and what is made of it. Every sample is used here or by the stand-ins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tape.ltfs import mam, mounts
from tape.programs import ltfs_messages
from tests.ltfs import samples

CASES = {
    "mkltfs_ok": (0, "15024I"),
    "mkltfs_force_ok": (0, "15024I"),
    "mkltfs_already_formatted": (16, "15047E"),
    "mkltfs_bad_name": (16, "15031E"),
    "mkltfs_bad_serial_len": (16, "15029E"),
    "mkltfs_bad_serial_char": (16, "15030E"),
    "mkltfs_no_device_arg": (16, "15026E"),
    "mkltfs_no_such_device": (8, "15009E"),
    "mkltfs_write_protected": (16, "11095E"),
    "mkltfs_wipe_ok": (1, "15040I"),
    "ltfsck_consistent": (1, "16022I"),
    "ltfsck_list": (0, "11031I"),
    "ltfsck_blank": (4, "17168E"),
    "ltfsck_no_such_device": (8, "16011E"),
    "ltfs_mount_ok": (0, "11031I"),
    "ltfs_mount_write_protected": (0, "14019I"),
    "ltfs_mount_blank": (1, "17168E"),
    "ltfs_mount_already_mounted": (1, "11220E"),
    "ltfs_mount_no_such_device": (1, "10004E"),
    "ltfs_mount_no_mountpoint": (1, "14094E"),
    "device_list": (1, "14000I"),
    "sg_read_attr_all": (0, None),
    "sg_read_attr_label": (0, None),
    "sg_read_attr_cn": (0, None),
    "sg_read_attr_nodev": (52, None),
}
"""Of each case: the return code, and the message that says what happened."""

FILES = {"df.txt", "proc_mounts_ro.txt", "proc_mounts_rw.txt", "xattr_file.txt", "xattr_info.txt"}


def test_every_sample_is_used() -> None:
    """A sample that is added has to be looked at; one that is gone is missed."""
    assert samples.cases() == set(CASES)
    assert samples.files() == FILES


@pytest.mark.parametrize(("name", "code", "message"), [(name, *case) for name, case in CASES.items()])
def test_the_messages_of_every_case_are_read(name: str, code: int, message: str | None) -> None:
    """The return code is what was captured, and the message that decides is found among all others."""
    sample = samples.load(name)
    assert sample.return_code == code
    found = ltfs_messages.codes(sample.output)
    assert (message in found) if message else not found


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mkltfs_write_protected", "LTFS15023"),
        ("mkltfs_bad_name", "LTFS15002E"),
        ("ltfsck_blank", "LTFS16080E"),
        ("ltfs_mount_blank", "LTFS14013E"),
        ("sg_read_attr_nodev", "No such file or directory"),
    ],
)
def test_a_failure_has_a_reason(name: str, says: str) -> None:
    """The last error that a program told is what an operator reads."""
    output = samples.load(name).output
    assert says in ltfs_messages.reason(output) or says in output.splitlines()[-1]


def test_a_held_device_is_known() -> None:
    """The user's report of a drive that another program holds."""
    line = "LTFS30210I Opening a device through sg-ibmtape driver: failed to open /dev/sg3 (16)"
    assert ltfs_messages.is_held(line)
    assert not ltfs_messages.is_held(samples.load("mkltfs_no_such_device").output)


def test_the_chip_is_read() -> None:
    """Label, serial numbers, room, generation and lock come from the attributes of the chip."""
    chip = mam.parse(samples.load("sg_read_attr_all").stdout)
    assert chip.text(mam.LABEL) == "TP20261101"
    assert chip.text(mam.BARCODE) == "TP1101"
    assert chip.text(mam.MEDIUM_SERIAL) == "AE2101170123"
    assert chip.text("Media pool") is None
    assert (chip.number(mam.LOADS), chip.lock) == (7, 0)
    assert chip.size(mam.REMAINING) == 1100000 * 1024 * 1024
    assert chip.coherency == mam.Coherency(1, "0d73c017-4f71-469f-9805-83f61905cfd0", 1)
    assert chip.is_current


def test_a_chip_that_was_written_since() -> None:
    """Another change reference than the index's says that the index is not the newest thing on the tape."""
    text = samples.load("sg_read_attr_all").stdout.replace("reference: 0x1", "reference: 0x2f")
    assert not mam.parse(text).is_current


def test_a_chip_without_attributes() -> None:
    """What is not there is not known: no label, no index, and nothing that would say that it is current."""
    chip = mam.parse("Attribute values:\n  Load count: -1\n")
    assert (chip.text(mam.LABEL), chip.coherency, chip.is_current) == (None, None, False)
    assert chip.number(mam.LOADS) is None


@pytest.mark.parametrize(("name", "label"), [("label", "TP20261101"), ("cn", "磁带2026甲")])
def test_one_attribute(name: str, label: str) -> None:
    """A label alone, also one in Chinese."""
    assert mam.parse(samples.load(f"sg_read_attr_{name}").stdout).text(mam.LABEL) == label


@pytest.mark.parametrize(("name", "read_only"), [("rw", False), ("ro", True)])
def test_the_table_of_mounts(name: str, read_only: bool) -> None:
    """A mount is found by its device and by its folder, and tells whether it can be written."""
    table = samples.FOLDER / f"proc_mounts_{name}.txt"
    found = mounts.of("/var/lib/tapes/X", table)
    assert found == mounts.LtfsMount("/var/lib/tapes/X", Path("/var/lib/mnt"), read_only)
    assert mounts.at(Path("/var/lib/mnt"), table) == found
    assert mounts.of("/dev/sg3", table) is None


def test_a_mount_with_odd_names(tmp_path: Path) -> None:
    """The kernel writes blanks as octal numbers; other file systems are passed over."""
    table = tmp_path / "mounts"
    table.write_text("tmpfs /tmp tmpfs rw 0 0\nltfs:/dev/sg3 /mnt/my\\040tape\\134x fuse rw 0 0\n")
    assert mounts.of("/dev/sg3", table) == mounts.LtfsMount("/dev/sg3", Path("/mnt/my tape\\x"), False)


def test_the_attributes_of_a_volume_are_those_that_the_driver_reads() -> None:
    """The names that are asked for are names that LTFS has; its capacities are in MiB."""
    lines = (samples.FOLDER / "xattr_info.txt").read_text().split()
    found = dict(line.split("=", 1) for line in lines)
    source = Path("tape/ltfs/medium.py").read_text() + Path("tape/ltfs/volume.py").read_text()
    asked = set(re.findall(r'(?:text|size|number)\((?:\w+, )?"(\w+)"\)', source))
    assert asked - {"mediaMBWritten", "mediaPermanentWriteErrors", "mediaPermanentReadErrors"} <= set(found)
    total = int((samples.FOLDER / "df.txt").read_text().splitlines()[1].split()[1])
    assert total // 1024 // 1024 == int(found["mediaDataPartitionTotalCapacity"])
    assert 'ltfs.startblock="7"' in (samples.FOLDER / "xattr_file.txt").read_text()
