"""Which drive has which number: what the changer itself tells of its drives (SMC-3, READ ELEMENT STATUS,
DVCID)."""

from __future__ import annotations

from collections.abc import Iterator

DRIVES = 4
"""The element type of drives."""
ALLOCATED = 0xFFFF
"""Bytes that the answer may have, as in the command."""
# Drives, from the first element to the last, with their identification.
ASK = ("b8", "04", "00", "00", "ff", "ff", "01", "00", "ff", "ff", "00", "00")
"""The command, as bytes."""

_HEADER, _PAGE, _FIXED, _TAG = 8, 8, 12, 36
_T10 = 1
"""The type of an identifier with maker and model (SPC)."""
_MAKER, _MODEL = 8, 24
"""Where the fields of maker and model end."""
_PRIMARY, _ALTERNATE = 0x80, 0x40


def parse(data: bytes) -> dict[int, str]:
    """What identifies each drive, by its number; none for a drive of which the changer tells nothing.

    The text contains the drive's serial number, alone or behind its maker and model.
    """
    identities = {}
    for number, descriptor in enumerate(_descriptors(data)):
        text = _identity(descriptor)
        if text:
            identities[number] = text
    return identities


def _descriptors(data: bytes) -> Iterator[bytes]:
    """The descriptors of all drives, each as its fixed part and its identification."""
    at = _HEADER
    while at + _PAGE <= len(data):
        kind, flags = data[at], data[at + 1]
        length = int.from_bytes(data[at + 2 : at + 4])
        size = int.from_bytes(data[at + 5 : at + 8])
        tags = _TAG * (bool(flags & _PRIMARY) + bool(flags & _ALTERNATE))
        body = data[at + _PAGE : at + _PAGE + size]
        if kind == DRIVES and length:
            for start in range(0, len(body) - length + 1, length):
                yield body[start + _FIXED + tags : start + length]
        at += _PAGE + size


def _identity(descriptor: bytes) -> str:
    """The identifier: code set, type, a reserved byte, length, text."""
    if len(descriptor) < 4:
        return ""
    kind, text = descriptor[1] & 0x0F, descriptor[4 : 4 + descriptor[3]]
    # Maker, model and serial number in fields of fixed width: a long model leaves no blank before the serial.
    fields = (text[:_MAKER], text[_MAKER:_MODEL], text[_MODEL:]) if kind == _T10 else (text,)
    return " ".join(" ".join(field.decode("ascii", "replace") for field in fields).replace("\0", " ").split())


def names(told: str, serial: str) -> bool:
    """Whether what a changer tells of a drive names the one with this serial number: as a whole, or as the
    last word behind maker and model. The end of a longer number is another drive's."""
    return told == serial or told.split()[-1:] == [serial]
