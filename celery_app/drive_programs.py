"""Finds the programs that a drive of this host uses, before they are needed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import get_args

from celery_app import settings
from celery_app.drive_settings import DriveSettings, LtfsDriveSettings, LtfsProgram, LtfsWindowsDriveSettings
from policy.errors import TapelineError
from policy.message import M


class ProgramMissing(TapelineError):
    """A program that the drive uses is not installed; nothing was begun."""


def check_format(drive: str) -> None:
    """Check that the format program of a drive exists. Raises ProgramMissing."""
    drive_settings = settings.load().drive(drive)
    if isinstance(drive_settings, LtfsDriveSettings):
        _on_the_path(drive_settings, ["mkltfs"])
    elif isinstance(drive_settings, LtfsWindowsDriveSettings):
        _in_the_folder(drive_settings, [drive_settings.commands.format])


def of(drive_settings: DriveSettings) -> dict[str, str]:
    """The path of each program that a drive needs. Raises ProgramMissing."""
    if isinstance(drive_settings, LtfsDriveSettings):
        needed = [str(name) for name in get_args(LtfsProgram)]
        return _on_the_path(
            drive_settings, [n for n in needed if drive_settings.backend == "sg" or not n.startswith("sg_")]
        )
    if isinstance(drive_settings, LtfsWindowsDriveSettings):
        named = drive_settings.commands
        words = [named.format, named.drives, named.load, named.eject, named.check]
        return _in_the_folder(drive_settings, words)
    return {}


def _on_the_path(drive_settings: LtfsDriveSettings, needed: Sequence[str]) -> dict[str, str]:
    given = {str(name): path for name, path in drive_settings.programs.items()}
    paths = {name: shutil.which(given.get(name, name)) for name in needed}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise ProgramMissing(
            M("Not installed: {programs}.", programs=", ".join(missing)),
            M("Install LTFS and sg3-utils, or name their paths under 'programs' of the drive."),
        )
    return {name: path for name, path in paths.items() if path is not None}


def _in_the_folder(
    drive_settings: LtfsWindowsDriveSettings, commands: Sequence[Sequence[str]]
) -> dict[str, str]:
    paths = {words[0]: drive_settings.tools / words[0] for words in commands}
    missing = [name for name, path in paths.items() if not path.exists()]
    if missing:
        raise ProgramMissing(
            M("Not in {folder}: {programs}.", folder=str(drive_settings.tools), programs=", ".join(missing)),
            M("Set 'tools' to the folder of LtfsCmdFormat.exe."),
        )
    return {name: str(path) for name, path in paths.items()}
