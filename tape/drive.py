"""The contract of a drive, one step above its drivers (``virtual``, ``ltfs``, ``ltfs_windows``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from policy.message import M, Message
from policy.tapes.facts import described
from policy.tapes.medium import MediumReport, identity_of
from tape.errors import TapeChanged


class MediumState(StrEnum):
    """What the drive affirms about its contents. There is no default: unknown is an error, never blank."""

    NO_MEDIUM = "no_medium"
    """The drive is empty."""
    BLANK = "blank"
    """A cartridge that is proved to be new: nothing was ever written to it."""
    FOREIGN = "foreign"
    """A cartridge that LTFS cannot read, and nothing proves that it is new: another program's data may be on
    it."""
    FORMATTED = "formatted"
    """A cartridge with a readable volume; its label may still be foreign or absent."""
    INCONSISTENT = "inconsistent"
    """A volume that LTFS mounts only after a check: it was not unmounted properly, or its end is not marked.
    Sealed data is on it."""
    UNREADABLE = "unreadable"
    """A cartridge that cannot be read: not blank, never to be treated as blank."""
    CLEANING = "cleaning"
    """A cleaning cartridge."""
    INCOMPATIBLE = "incompatible"
    """A cartridge of a kind or generation that the drive cannot use."""


class WriteLock(StrEnum):
    """Why a cartridge cannot be written although its switch permits it."""

    NONE = "none"
    ADVISORY = "advisory"
    """A program has locked the volume on purpose; no write has failed."""
    WRITE_ERROR = "write_error"
    """A write has failed: read-only for ever."""


@dataclass(frozen=True, slots=True)
class Medium:
    """What is in the drive, as just read. ``None``: the drive does not report it."""

    state: MediumState
    label: str | None = None
    """The volume's name, as an operator wrote it or ``TP{YYYY}{MM}{seq:02d}``."""
    volume_uuid: str | None = None
    """Every format makes a new one."""
    serial: str | None = None
    """The volume serial of LTFS: six characters A-Z 0-9."""
    medium_serial: str | None = None
    """The serial of the cartridge itself, which never changes."""
    barcode: str | None = None
    """The sticker on the cartridge, as stored in its memory chip."""
    write_protected: bool = False
    """Its switch is set, or the drive itself refuses to write it."""
    lock: WriteLock = WriteLock.NONE
    """As the cartridge's chip or the mounted volume reports it."""
    drive: str | None = None
    """Where it is; only for a cartridge that its contents cannot identify."""
    empty: bool | None = None
    """True: a volume without a single file. None: not known without mounting."""
    capacity: int | None = None
    """The volume's size in bytes."""
    free: int | None = None
    """Bytes that can still be written."""

    @property
    def identity(self) -> MediumReport:
        """What distinguishes this cartridge with this volume from every other; compared as a whole."""
        return identity_of(self.to_json())

    def is_same_as(self, other: Medium) -> bool:
        """No fact that both report about the tape differs; a drive may report more once the tape is
        mounted."""
        return all(
            mine == theirs
            for mine, theirs in zip(self.identity.values(), other.identity.values(), strict=True)
            if mine is not None and theirs is not None
        )

    def check_same(self, present: Medium) -> None:
        """Raises TapeChanged if the drive was found to have another tape than this one."""
        if not self.is_same_as(present):
            raise changed(present)

    def to_json(self) -> MediumReport:
        return {
            "state": self.state.value,
            "label": self.label,
            "volume_uuid": self.volume_uuid,
            "serial": self.serial,
            "medium_serial": self.medium_serial,
            "barcode": self.barcode,
            "write_protected": self.write_protected,
            "lock": self.lock.value,
            "drive": self.drive,
            "empty": self.empty,
            "capacity": self.capacity,
            "free": self.free,
        }


def changed(present: Medium) -> TapeChanged:
    """The error for another tape in the drive than the one that was to be formatted."""
    return TapeChanged(
        M(
            "The tape was changed just before the format: {found} is in the drive now.",
            found=described(present.state.value, present.label),
        ),
        M("Nothing was formatted. Insert the right tape and start a new run."),
    )


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """One program that a driver started, for the run's story."""

    command: Sequence[str]
    return_code: int | None
    """None: it was ended at its time limit."""
    seconds: float
    output: str
    says_done: bool | None = None
    """What its last message reports about a format; None: nothing, or the driver does not know."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the drive and the cartridge's chip report about their condition; ``None``: not known."""

    loads: int | None = None
    written_bytes: int | None = None
    write_errors: int | None = None
    read_errors: int | None = None
    tape_alerts: Sequence[str] = ()


