"""What a changer tells of its drives, as sg_raw receives it (SMC-3, READ ELEMENT STATUS)."""

from __future__ import annotations

import pytest

from tape.mtx import identities

WITHOUT_TAGS = """
01 00 00 03 00 00 00 9e  04 00 00 32 00 00 00 96
01 00 08 00 00 00 00 00  00 00 00 00 02 01 00 22
49 42 4d 20 20 20 20 20  55 4c 54 33 35 38 30 2d
54 44 39 20 20 20 20 20  31 30 57 54 30 30 30 30
30 31 01 01 08 00 00 00  00 00 00 00 00 00 02 01
00 22 49 42 4d 20 20 20  20 20 55 4c 54 52 49 55
4d 2d 48 48 39 2d 58 58  58 58 31 30 57 54 30 30
30 30 30 32 01 02 08 00  00 00 00 00 00 00 00 00
00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00
00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00
00 00 00 00 00 00
"""
"""Three drives: one; one whose model fills its field; one of which the changer tells nothing."""
SERIAL_ONLY = """
01 00 00 01 00 00 00 4a  04 80 00 42 00 00 00 42
01 00 09 00 00 00 00 00  00 80 10 03 54 50 30 30
30 31 4c 39 20 20 20 20  20 20 20 20 20 20 20 20
20 20 20 20 20 20 20 20  20 20 20 20 00 00 00 00
02 00 00 0a 31 30 57 54  30 30 30 30 30 31 00 00
00 00
"""
"""One drive with a cartridge and its volume tag; the identifier is the serial number."""


def test_each_drive_is_named_by_its_number() -> None:
    found = identities.parse(bytes.fromhex(WITHOUT_TAGS))
    assert found == {0: "IBM ULT3580-TD9 10WT000001", 1: "IBM ULTRIUM-HH9-XXXX 10WT000002"}
    assert identities.parse(bytes.fromhex(SERIAL_ONLY)) == {0: "10WT000001"}
    assert identities.parse(b"") == {}


@pytest.mark.parametrize(
    ("told", "serial", "is_it"),
    [
        ("IBM ULT3580-TD9 10WT000001", "10WT000001", True),
        ("10WT000001", "10WT000001", True),
        ("/lib/my drives/tape0", "/lib/my drives/tape0", True),
        ("IBM ULT3580-TD9 10WT000001", "10WT000002", False),
        ("IBM ULT3580-TD9 10WT000001", "T000001", False),
        ("IBM ULT3580-TD9 10WT000001", "ULT3580-TD9", False),
        ("IBM ULT3580-TD9 10WT000001", "", False),
    ],
)
def test_only_the_whole_serial_number_proves_a_drive(told: str, serial: str, is_it: bool) -> None:
    """The end of a longer one is another drive's, and the model is every drive's."""
    assert identities.names(told, serial) is is_it
