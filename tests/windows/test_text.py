"""What Windows and its LTFS print, in both languages and in the console's code page."""

from __future__ import annotations

import codecs

import pytest

from tape.ltfs_windows.label import (
    STATES,
    AssignedDrive,
    Label,
    of_drives,
    of_fsutil,
    of_vol,
)
from tape.programs import ltfs_messages

ENGLISH = "Volume Name : TP20251101\r\nVolume Serial Number : 0x34dcb82c\r\nFile System Name : LTFS\r\n"
CHINESE = "卷名 : TP20251101\r\n卷序列号 : 0x58026a50\r\n文件系统名 : LTFS\r\n"


def in_code_page_936(text: str) -> str:
    """As it comes from a Chinese console and is decoded again."""
    return codecs.getincrementaldecoder("cp936")("replace").decode(text.encode("cp936"), final=True)


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, in_code_page_936(CHINESE)])
def test_fsutil(text: str) -> None:
    """Name and file system are read in English and in Chinese."""
    assert of_fsutil(text) == Label("TP20251101", "LTFS")


def test_fsutil_without_a_label_or_an_answer() -> None:
    """A volume without a name has no label; an error text is no volume."""
    assert of_fsutil("Volume Name : \nFile System Name : LTFS\n") == Label(None, "LTFS")
    assert of_fsutil("Error 21: The device is not ready.") is None
    assert of_fsutil(in_code_page_936("错误:  设备未就绪。")) is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (" Volume in drive O is TP20251101\n Volume Serial Number is 34DC-B82C\n", Label("TP20251101")),
        (" 驱动器 O 中的卷是 TP20251101\n 卷的序列号是 5802-6A50\n", Label("TP20251101")),
        (" 驱动器 O 中的卷是 磁带2026甲\n", Label("磁带2026甲")),
        (" Volume in drive O has no label.\n", Label(None)),
        (" 驱动器 O 中的卷没有标签。\n", Label(None)),
        ("The system cannot find the path specified.\n", None),
        ("系统找不到指定的路径。\n", None),
    ],
)
def test_vol(text: str, label: Label | None) -> None:
    """A label, no label, and no volume are three things, in both languages."""
    assert of_vol(text) == label
    assert of_vol(in_code_page_936(text)) == label


def test_the_list_of_drives() -> None:
    """Each drive with its letter, if it has one; heads and chatter are no drives."""
    text = (
        "Assigned Address   Serial     Status\n"
        "O:       00.05.00  1068000123 LTFS_MEDIA\n"
        "         01.05.00  1068000456 NO_MEDIA\n"
        "LTFS60201E something\n"
    )
    assert of_drives(text) == [
        AssignedDrive("O", "00.05.00", "1068000123", "LTFS_MEDIA"),
        AssignedDrive(None, "01.05.00", "1068000456", "NO_MEDIA"),
    ]


@pytest.mark.parametrize("status", STATES)
def test_every_status_is_known(status: str) -> None:
    """The states that LtfsCmdDrives prints."""
    assert [drive.status for drive in of_drives(f"O 00.05.00 1068000123 {status}")] == [status]


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("LTFS15024I Medium formatted successfully.", True),
        ("LTFS60233E Invalid state.\nLTFS15024I Medium formatted successfully.", True),
        ("LTFS60233E Invalid state.", None),
        ("LTFS15047E Medium is already formatted (0).", False),
        ("LTFS11095E Cannot format: the medium is write protected.", False),
        ("LTFS12016E", False),
        ("60086E: The drive is in use.", False),
        ("60201E: busy", False),
        ("", None),
    ],
)
def test_a_format_is_told_by_its_last_known_message(output: str, says: bool | None) -> None:
    """Done, not done, or not said: then the label that is read back decides alone."""
    assert ltfs_messages.outcome(output) is says
