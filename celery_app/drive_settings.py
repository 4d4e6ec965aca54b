"""The settings of a drive and of a changer, for each driver."""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from tape.ltfs_windows.setup import READER

DriveName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
"""The name is part of a queue's name and of folders."""
Seconds = Annotated[float, Field(gt=0)]
CommandLine = Annotated[list[str], Field(min_length=1)]


class Section(BaseModel):
    """A table of the file; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class HealthWarnings(Section):
    """The limits at which a run warns of a cartridge."""

    loads: int | None = Field(default=15_000, ge=1)
    """Loads; LTO cartridges are made for about 20,000."""
    write_errors: int | None = Field(default=1, ge=1)
    """Write errors that the drive could not correct."""
    read_errors: int | None = Field(default=1, ge=1)
    """Read errors that the drive could not correct."""
    written_tb: float | None = Field(default=None, gt=0)
    """TB written in its life. Not set: never."""


def _automatic(value: object) -> object:
    return None if value == "auto" else value


class DriveSettings(Section):
    """The settings that every drive has."""

    label_limit_seconds: Seconds = 10
    """How long reading or writing a label may take."""
    format_limit_seconds: Seconds = 9000
    """How long a format may take; a new LTO-9 cartridge is first calibrated, for up to two hours."""
    warn: HealthWarnings = HealthWarnings()
    """The limits at which a run warns of a cartridge, below."""
    buffer_bytes: int | None = Field(default=None, ge=16 << 20)
    """Memory between the sources and the drive. Not set: 1 GiB, or a quarter of this host's memory."""
    readers: Annotated[int | None, BeforeValidator(_automatic)] = Field(default=None, ge=1, le=32)
    """How many list folders and read small files ahead, 1 to 32. Not set, or ``auto``: one for each
    processor, at most four, and none on Windows; 16 or 32 where a call on a share takes 0.2 or 1 ms."""
    in_bursts: ClassVar[bool] = True
    """Whether the drive has to stop when data arrive too slowly."""
    stop_seconds: ClassVar[float] = 3 * 3600
    """How long ``tapeline up`` waits for its worker at the end, as the services do: it finishes a file, seals
    and unmounts, and does not interrupt a format."""

    @property
    def place(self) -> str:
        """Where the drive is on its host: two drives cannot be in one place."""
        raise NotImplementedError


class VirtualDriveSettings(DriveSettings):
    """A drive that is a folder, for experiments and tests."""

    in_bursts: ClassVar[bool] = False
    stop_seconds: ClassVar[float] = 60
    driver: Literal["virtual"]
    path: Path
    """The folder."""

    @property
    def place(self) -> str:
        return os.path.realpath(self.path)


LtfsProgram = Literal[
    "mkltfs",
    "ltfs",
    "ltfsck",
    "umount",
    "sg_turs",
    "sg_modes",
    "sg_read_attr",
    "sg_logs",
    "sg_raw",
]


class LtfsDriveSettings(DriveSettings):
    """A drive on Linux, with the programs of LTFS."""

    driver: Literal["ltfs"]
    device: str = Field(pattern=r"^/[^,\s]*$")
    """``/dev/sgN``; for another backend, what it accepts: ``file`` accepts the folder of a cartridge."""
    mount_point: Path | None = None
    """Where volumes are mounted. Not set: ``<state_dir>/drives/<name>/mount``."""
    backend: str = Field(default="sg", pattern=r"^[a-z][a-z0-9_-]*$")
    """LTFS's name for the kind of device."""
    sync_type: str = Field(default="time@5", pattern=r"^(time@[1-9][0-9]*|close|unmount)$")
    """How often LTFS writes its index automatically; each archive is sealed besides."""
    mount_options: list[Annotated[str, Field(pattern=r"^[a-z_]+(=[^,\s]+)?$")]] = []
    """Further options of ``ltfs -o``."""
    programs: dict[LtfsProgram, str] = {}
    """The path of each program that is not on the PATH."""
    mount_limit_seconds: Seconds = 1800
    """How long a mount may take."""
    unmount_limit_seconds: Seconds = 3600
    """How long an unmount may take: it writes the index."""
    check_limit_seconds: Seconds = 6 * 3600
    """How long ``ltfsck`` may take."""
    deep_check_limit_seconds: Seconds = 24 * 3600
    """How long ``tapeline drive check --deep`` may take: it may read the whole tape."""
    move_limit_seconds: Seconds = 180
    """How long loading or ejecting may take."""

    @property
    def place(self) -> str:
        return os.path.realpath(self.device)


