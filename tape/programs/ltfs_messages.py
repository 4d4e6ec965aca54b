"""Messages of LTFS programs: ``LTFSnnnnn[EIWD] text``. An ``E`` line is not a failure by itself."""

from __future__ import annotations

import re

_LINE = re.compile(r"\b(?:LTFS)?(\d{5}[EIWD])\b[: \t]*(.*?)\s*$", re.MULTILINE)

FORMATTED = "15024I"
UUID = "15013I"
HAS_A_FORMAT = "15047E"
WRITE_PROTECTED = "11095E"
NOT_PARTITIONED = "17168E"
NOT_CLEANLY_UNMOUNTED = "11220E"
CONSISTENT = "16022I"
FAILED = frozenset({"15047E", "11095E", "12016E", "17168E", "60086E", "60201E"})
"""Has a format, write-protected, no medium, not partitioned, in use elsewhere, busy. 60233E is none of them:
it reports an odd state, and the label must be read."""
NEEDS_DEEP_RECOVERY = frozenset({"17146E", "17148E"})
"""The end of the data is not marked on the tape: ``ltfsck --deep-recovery`` looks for it."""
UNSPECIFIC = frozenset({"14013E", "11027E", "11009E", "15023E", "16021E", "16080E", "16087E"})
"""A failure whose reason an earlier message has given."""
NO_DEVICE = frozenset({"10004E", "12012E", "15009E", "16011E"})
NO_MOUNT_POINT = frozenset({"14094E", "14123W"})
"""The folder is missing, in use, or not empty; the last comes with return code 0."""

_HELD = re.compile(r"LTFS30210I.*\(16\)")
"""The device is open in another program (EBUSY)."""


def codes(output: str) -> list[str]:
    """The codes of all messages, in order, without ``LTFS``."""
    return [code for code, _ in _LINE.findall(output)]


def outcome(output: str) -> bool | None:
    """Whether the last known message of a format reports success; None if there is none."""
    known = [code for code in codes(output) if code == FORMATTED or code in FAILED]
    return known[-1] == FORMATTED if known else None


def is_held(output: str) -> bool:
    """Whether another program was using the device."""
    return bool(_HELD.search(output))


def reason(output: str) -> str:
    """The last error with a reason, for an operator; the last line of the output if there is none."""
    errors = [(code, f"LTFS{code} {text}") for code, text in _LINE.findall(output) if code.endswith("E")]
    specific = [text for code, text in errors if code not in UNSPECIFIC | {"17148E"}]
    lines = output.strip().splitlines()
    return (specific or [text for _, text in errors] or lines or ["-"])[-1]
