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
    found = settings.load().drive(drive)
    if isinstance(found, LtfsDriveSettings):
        _on_the_path(found, ["mkltfs"])
    elif isinstance(found, LtfsWindowsDriveSettings):
        _in_the_folder(found, [found.commands.format])


def of(found: DriveSettings) -> dict[str, str]:
    """The path of each program that a drive needs. Raises ProgramMissing."""
    if isinstance(found, LtfsDriveSettings):
        needed = [str(name) for name in get_args(LtfsProgram)]
        return _on_the_path(found, [n for n in needed if found.backend == "sg" or not n.startswith("sg_")])
    if isinstance(found, LtfsWindowsDriveSettings):
        named = found.commands
        words = [named.format, named.drives, named.load, named.eject, named.check]
        return _in_the_folder(found, words)
    return {}


def _on_the_path(found: LtfsDriveSettings, needed: Sequence[str]) -> dict[str, str]:
    given = {str(name): path for name, path in found.programs.items()}
    paths = {name: shutil.which(given.get(name, name)) for name in needed}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise ProgramMissing(
            M("Not installed: {programs}.", programs=", ".join(missing)),
            M("Install LTFS and sg3-utils, or name their paths under 'programs' of the drive."),
        )
    return {name: path for name, path in paths.items() if path is not None}


def _in_the_folder(found: LtfsWindowsDriveSettings, commands: Sequence[Sequence[str]]) -> dict[str, str]:
    paths = {words[0]: found.tools / words[0] for words in commands}
    missing = [name for name, path in paths.items() if not path.exists()]
    if missing:
        raise ProgramMissing(
            M("Not in {folder}: {programs}.", folder=str(found.tools), programs=", ".join(missing)),
            M("Set 'tools' to the folder of LtfsCmdFormat.exe."),
        )
    return {name: str(path) for name, path in paths.items()}