class WindowsCommands(Section):
    """The command lines of LTFS on Windows; ``{letter}``, ``{label}``, ``{serial}`` are filled in."""

    format: CommandLine = ["LtfsCmdFormat.exe", "{letter}", "/N:{label}", "/S:{serial}"]
    """Formats."""
    drives: CommandLine = ["LtfsCmdDrives.exe"]
    """Lists the drives and what is in each."""
    load: CommandLine = ["LtfsCmdLoad.exe", "{letter}"]
    """Loads the cartridge that was inserted."""
    eject: CommandLine = ["LtfsCmdEject.exe", "{letter}"]
    """Ejects the cartridge."""
    check: CommandLine = ["LtfsCmdCheck.exe", "{letter}"]
    """Checks the volume."""
    seal: list[str] = []
    """Not needed if the tool writes its index at each close of a file."""
    label: CommandLine = ["label.exe", "{letter}:", "{label}"]
    """Changes the label."""
    read: CommandLine = list(READER)
    """Reads the label."""
    fsutil: CommandLine = ["fsutil.exe", "fsinfo", "volumeinfo", "{letter}:"]
    """Asks Windows for the file system of the letter."""
    vol: CommandLine = ["cmd.exe", "/d", "/c", "vol", "{letter}:"]
    """Shows label and serial number."""


class LtfsWindowsDriveSettings(DriveSettings):
    """A drive on Windows, with the programs of IBM Storage Archive, single drive edition."""

    driver: Literal["ltfs_windows"]
    letter: str = Field(pattern=r"^[A-Z]$")
    """The drive's letter, without a colon."""
    tools: Path
    """The folder of LtfsCmdFormat.exe."""
    file_system: str | None = "LTFS"
    """The file system that Windows must report for the letter."""
    commands: WindowsCommands = WindowsCommands()
    """Command lines that differ on this host, below."""
    code_page: str | None = None
    """The code page of the programs' output, such as ``cp936``. Not set: the console's."""
    check_limit_seconds: Seconds = 6 * 3600
    """How long a check may take."""
    move_limit_seconds: Seconds = 300
    """How long loading or ejecting may take."""

    @property
    def place(self) -> str:
        return self.letter

    @field_validator("code_page")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        try:
            if name is not None:
                codecs.lookup(name)
        except LookupError as error:
            raise ValueError(f"there is no code page '{name}'; write it as cp936") from error
        return name


AnyDriveSettings = Annotated[
    VirtualDriveSettings | LtfsDriveSettings | LtfsWindowsDriveSettings, Field(discriminator="driver")
]


