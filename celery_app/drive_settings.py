"""The settings of a drive, for each driver."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A table of the file; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Health(Section):
    """From when on a run warns of a cartridge; None: never."""

    loads: int | None = Field(default=15_000, ge=1)
    """LTO cartridges are made for about 20,000."""
    write_errors: int | None = Field(default=1, ge=1)
    read_errors: int | None = Field(default=1, ge=1)
    written_tb: float | None = Field(default=None, gt=0)


class DriveSettings(Section):
    """What every drive has."""

    label_limit_seconds: Seconds = 10
    format_limit_seconds: Seconds = 9000
    """A new LTO-9 cartridge is first calibrated, for up to two hours."""
    warn: Health = Health()


class VirtualDriveSettings(DriveSettings):
    """A drive that is a folder: for trying things out, and for tests."""

    driver: Literal["virtual"]
    path: Path


class LtfsDriveSettings(DriveSettings):
    """A drive on Linux, by the programs of LTFS."""

    driver: Literal["ltfs"]
    device: str = Field(pattern=r"^/[^,\s]*$")
    """``/dev/sgN``; with another backend what that takes: ``file`` takes the folder of a cartridge."""
    mount_point: Path | None = None
    """None: ``<state_dir>/drives/<name>/mount``."""
    backend: str = Field(default="sg", pattern=r"^[a-z][a-z0-9_-]*$")
    sync_type: str = Field(default="time@5", pattern=r"^(time@[1-9][0-9]*|close|unmount)$")
    """How often LTFS writes its index by itself; each archive is sealed besides."""
    mount_options: list[Annotated[str, Field(pattern=r"^[a-z_]+(=[^,\s]+)?$")]] = []
    programs: dict[LtfsProgram, str] = {}
    """The path of each program that is not on the PATH."""
    mount_limit_seconds: Seconds = 1800
    unmount_limit_seconds: Seconds = 3600
    check_limit_seconds: Seconds = 6 * 3600
    move_limit_seconds: Seconds = 180


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

AnyDriveSettings = Annotated[VirtualDriveSettings | LtfsDriveSettings, Field(discriminator="driver")]
