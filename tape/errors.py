"""Errors of a drive. Drivers translate every foreign error into one of these."""

from __future__ import annotations

from collections.abc import Sequence

from policy.errors import Consequence, TapelineError
from policy.message import Message


class DriveError(TapelineError):
    """The drive or a program that uses it failed, and the cartridge was not changed."""


class DriveBusy(DriveError):
    """Another program uses the drive."""

    consequence = Consequence.RETRY


class NoDeepRecovery(DriveError):
    """This drive cannot look for the end of the data."""

    exit_code = 2


class NoMedium(DriveError):
    """There is no cartridge in the drive."""

    consequence = Consequence.WAIT_FOR_OPERATOR
    exit_code = 4


class NotMountable(DriveError):
    """The cartridge in the drive is blank, unreadable or inconsistent: it has no volume to mount."""

    consequence = Consequence.WAIT_FOR_OPERATOR
    exit_code = 4


class WriteProtected(DriveError):
    """The cartridge's write-protect switch is set."""

    consequence = Consequence.WAIT_FOR_OPERATOR
    exit_code = 4


class LabelReadTimeout(DriveError):
    """The label could not be read within its limit."""

    consequence = Consequence.RETRY


class TapeChanged(DriveError):
    """The cartridge in the drive is not the one that was inspected and judged; nothing was done to it."""

    consequence = Consequence.WAIT_FOR_OPERATOR
    exit_code = 4


class FormatFailed(DriveError):
    """The format program ended, and the requested label cannot be read back."""


class VolumeGone(DriveError):
    """The process that serves the volume ended unexpectedly: the volume is no longer mounted, and only sealed
    data is there. There is no evidence against the tape."""


class TapeFull(DriveError):
    """The tape is full; sealed data stays readable. May occur on a write, a close or a seal."""


class TapeWriteError(DriveError):
    """The drive could not write: nothing may write to the cartridge again."""

    consequence = Consequence.RETIRE_TAPE


class SealFailed(TapeWriteError):
    """The index could not be written: data written since the last seal does not count."""


class TapeReadError(DriveError):
    """The drive could not read part of the tape."""


class CommandNotFound(DriveError):
    """A program that the driver needs is not installed."""


class CommandNotStarted(DriveError):
    """The system could not start a program just now: no memory, no free process, or its file in use."""

    consequence = Consequence.RETRY


class CommandTimeout(DriveError):
    """A program did not end within its limit and was ended; its effect is unknown until the tape is read."""

    consequence = Consequence.RETRY

    def __init__(
        self,
        message: Message,
        remedy: Message | None = None,
        *,
        argv: Sequence[str] = (),
        seconds: float = 0.0,
        output: str = "",
    ) -> None:
        super().__init__(message, remedy)
        self.argv = tuple(argv)
        self.seconds = seconds
        self.output = output
        """Its output until then."""


class DriveMisconfigured(DriveError):
    """The drive's settings are wrong."""

    exit_code = 2


class ChangerError(DriveError):
    """The library, or the program that moves its robot, refused or failed; the tape itself was not
    written."""


class RobotBusy(ChangerError):
    """The robot works for somebody else, or is getting ready. Nothing was moved."""

    consequence = Consequence.RETRY


class SlotEmpty(ChangerError):
    """There is no cartridge in the slot to take one from. Nothing was moved."""


class SlotFull(ChangerError):
    """There is a cartridge in the slot to put one into. Nothing was moved."""


class DriveEmpty(ChangerError):
    """There is no cartridge in the drive to unload. Nothing was moved."""


class DriveFull(ChangerError):
    """There is a cartridge in the drive to load. Nothing was moved."""


class DoorOpen(ChangerError):
    """The library's door or magazine is open, or somebody works at its panel. Nothing was moved, and
    cartridges may have been exchanged."""

    consequence = Consequence.WAIT_FOR_OPERATOR
    exit_code = 4


class MoveFailed(ChangerError):
    """A move did not end well: where the cartridge is now, only a new inventory shows."""
