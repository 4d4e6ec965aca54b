"""A fault plan: data that defines which operation of a virtual drive or library fails, when and how.

Standard library only, since the format program reads it too.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

POSSIBLE = {
    "look": {"unreadable", "hang", "slow"},
    "mount": {"unreadable", "hang", "slow"},
    "read": {"eio", "unreadable", "hang", "slow"},
    "write": {"full", "eio", "erofs", "hang", "slow"},
    "close": {"full", "eio", "erofs", "hang", "slow"},
    "seal": {"full", "eio", "erofs", "hang", "slow"},
    "format": {"eio", "lie_ok", "lie_error", "half", "wrong_label", "hang", "hang_after", "slow"},
    "status": {"busy", "door", "slow"},
    "inventory": {"busy", "door", "slow"},
    "load": {"busy", "door", "before", "after", "lost", "slow"},
    "unload": {"busy", "door", "before", "after", "lost", "slow"},
    "move": {"busy", "door", "before", "after", "lost", "slow"},
}
"""What can fail where. Of a format: ``eio`` fails and reports it; ``lie_ok`` returns 0 and does nothing;
``lie_error`` formats and returns 1; ``half`` wipes and dies before the label is written; ``wrong_label``
writes another label; ``hang`` does nothing for ``seconds`` and fails; ``hang_after`` formats, then hangs.
Of a robot's move: ``before`` fails and moves nothing, ``after`` moves and fails, ``lost`` keeps the
cartridge."""
WAITS = {"hang", "hang_after", "slow"}


@dataclass
class Fault:
    """One entry of a plan. Without ``after_bytes`` and ``nth`` it occurs at the first occasion.

    ``after_bytes``: for a write, the position on the tape (bytes used since the format); for a read, the
    position in the file, read ahead included. ``nth``: the number of the operation, counted for writes and
    reads since the mount, for all others since the plan was set. ``times``: how often it occurs. ``seconds``:
    its length.
    """

    at: str
    error: str
    after_bytes: int | None = None
    nth: int | None = None
    times: int = 1
    seconds: float | None = None
    seen: int = 0

    def __post_init__(self) -> None:
        if self.error not in POSSIBLE.get(self.at, set()):
            raise ValueError(f"no fault '{self.error}' at '{self.at}'")
        if self.after_bytes is not None and (self.nth is not None or self.at not in {"read", "write"}):
            raise ValueError("'after_bytes' goes with a read or a write, and not with 'nth'")
        if (self.error in WAITS) != (self.seconds is not None):
            raise ValueError("'seconds' goes with 'hang', 'hang_after' and 'slow'")
        for number in (self.after_bytes, self.nth, self.times, self.seconds, self.seen):
            if number is not None and number < 0:
                raise ValueError("a number in a fault is not negative")

    def is_due(self, calls: int, position: int, size: int) -> bool:
        """Whether it occurs now: at this call, with ``size`` bytes to pass from ``position`` on."""
        if self.after_bytes is not None:
            return position + size > self.after_bytes
        return calls >= (self.nth or 1)

    def room(self, position: int) -> int:
        """How many bytes still pass before it occurs."""
        return 0 if self.after_bytes is None else max(0, self.after_bytes - position)

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}


def take(faults: list[Fault], at: str) -> Fault | None:
    """Count one operation and take its fault from the plan, if it has one."""
    mine = [fault for fault in faults if fault.at == at]
    for fault in mine:
        fault.seen += 1
    due = next((fault for fault in mine if fault.seen >= (fault.nth or 1)), None)
    if due:
        use(faults, due)
    return due


def find(faults: list[Fault], at: str, calls: int, position: int, size: int) -> Fault | None:
    """The fault of this write or read, if it has one; it stays in the plan."""
    return next((fault for fault in faults if fault.at == at and fault.is_due(calls, position, size)), None)


def use(faults: list[Fault], fault: Fault) -> None:
    """Count down how often a fault occurs."""
    fault.times -= 1
    if fault.times <= 0:
        faults.remove(fault)


def wait(fault: Fault | None) -> None:
    """Wait for the duration of a fault."""
    if fault and fault.seconds:
        time.sleep(fault.seconds)
