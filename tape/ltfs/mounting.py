"""Mounting and unmounting with LTFS's programs, judged by their messages and the kernel's table."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from policy.message import M, Message
from tape.drive import ProgramRun
from tape.errors import DriveBusy, DriveError, DriveMisconfigured, NotMountable, SealFailed
from tape.ltfs import mounts
from tape.ltfs.mounts import LtfsMount
from tape.ltfs.setup import Setup
from tape.programs import command, ltfs_messages
from tape.programs.command import Completed

APPEAR_SECONDS = 5.0
"""How long to wait for a mount in the table after ``ltfs`` has reported it."""
BUSY_SECONDS = 10.0
"""How long to retry an unmount while somebody is still using the volume."""


class Mounting:
    """The mount point of a drive. Whoever uses it must have the drive's lock."""

    def __init__(self, drive: str, setup: Setup) -> None:
        self._drive = drive
        self._setup = setup
        self.point = setup.mount_point or setup.folder / "mount"

    def mount(self, *, read_only: bool) -> list[Message]:
        """Mount; if LTFS requires a check first, run it and report that. Raises NotMountable, DriveError."""
        try:
            self.start(read_only=read_only)
        except NeedsCheck:
            done = self.check()
            self.start(read_only=read_only)
            return [
                M(
                    "The volume had not been unmounted: {program} repaired it in {seconds} s.",
                    program=Path(done.command[0]).name,
                    seconds=round(done.seconds),
                )
            ]
        return []

    def start(self, *, read_only: bool, limit: float | None = None) -> None:
        """Mount once, without a repair. ``limit``: seconds, else those of a mount.

        Raises Blank, NeedsCheck, NotMountable, CommandTimeout, DriveError.
        """
        self.point.mkdir(parents=True, exist_ok=True)
        options = [f"devname={self._setup.device}", f"tape_backend={self._setup.backend}"]
        options += [f"sync_type={self._setup.sync_type}", *self._setup.mount_options]
        if read_only:
            options.append("ro")
        words = [word for option in options for word in ("-o", option)]
        argv = [self._setup.program("ltfs"), *words, str(self.point)]
        done = command.run(argv, limit=limit or self._setup.limits.mount)
        if not self._appeared(done):
            raise self._not_mounted(done)

    def _appeared(self, done: Completed) -> bool:
        """Only the kernel's table proves a mount: the program returns 0 without one, too."""
        wait = APPEAR_SECONDS if done.return_code == 0 and not _is_no_mount_point(done.output) else 0.0
        deadline = time.monotonic() + wait
        while True:
            mounted = mounts.at(self.point, self._setup.mounts)
            if mounted and mounted.device == self._setup.device:
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)

    def _not_mounted(self, done: Completed) -> DriveError:
        codes = set(ltfs_messages.codes(done.output))
        if ltfs_messages.NOT_CLEANLY_UNMOUNTED in codes:
            return NeedsCheck(M("The volume was not unmounted cleanly."), _asks_for_check(self._drive))
        if ltfs_messages.NOT_PARTITIONED in codes:
            return NotPartitioned(
                M(
                    "LTFS cannot read the cartridge in drive {drive}: it is blank, or another program has"
                    " written it.",
                    drive=self._drive,
                ),
                M(
                    "If nothing on it is needed: tapeline tape erasable --drive {drive}; else put another"
                    " cartridge in.",
                    drive=self._drive,
                ),
            )
        if _is_no_mount_point(done.output):
            return DriveMisconfigured(
                M("{folder} is no empty folder to mount at.", folder=str(self.point)),
                M("Empty it, or change the setting 'mount_point'."),
            )
        reason = M("The volume could not be mounted: {reason}", reason=ltfs_messages.reason(done.output))
        if ltfs_messages.NEEDS_DEEP_RECOVERY & codes:
            return NeedsDeepRecovery(reason, _asks_for_deep_recovery(self._drive))
        return self._no_device(done) or NotMountable(reason, _asks_for_check(self._drive))

    def _no_device(self, done: Completed) -> DriveError | None:
        if ltfs_messages.is_held(done.output):
            return DriveBusy(
                M("The drive {device} is in use by another program or host.", device=self._setup.device),
                M("Stop that program, or wait until it ends."),
            )
        if ltfs_messages.NO_DEVICE & set(ltfs_messages.codes(done.output)):
            return DriveError(
                M("There is no drive at {device}.", device=self._setup.device),
                M("Switch it on, see its cable, and check the setting 'device' ('lsscsi -g' lists them)."),
            )
        return None

    def check(self, *, deep: bool = False, on_output: Callable[[str], None] | None = None) -> ProgramRun:
        """Run ltfsck to its end. Raises NotMountable if it could not repair the volume, DriveError."""
        limits = self._setup.limits
        done = command.run(
            [
                self._setup.program("ltfsck"),
                *(["--deep-recovery"] if deep else []),
                "-e",
                self._setup.backend,
                self._setup.device,
            ],
            limit=limits.deep_recovery if deep else limits.check,
            on_output=on_output,
        )
        if ltfs_messages.CONSISTENT in ltfs_messages.codes(done.output):
            return ProgramRun(done.argv, done.return_code, done.seconds, done.output)
        raise self._no_device(done) or NotMountable(
            M("The volume could not be repaired: {reason}", reason=ltfs_messages.reason(done.output)),
            M("Take the cartridge out of use; what can be read of it: ltfsck --salvage-rollback-points")
            if deep
            else _asks_for_deep_recovery(self._drive),
        )

    def clear(self) -> list[Message]:
        """Unmount what a dead process left mounted; our lock guarantees that nobody uses it.

        Raises DriveBusy if somebody else has mounted it elsewhere.
        """
        mounted = self.mounted()
        if mounted is None and not self._processes():
            return []
        if mounted and mounted.point != self.point:
            raise DriveBusy(
                M(
                    "The cartridge of drive {drive} is mounted at {folder}.",
                    drive=self._drive,
                    folder=str(mounted.point),
                ),
                M("Unmount it: umount {folder}", folder=str(mounted.point)),
            )
        self.unmount()
        return [M("The volume was still mounted from an earlier run; it was unmounted first.")]

    def unmount(self) -> None:
        """Unmount and wait until the index is written, that is, until the ``ltfs`` process has ended."""
        serving = self._processes()
        if mounts.at(self.point, self._setup.mounts):
            self._ask_to_unmount()
        # It must never be killed: data that it has not written yet would be lost.
        alive = _wait_for_end(serving, self._setup.limits.unmount)
        if alive:
            raise SealFailed(
                M(
                    "LTFS has not ended {limit:g} s after the unmount: its index may not be written.",
                    limit=self._setup.limits.unmount,
                ),
                M(
                    "Leave the drive switched on and wait for process {pid}: it is not to be killed.",
                    pid=alive[0].pid,
                ),
            )

    def _ask_to_unmount(self) -> None:
        argv = [self._setup.program("umount"), str(self.point)]
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            done = command.run(argv, limit=self._setup.limits.unmount)
            if mounts.at(self.point, self._setup.mounts) is None:
                return
            if time.monotonic() > deadline:
                raise DriveBusy(
                    M(
                        "{folder} cannot be unmounted: {reason}",
                        folder=str(self.point),
                        reason=ltfs_messages.reason(done.output),
                    ),
                    M("See who works there ('fuser -m {folder}') and end it.", folder=str(self.point)),
                )
            time.sleep(0.2)

    def mounted(self) -> LtfsMount | None:
        """The mount point of this drive's cartridge, wherever it is."""
        return mounts.of(self._setup.device, self._setup.mounts)

    def _processes(self) -> list[psutil.Process]:
        return mounts.processes(self._setup.program("ltfs"), self._setup.device)


class NotPartitioned(NotMountable):
    """LTFS reports that the medium is not partitioned: it is new, or another program has written it."""


class NeedsCheck(NotMountable):
    """LTFS refuses to mount before a check."""


class NeedsDeepRecovery(NotMountable):
    """LTFS refuses to mount before it has looked for the end of the data."""


def _wait_for_end(processes: list[psutil.Process], limit: float) -> list[psutil.Process]:
    """The processes that still run after so many seconds; a zombie has ended."""
    deadline = time.monotonic() + limit
    while alive := [process for process in processes if _is_alive(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_no_mount_point(output: str) -> bool:
    return bool(ltfs_messages.NO_MOUNT_POINT & set(ltfs_messages.codes(output)))


def _asks_for_deep_recovery(drive: str) -> Message:
    return M(
        "LTFS can look for the end of what is on the tape, which takes hours and keeps what was sealed:"
        " tapeline drive check {drive} --deep",
        drive=drive,
    )


def _asks_for_check(drive: str) -> Message:
    return M("Have the volume checked: tapeline drive check {drive}", drive=drive)
