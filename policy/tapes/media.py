"""Why the tape in a drive cannot be written, regardless of catalogue and schedule."""

from __future__ import annotations

from policy.message import M, Message
from policy.tapes.facts import TapeFacts


def no_volume(tape: TapeFacts) -> Message | None:
    """Why the contents of the drive neither are a volume nor may become one without a confirmation, or
    None."""
    match tape.state:
        case "foreign" if not tape.erasable:
            return M(
                "LTFS cannot read the tape in drive {drive}: it is new, or another program has written it."
                " If nothing on it is needed: tapeline tape erasable --drive {drive}",
                drive=tape.drive,
            )
        case "inconsistent":
            return M(
                "The volume in drive {drive} has to be checked first. What was sealed on it is there:"
                " tapeline drive check {drive}",
                drive=tape.drive,
            )
        case "cleaning":
            return M("There is a cleaning cartridge in the drive. Take it out once it has cleaned.")
        case "incompatible":
            return M("The cartridge does not fit the drive: it is of another kind or generation.")
    return None


def not_mountable(tape: TapeFacts, *, begins: bool) -> Message | None:
    """What is known of a volume that could not be mounted, before anybody tries again, or None.

    ``begins``: a format may come first; it replaces an empty volume without mounting it.
    """
    if tape.mount_failed is None or (begins and tape.empty):
        return None
    return M(
        "Tape {tape} could not be mounted when that was tried last: {error}",
        tape=tape.describe(),
        error=tape.mount_failed.to_json(),
    )


def read_only(tape: TapeFacts) -> Message | None:
    """Why a readable tape cannot be written, or None."""
    if tape.lock == "write_error":
        return M(
            "A write to tape {tape} has failed before: it is read-only for ever. What was sealed on it can be"
            " restored; take it out of use.",
            tape=tape.describe(),
        )
    if tape.lock == "advisory":
        return M(
            "Tape {tape} is locked against writing by a program; no write has failed. Lift the lock with that"
            " program, or use another tape.",
            tape=tape.describe(),
        )
    if tape.write_protected:
        return M("The write-protect switch of the tape is set ({tape}).", tape=tape.describe())
    return None
