"""How LTFS is set up on a host, from the settings of a drive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tape.ltfs import mounts as ltfs_mounts

SCSI_BACKEND = "sg"


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """Seconds that a program may take."""

    label: float = 10
    format: float = 9000
    mount: float = 1800
    unmount: float = 3600
    """Until the index is written."""
    check: float = 6 * 3600
    deep_recovery: float = 24 * 3600
    """It may read the whole tape."""
    move: float = 180
    """Load and eject."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How LTFS is set up on this host."""

    device: str
    """``/dev/sgN``; with the backend ``file`` the folder of an emulated cartridge."""
    folder: Path
    """This drive's folder on this host: its lock, and the mount point unless one is given."""
    mount_point: Path | None = None
    backend: str = SCSI_BACKEND
    sync_type: str = "time@5"
    mount_options: Sequence[str] = ()
    programs: Mapping[str, str] = field(default_factory=dict)
    """The path of each program that is not on the PATH."""
    limits: ProgramLimits = ProgramLimits()
    mounts: Path = ltfs_mounts.TABLE
    """Where the kernel lists what is mounted."""

    @property
    def is_scsi(self) -> bool:
        """Whether the device answers SCSI commands; other backends have no chip, no load and no eject."""
        return self.backend == SCSI_BACKEND

    def program(self, name: str) -> str:
        """The path of a program, or its name if it is on the PATH."""
        return self.programs.get(name, name)
