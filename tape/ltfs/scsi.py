"""A SCSI tape drive, through the programs of sg3_utils. None of them moves the tape or reads from it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

from policy.message import M
from tape.drive import Health, MediumState
from tape.errors import CommandTimeout, DriveBusy, DriveError, LabelReadTimeout, TapeReadError
from tape.ltfs import mam
from tape.programs import command
from tape.programs.command import Completed

# Exit codes of sg3_utils (its manual page): sense keys, and 50 + errno where the device did not open.
NOT_READY, UNIT_ATTENTION, RESERVED, BUSY = 2, 6, 24, 26
MEDIUM_ERROR = frozenset({3, 18})
NO_ENTRY, NO_DEVICE, NOT_PERMITTED, HELD = 50 + 2, 50 + 6, frozenset({50 + 1, 50 + 13}), 50 + 16

UNLOAD = ("1b", "00", "00", "00", "00", "00")
LOAD = ("1b", "00", "00", "00", "01", "00")
"""SSC: LOAD UNLOAD, as bytes of the command."""

TAPE_ALERT, VOLUME_STATISTICS = "0x2e", "0x17"

_SPECIFIC = re.compile(r"specific param=(0x[0-9a-f]+)")
_ALERT = re.compile(r"^  (\S.*): 1$", re.MULTILINE)
_SERIAL = re.compile(r"Unit serial number: *(\S+)")
_STATISTIC = re.compile(r"^  (\S.*): (\d+)$", re.MULTILINE)


class Scsi:
    """A drive at ``device`` (``/dev/sgN``). ``programs``: the paths of those that are not on the PATH."""

    def __init__(self, device: str, programs: Mapping[str, str], limit: float) -> None:
        self.device = device
        self._programs = programs
        self._limit = limit

    def look(self) -> Inspection:
        """Begin an inspection; all its queries together end within the limit."""
        return Inspection(self, time.monotonic() + self._limit)

    def move(self, cdb: Sequence[str], limit: float) -> None:
        """Load or unload; takes half a minute, and does nothing without a cartridge. Raises DriveError."""
        done = self.run("sg_raw", ["-t", str(round(limit)), self.device, *cdb], limit + 5)
        if done.return_code and not _is_empty(done):
            raise failure(done, self.device)

    def health(self) -> Health:
        """The counters of log pages and chip; those that the drive does not report stay None. Raises
        DriveError."""
        look = self.look()
        counted = dict(_STATISTIC.findall(look.ask("sg_logs", "-p", VOLUME_STATISTICS).output))
        chip = look.attributes()
        written = chip.size(mam.WRITTEN)
        return Health(
            loads=chip.number(mam.LOADS),
            written_bytes=written,
            write_errors=_number(counted.get("Total unrecovered write errors")),
            read_errors=_number(counted.get("Total unrecovered read errors")),
            tape_alerts=_ALERT.findall(look.ask("sg_logs", "-b", "-p", TAPE_ALERT).output),
        )

    def serial(self) -> str | None:
        """The drive's own serial number; None: it does not tell it. Raises DriveError."""
        match = _SERIAL.search(self.look().ask("sg_inq", "-p", "0x80").output)
        return match[1] if match else None

    def run(self, program: str, arguments: Sequence[str], limit: float) -> Completed:
        """Run one program of sg3_utils. Raises CommandNotFound, CommandTimeout."""
        return command.run([self._programs.get(program, program), *arguments], limit=limit)


class Inspection:
    """Several queries within one limit. Every verb raises LabelReadTimeout, DriveBusy, DriveError."""

    def __init__(self, scsi: Scsi, deadline: float) -> None:
        self._scsi = scsi
        self._deadline = deadline

    def is_loaded(self) -> bool:
        """Whether a cartridge is in. Raises DriveBusy while it is being loaded."""
        return self.obstacle() is not MediumState.NO_MEDIUM

    def obstacle(self) -> MediumState | None:
        """What is in the drive instead of a usable cartridge; None: a cartridge is in and ready.

        Raises DriveBusy while one is being loaded.
        """
        done = self.ask("sg_turs", "-v")
        if done.return_code == UNIT_ATTENTION:
            # Reported once after a cartridge was changed, instead of the answer.
            done = self.ask("sg_turs", "-v")
        if done.return_code == 0:
            return None
        obstacle = _obstacle(done)
        if obstacle is None:
            raise failure(done, self._scsi.device)
        return obstacle

    def is_write_protected(self) -> bool:
        """Whether the cartridge's switch is set: the first bit of the mode header's specific parameter."""
        done = self.ask("sg_modes", "-6", "-D")
        match = _SPECIFIC.search(done.output)
        if match is None:
            raise failure(done, self._scsi.device)
        return bool(int(match[1], 16) & 0x80)

    def attributes(self, partition: int = 0) -> mam.Attributes:
        """The chip's attributes of a partition. Raises TapeReadError if it cannot be read."""
        done = self.ask("sg_read_attr", "-p", str(partition))
        if done.return_code:
            raise failure(done, self._scsi.device)
        return mam.parse(done.output)

    def ask(self, program: str, *arguments: str) -> Completed:
        """Run one program within the rest of the limit."""
        left = max(self._deadline - time.monotonic(), 0.01)
        try:
            return self._scsi.run(program, [*arguments, self._scsi.device], left)
        except CommandTimeout as error:
            raise LabelReadTimeout(
                M("The drive {device} did not answer in time.", device=self._scsi.device),
                M("See that the drive is ready and its cable sound, then try again."),
            ) from error


OBSTACLES = {
    "medium not present": MediumState.NO_MEDIUM,
    # It is in the drive's slot, as after an eject, and is not threaded.
    "initializing command required": MediumState.NO_MEDIUM,
    "cleaning cartridge": MediumState.CLEANING,
    "incompatible": MediumState.INCOMPATIBLE,
    "unknown format": MediumState.INCOMPATIBLE,
}
"""Additional sense, as sg3_utils words it."""


def _is_empty(done: Completed) -> bool:
    return _obstacle(done) is MediumState.NO_MEDIUM


def _obstacle(done: Completed) -> MediumState | None:
    sense = done.output.lower()
    return next((state for text, state in OBSTACLES.items() if text in sense), None)


def failure(done: Completed, device: str) -> DriveError:
    """What a return code of sg3_utils means."""
    code = done.return_code
    if code in {NOT_READY, UNIT_ATTENTION}:
        return DriveBusy(
            M("The drive {device} is not ready.", device=device),
            M("A cartridge may be on its way in or out: wait a minute, then try again."),
        )
    if code in {RESERVED, BUSY, HELD}:
        return DriveBusy(
            M("The drive {device} is in use by another program or host.", device=device),
            M("Stop that program, or wait until it ends."),
        )
    if code in {NO_ENTRY, NO_DEVICE}:
        return DriveError(
            M("There is no drive at {device}.", device=device),
            M("Switch it on, see its cable, and check the setting 'device' ('lsscsi -g' lists them)."),
        )
    if code in NOT_PERMITTED:
        return DriveError(
            M("This user may not open {device}.", device=device),
            M("Add the worker's user to the group that owns it, e.g. 'tape'."),
        )
    last_line = (done.output.strip().splitlines() or ["-"])[-1]
    kind = TapeReadError if code in MEDIUM_ERROR else DriveError
    return kind(
        M(
            "{program} on {device} ended with {code}: {said}",
            program=done.argv[0],
            device=device,
            code=code,
            said=last_line,
        ),
        M("Look at the drive and the cartridge; clean the drive if it asks for it."),
    )


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
