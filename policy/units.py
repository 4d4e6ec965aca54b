"""Sizes: powers of two as programs count them, decimal units as people write them."""

from __future__ import annotations

import re

MIB = 1 << 20
GIB = 1 << 30
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def size(count: float) -> str:
    """Bytes in decimal units, as tapes are sold: ``1.2 GB``."""
    power = 0
    while round(count, 1) >= 1000 and power < len(_UNITS) - 1:
        count /= 1000
        power += 1
    return f"{count:.{1 if power else 0}f} {_UNITS[power]}"


def rate(bytes_per_second: float) -> str:
    """A speed in the same units: ``148.2 MB/s``."""
    return f"{size(bytes_per_second)}/s"


_WRITTEN = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([kMGTPE]?i?B)?", re.IGNORECASE)


def read_size(text: str) -> int:
    """Bytes as people write them: ``500``, ``1.5 GB``, ``4GiB``. Raises ValueError."""
    found = _WRITTEN.fullmatch(text.strip())
    if not found:
        raise ValueError(text)
    unit = (found[2] or "B").upper()
    power = "BKMGTPE".index(unit[0])
    return round(float(found[1]) * float(1024 if "I" in unit else 1000) ** power)
