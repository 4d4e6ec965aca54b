"""TapeAlert: warnings that a drive reports unasked (SSC, log page 2Eh), by flag number from 1."""

from __future__ import annotations

FLAGS = (
    "Read warning",
    "Write warning",
    "Hard error",
    "Media",
    "Read failure",
    "Write failure",
    "Media life",
    "Not data grade",
    "Write protect",
    "No removal",
    "Cleaning media",
    "Unsupported format",
    "Recoverable mechanical cartridge failure",
    "Unrecoverable mechanical cartridge failure",
    "Memory chip in cartridge failure",
    "Forced eject",
    "Read only format",
    "Tape directory corrupted on load",
    "Nearing media life",
    "Cleaning required",
    "Cleaning requested",
    "Expired cleaning media",
    "Invalid cleaning tape",
    "Retension requested",
    "Dual port interface error",
    "Cooling fan failing",
    "Power supply failure",
    "Power consumption",
    "Drive maintenance",
    "Hardware A",
    "Hardware B",
    "Interface",
    "Eject media",
    "Microcode update fail",
    "Drive humidity",
    "Drive temperature",
    "Drive voltage",
    "Predictive failure",
    "Diagnostics required",
)
"""The names that sg_logs prints; later flags have no use in a drive without a changer."""
LATER = {
    50: "Lost statistics",
    51: "Tape directory invalid at unload",
    52: "Tape system area write failure",
    53: "Tape system area read failure",
    54: "No start of data",
    55: "Loading failure",
    56: "Unrecoverable unload failure",
    58: "Firmware failure",
    59: "WORM medium - integrity check failed",
    60: "WORM medium - overwrite attempted",
}


def names_of(bits: int) -> tuple[str, ...]:
    """The flags that are set in LTFS's ``mediaStorageAlert``: flag n is bit n - 1."""
    return tuple(_name(flag) for flag in range(1, 65) if bits >> (flag - 1) & 1)


def _name(flag: int) -> str:
    if flag <= len(FLAGS):
        return FLAGS[flag - 1]
    return LATER.get(flag, f"Flag {flag}")
