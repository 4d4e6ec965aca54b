"""The cartridge's memory chip (MAM) as ``sg_read_attr`` prints it."""

from __future__ import annotations

import re
from dataclasses import dataclass

MIB = 1024 * 1024

LABEL = "User medium text label"
BARCODE = "Barcode"
MEDIUM_SERIAL = "Medium serial number"
REMAINING = "Remaining capacity in partition [MiB]"
MAXIMUM = "Maximum capacity in partition [MiB]"
LOADS = "Load count"
WRITTEN = "Total MiB written in medium life"
APPLICATION = "Application name"
VENDOR = "Application vendor"
CHANGE = "Volume change reference"
COHERENCY = "Volume coherency information"
LOCK = "Vendor specific host attribute 0x1623"

_ATTRIBUTE = re.compile(r"  (\S[^:]*):\s?(.*)")
_BYTES = re.compile(r" [0-9a-f]+ {5}((?:[0-9a-f]{2} {1,2})*[0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Coherency:
    """LTFS's record on the chip, which it writes with each index."""

    generation: int
    """Generation of the index: 1 is the empty one that the format wrote."""
    volume_uuid: str
    change: int
    """The medium's change reference at that time: if it differs now, something was written since."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of one partition, by the names of ``sg_read_attr``."""

    texts: dict[str, str]
    blobs: dict[str, bytes]

    def text(self, name: str) -> str | None:
        """A text, or None if the chip has none."""
        return self.texts.get(name) or None

    def number(self, name: str) -> int | None:
        """A number, or None if the chip does not report it; -1 is a chip's way to report "not known"."""
        value = self.texts.get(name, "")
        return int(value) if value.isdecimal() else None

    def size(self, name: str) -> int | None:
        """Bytes, from an attribute in MiB."""
        number = self.number(name)
        return None if number is None else number * MIB

    @property
    def coherency(self) -> Coherency | None:
        """LTFS's record here; None if it never wrote one."""
        return _coherency(self.blobs.get(COHERENCY, b""))

    @property
    def change(self) -> int | None:
        """The medium's change reference, which changes with each write; None: the chip does not report it."""
        text = self.texts.get(CHANGE, "")
        return int(text, 16) if text else None

    @property
    def is_current(self) -> bool:
        """Whether nothing was written here since LTFS wrote its last index."""
        written = self.coherency
        return written is not None and self.change == written.change

    @property
    def lock(self) -> int:
        """The lock state of the volume: 0 is none; 1 and 3 were set on purpose; 2, 4, 5 and 6 mean that a
        write failed (in either partition, the data, the index, both)."""
        return int.from_bytes(self.blobs.get(LOCK, b""), "big")


def parse(output: str) -> Attributes:
    """Read the output of ``sg_read_attr``; a missing attribute was not reported."""
    texts: dict[str, str] = {}
    blobs: dict[str, bytes] = {}
    name = ""
    for line in output.splitlines():
        attribute, dump = _ATTRIBUTE.fullmatch(line), _BYTES.match(line)
        if attribute:
            name = attribute[1]
            texts[name] = attribute[2].strip()
        elif dump and name:
            blobs[name] = blobs.get(name, b"") + bytes.fromhex(dump[1])
    return Attributes(texts, blobs)


def _coherency(data: bytes) -> Coherency | None:
    """SPC-5: a length and that many bytes, count and place (8 bytes each), a length and the client's own
    bytes."""
    if not data:
        return None
    change, rest = data[1 : 1 + data[0]], data[1 + data[0] :]
    count, client = rest[:8], rest[18:]
    if len(count) < 8 or client[:5] != b"LTFS\0":
        return None
    uuid = client[5:41].decode("ascii", "replace")
    return Coherency(int.from_bytes(count, "big"), uuid, int.from_bytes(change, "big"))
