"""Whether the data of a run fits on the tape, estimated from the last run."""

from __future__ import annotations

from policy import units
from policy.message import M, Message


def doubt(expected: int | None, room: int | None, tape: str) -> Message | None:
    """Why the backup will probably span two tapes; None if it fits, or if one of the two is not known.

    ``expected``: bytes on tape of the last backup; ``room``: bytes that still fit on the tape.
    """
    if expected is None or room is None or expected <= room:
        return None
    return M(
        "The last backup took {expected} and tape {tape} has room for {room}: this one will probably need a"
        " second tape.",
        expected=units.size(expected),
        tape=tape,
        room=units.size(room),
    )


def is_nearly_full(used: int, capacity: int, percent: float) -> bool:
    """Whether more than so many percent of a tape are used."""
    return used * 100 > capacity * percent