class TapeFile(Protocol):
    """A file being written to a volume; it counts only when it is closed *and* the volume sealed."""

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Write all of ``data``. Raises TapeFull, TapeWriteError."""

    def close(self) -> None:
        """End the file. Raises TapeFull, TapeWriteError. Closing twice does nothing."""


class Volume(Protocol):
    """A formatted, mounted tape. Names are relative, with ``/``; there is one writer."""

    root: Path
    """The mount point: to show to operators, and to read with standard tools."""
    medium: Medium
    """What was in the drive when it was mounted."""
    notes: Sequence[Message]
    """What was needed to mount it, for the run's story: a repair, a mount that was left behind."""

    def free(self) -> int:
        """Bytes that can still be written."""

    def create(self, name: str) -> TapeFile:
        """Begin a new file and create its folders; raises FileExistsError if the name is taken."""

    def open(self, name: str) -> BinaryIO:
        """Read a file, seekable. Raises FileNotFoundError, TapeReadError."""

    def size(self, name: str) -> int | None:
        """The file's size in bytes on the volume, or None if there is no such file."""

    def names(self, folder: str = "") -> list[str]:
        """The names directly in a folder, sorted; empty if there is no such folder."""

    def remove(self, name: str) -> None:
        """Remove a file that counts for nothing, or an empty folder; its room on the tape is not free again.
        A name that is not there is no error. Raises WriteProtected, TapeWriteError."""

    def seal(self) -> None:
        """Sync data and index, so that all closed files survive a loss of power.

        Raises TapeFull, SealFailed.
        """


class Drive(Protocol):
    """A drive, which contains one cartridge. A driver never retries and never guesses: the state machine
    decides.

    Every verb may raise DriveError; those that read the label end within the label limit (10 s).
    """

    name: str

    def look(self) -> Medium:
        """Report what is in the drive now, without changing it. Raises LabelReadTimeout, DriveBusy."""

    def format(
        self,
        label: str,
        *,
        only: Medium | None = None,
        serial: str | None = None,
        on_output: Callable[[str], None] | None = None,
        inherit: Sequence[int] = (),
    ) -> ProgramRun:
        """Run the format program once and report how it ended, with any return code: the caller reads the
        label back and judges. ``only``: the medium that was inspected; if another tape is found while the
        drive is locked, it stays as it is. ``inherit``: descriptors that the program keeps open (the drive's
        lock). Raises NoMedium, TapeChanged, WriteProtected, CommandNotFound, CommandNotStarted before
        anything was started; CommandTimeout."""

    def relabel(self, label: str) -> None:
        """Change the label of the volume and keep its data. Raises NotMountable, WriteProtected."""

    def mount(self, *, read_only: bool = False) -> AbstractContextManager[Volume]:
        """Mount the volume; leaving the context unmounts it, which writes the index too.

        Raises NoMedium, NotMountable, WriteProtected (unless read only), SealFailed on leaving.
        """

    def load(self, cartridge: str | None = None) -> Medium:
        """Load a cartridge and inspect it: by barcode, label or serial. Raises NoMedium."""

    def eject(self, *, unload: bool = True) -> None:
        """Eject the cartridge. Raises DriveBusy while it is mounted. ``unload``: off where a library's robot
        unloads the drive by itself, which then only has to be unmounted."""

    def check(self, *, deep: bool = False, on_output: Callable[[str], None] | None = None) -> ProgramRun:
        """Check the volume, and repair it if it was not unmounted: sealed data stays, the rest is removed.

        May take hours, so it runs only if an operator requests it, or if a mount is refused without it, which
        then notes that. ``deep``: look for the end of the data if it is not marked on the tape; only for an
        operator. Raises NoMedium, NotMountable, CommandTimeout; DriveError if the drive cannot do that.
        """

    def health(self) -> Health:
        """The condition of drive and cartridge."""
