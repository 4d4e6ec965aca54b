"""The drive checks of ``tapeline doctor``: its programs, device, mount point, index, and contents."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import get_args

from backup.source.lookout import opened
from celery_app import drive_programs, settings, wiring
from celery_app.drive_settings import LtfsDriveSettings, LtfsProgram, LtfsWindowsDriveSettings
from policy.errors import TapelineError
from policy.message import M, Message
from policy.tapes import media
from policy.tapes.facts import TapeFacts, described
from tape.drive import Medium
from tape.ltfs import mounts
from tape.programs import command
from tape.programs.aside import Wait

OF_LTFS = ("mkltfs", "ltfs", "ltfsck")
"""Programs that belong together, and write and read each other's data."""
ANSWER_SECONDS = 20.0
"""How long a drive may take besides reading its label."""
VERSION_SECONDS = 10.0
_VERSION = re.compile(r"\d+(?:\.\d+){2,}")

Check = tuple[Message, Callable[[], Message]]


class CheckFailed(TapelineError):
    """A check that failed."""


def checks(name: str) -> Iterator[Check]:
    """The checks of a drive of this host, in order of dependency."""
    drive_settings = settings.load().drive(name)
    if isinstance(drive_settings, LtfsDriveSettings):
        yield M("Programs of {drive}", drive=name), partial(_programs, drive_settings)
        yield M("Device of {drive}", drive=name), partial(_device, drive_settings)
        yield M("Mounting for {drive}", drive=name), partial(_mounting, name, drive_settings)
        yield M("Index of {drive}", drive=name), partial(_sync_type, drive_settings)
    elif isinstance(drive_settings, LtfsWindowsDriveSettings):
        yield M("Programs of {drive}", drive=name), partial(_windows_programs, drive_settings)
        yield M("Index of {drive}", drive=name), partial(_windows_index, drive_settings)
    yield M("Drive {name}", name=name), partial(_tape, name)


def _programs(drive_settings: LtfsDriveSettings) -> Message:
    paths = drive_programs.of(drive_settings)
    versions = {name: _version(paths[name]) for name in get_args(LtfsProgram) if name in OF_LTFS}
    if len(set(versions.values()) - {"?"}) > 1:
        raise CheckFailed(
            M(
                "The programs of LTFS are of several versions: {versions}.",
                versions=", ".join(f"{name} {version}" for name, version in versions.items()),
            ),
            M("Remove the older one, or name the paths of one version under 'programs' of the drive."),
        )
    return M("LTFS {version}", version=versions["mkltfs"])


def _version(program: str) -> str:
    """The version of the program itself, not of FUSE or of the format; ``?`` if it does not report it."""
    lines = command.run([program, "--version"], limit=VERSION_SECONDS).output.splitlines()
    own = (line for line in lines if "FUSE" not in line.upper() and "Specification" not in line)
    return next((match[0] for line in own if (match := _VERSION.search(line))), "?")


def _device(drive_settings: LtfsDriveSettings) -> Message:
    if not Path(drive_settings.device).exists():
        raise CheckFailed(
            M("There is no drive at {device}.", device=drive_settings.device),
            M("Switch it on, see its cable, and check the setting 'device' ('lsscsi -g' lists them)."),
        )
    if not os.access(drive_settings.device, os.R_OK | os.W_OK):
        raise CheckFailed(
            M("This user may not open {device}.", device=drive_settings.device),
            M("Add the worker's user to the group that owns it, e.g. 'tape'."),
        )
    return M("{device}, backend {backend}", device=drive_settings.device, backend=drive_settings.backend)


def _mounting(name: str, drive_settings: LtfsDriveSettings) -> Message:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise CheckFailed(
            M("This user cannot mount: /dev/fuse is missing or closed to it."),
            M("Load the module fuse, and give the worker's user access to /dev/fuse."),
        )
    point = drive_settings.mount_point or settings.load().drive_folder(name) / "mount"
    mounted = mounts.of(drive_settings.device)
    if mounted is None and point.is_dir() and any(point.iterdir()):
        raise CheckFailed(
            M("{folder} is no empty folder to mount at.", folder=str(point)),
            M("Empty it, or change the setting 'mount_point'."),
        )
    return M("at {folder}", folder=str(mounted.point if mounted else point))


def _sync_type(drive_settings: LtfsDriveSettings) -> Message:
    if drive_settings.sync_type == "unmount":
        raise CheckFailed(
            M("LTFS writes its index at the unmount alone (sync_type = unmount)."),
            M("Set sync_type to time@5: what is written between two seals is lost with the power otherwise."),
        )
    return M("written as {sync_type} and after each archive", sync_type=drive_settings.sync_type)


def _windows_programs(drive_settings: LtfsWindowsDriveSettings) -> Message:
    drive_programs.of(drive_settings)
    return M("in {folder}", folder=str(drive_settings.tools))


def _windows_index(drive_settings: LtfsWindowsDriveSettings) -> Message:
    if drive_settings.commands.seal:
        return M("written by {command}", command=" ".join(drive_settings.commands.seal))
    return M("written by LTFS itself: see that it is set to sync at the close of a file")


def _tape(name: str) -> Message:
    driver = settings.load().drive(name).driver
    if driver == "ltfs_windows" and sys.platform != "win32":
        raise CheckFailed(M("The driver ltfs_windows runs on Windows alone."), M("Set driver to ltfs."))
    medium = _seen(name)
    unfit = media.no_volume(_as_found(name, medium))
    if unfit is not None:
        raise CheckFailed(unfit, M("Which tape the next run needs: tapeline calendar"))
    return M("{driver}: {tape}", driver=driver, tape=described(medium.state.value, medium.label))


def _as_found(name: str, medium: Medium) -> TapeFacts:
    """The contents of the drive, without a catalogue: the prechecks decide whether anybody needs a tape that
    LTFS cannot read."""
    return TapeFacts(
        state=medium.state.value,
        label=medium.label,
        empty=medium.empty,
        write_protected=bool(medium.write_protected),
        identity=(),
        known=None,
        drive=name,
        erasable=True,
    )


def _seen(name: str) -> Medium:
    """The contents of the drive. A volume whose LTFS hangs answers nobody, and a process that reads it cannot
    be killed."""
    limit = settings.load().drive(name).label_limit_seconds + ANSWER_SECONDS
    with opened(None if sys.platform == "win32" else _until(name, limit)) as eyes:
        return eyes.ask(_look, name, about=name)


def _look(name: str) -> Medium:
    return wiring.drive(name).look()


def _until(name: str, limit: float) -> Wait:
    def wait(_about: str, seconds: float) -> None:
        if seconds > limit:
            raise CheckFailed(
                M("Drive {name} has not answered for {seconds} s.", name=name, seconds=round(limit)),
                M("See whether LTFS and the drive still work; leave the drive switched on."),
            )

    return wait