class ChangerSettings(Section):
    """The settings that every changer has."""

    drives: dict[Annotated[int, Field(ge=0)], str] = Field(min_length=1)
    """The drives of this host that its robot serves, by their number in the changer: ``{ 0 = "tape0" }``.
    The number is not the order of the devices; ``tapeline doctor`` compares the serial numbers."""
    unload_first: bool = True
    """The drive ejects its cartridge before the robot takes it. Off: the library does that by itself."""
    clean_with: str = Field(default="CLN*", min_length=1)
    """The barcodes of cleaning cartridges, ``*`` for any letters."""
    clean_seconds: Seconds = 300
    """How long a cleaning cartridge stays in a drive, unless the drive ejects it before."""
    clean_after_hours: float | None = Field(default=None, gt=0)
    """A drive that has read and written for so many hours since its last cleaning is cleaned after a backup,
    although it does not ask for it. Not set: only when it asks."""
    pools: dict[str, str] = {}
    """The pool of a new cartridge by its barcode: ``{ "Y*" = "yearly" }``; one that matches nothing is in
    none."""
    ready_limit_seconds: Seconds = 300
    """How long a drive may take until a cartridge that was loaded is ready."""

    @property
    def place(self) -> str:
        """Where the changer is on its host: two cannot be in one place."""
        raise NotImplementedError

    @field_validator("drives")
    @classmethod
    def _are_apart(cls, drives: dict[int, str]) -> dict[int, str]:
        for name in drives.values():
            if list(drives.values()).count(name) > 1:
                raise ValueError(f"'{name}' has two numbers; a drive has one")
        return drives


class MtxChangerSettings(ChangerSettings):
    """A changer on Linux, through the program mtx."""

    driver: Literal["mtx"]
    device: str = Field(pattern=r"^/[^,\s]*$")
    """``/dev/sgN`` of the changer: ``lsscsi -g`` lists it as ``mediumx``."""
    programs: dict[Literal["mtx", "sg_raw"], str] = {}
    """The path of each program that is not on the PATH."""
    mail_slots: list[Annotated[int, Field(ge=1)]] = []
    """The numbers of mail slots that the changer reports as ordinary slots."""
    status_limit_seconds: Seconds = 60
    """How long a question to the changer may take."""
    move_limit_seconds: Seconds = 300
    """How long a move may take."""
    inventory_limit_seconds: Seconds = 1800
    """How long the robot may take to read all barcodes."""

    @property
    def place(self) -> str:
        return os.path.realpath(self.device)


class VirtualChangerSettings(ChangerSettings):
    """A changer that is a folder, for experiments and tests. Its drives are virtual ones."""

    driver: Literal["virtual"]
    path: Path
    """The folder."""
    slots: int = Field(default=8, ge=1, le=1000)
    """How many slots a new library has."""
    mail_slots: int = Field(default=1, ge=0, le=100)
    """How many mail slots it has besides."""
    move_seconds: float = Field(default=0, ge=0)
    """How long a move takes."""

    @property
    def place(self) -> str:
        return os.path.realpath(self.path)


AnyChangerSettings = Annotated[MtxChangerSettings | VirtualChangerSettings, Field(discriminator="driver")]


def check_feeding(changers: Mapping[str, AnyChangerSettings], drives: Mapping[str, AnyDriveSettings]) -> None:
    """Raises ValueError unless each changer feeds drives of this host, and no drive has two changers: a
    robot that reaches for another drive than was meant takes a tape from under a run."""
    places: dict[str, str] = {}
    feeders: dict[str, str] = {}
    for name, changer in changers.items():
        other = places.setdefault(changer.place, name)
        if other != name:
            raise ValueError(f"'{name}' and '{other}' are the same changer, {changer.place}; name it once")
        for drive in changer.drives.values():
            if drive not in drives:
                raise ValueError(f"'{name}' feeds the drive '{drive}'; add it as [drives.{drive}]")
            other = feeders.setdefault(drive, name)
            if other != name:
                raise ValueError(f"'{name}' and '{other}' both feed the drive '{drive}'; name it in one")
            if (changer.driver == "virtual") != (drives[drive].driver == "virtual"):
                raise ValueError(f"'{name}' and the drive '{drive}': either both are virtual, or none is")


def feeder_of(
    changers: Mapping[str, AnyChangerSettings], drive: str
) -> tuple[str, AnyChangerSettings, int] | None:
    """The changer that feeds a drive: its name, its settings, and the drive's number in it; None: none
    does."""
    feeders = (
        (name, each, number)
        for name, each in changers.items()
        for number, fed in each.drives.items()
        if fed == drive
    )
    return next(feeders, None)
