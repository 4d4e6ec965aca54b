"""LTFS on Linux: the reference implementation's programs, judged by messages, label and table of mounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from policy.message import M
from tape.drive import Health, Medium, MediumState, ProgramRun, WriteLock
from tape.errors import (
    CommandTimeout,
    DriveError,
    LabelReadTimeout,
    NoMedium,
    NotMountable,
    TapeReadError,
    TapeWriteError,
    WriteProtected,
)
from tape.hostlock import HostLock
from tape.ltfs import medium as ltfs_medium
from tape.ltfs import volume as ltfs_volume
from tape.ltfs.mounting import (
    Mounting,
    NeedsCheck,
    NeedsDeepRecovery,
    NotPartitioned,
)
from tape.ltfs.scsi import LOAD, UNLOAD, Scsi
from tape.ltfs.setup import Setup
from tape.ltfs.volume import LtfsVolume
from tape.programs import command, command_line
from tape.volume import locked_by_a_program, reading


class LtfsDrive:
    """A drive at a SCSI device, or at anything else that a backend of LTFS accepts."""

    def __init__(self, name: str, setup: Setup) -> None:
        self.name = name
        self._setup = setup
        self._mounting = Mounting(name, setup)
        self._scsi = Scsi(setup.device, setup.programs, setup.limits.label)

    def look(self) -> Medium:
        """Read the cartridge's chip; another backend than ``sg`` has none, so read the volume itself."""
        if self._setup.is_scsi:
            return self._look_at_chip()
        mounted = self._mounting.mounted()
        if mounted:
            with reading(mounted.point):
                return ltfs_medium.of_volume(mounted)
        with self._lock():
            return self._look_by_mounting()

    def format(
        self,
        label: str,
        *,
        only: Medium | None = None,
        serial: str | None = None,
        on_output: Callable[[str], None] | None = None,
        inherit: Sequence[int] = (),
    ) -> ProgramRun:
        """Run mkltfs once; see tape.drive. It keeps the drive locked even if this process is killed."""
        words = [
            "-n",
            command_line.plain(label),
            *(["-s", command_line.plain(serial)] if serial is not None else []),
        ]
        with self._lock() as lock:
            self._mounting.clear()
            medium = self._present()
            if only:
                only.check_same(medium)
            _check_switch(medium)
            # Without it mkltfs does not format a medium that turns out to have a volume of LTFS.
            force = [] if medium.state in {MediumState.BLANK, MediumState.FOREIGN} else ["-f"]
            place = ["-e", self._setup.backend, "-d", self._setup.device]
            done = command.run(
                [self._setup.program("mkltfs"), *force, *place, *words],
                limit=self._setup.limits.format,
                on_output=on_output,
                inherit=[*inherit, lock.descriptor],
            )
        return ProgramRun(done.argv, done.return_code, done.seconds, done.output)

    def relabel(self, label: str) -> None:
        """Change the volume's name, in its index and on the chip; see tape.drive."""
        command_line.plain(label)
        with self.mount() as volume:
            volume.rename(label)

    @contextmanager
    def mount(self, *, read_only: bool = False) -> Iterator[LtfsVolume]:
        """Mount the volume; see tape.drive. If a killed worker left it mounted, it is unmounted first."""
        with self._lock():
            notes = self._mounting.clear()
            medium = self._on_the_chip(read_only=read_only)
            notes += self._mounting.mount(read_only=read_only)
            medium = medium or self._of_volume()
            volume = LtfsVolume(self._mounting.point, medium, read_only=read_only, notes=notes)
            try:
                self._check_writable(volume)
                yield volume
            except BaseException as error:
                self._leave(volume, error)
                raise
            self._leave(volume)

    def load(self, cartridge: str | None = None) -> Medium:
        """Load the cartridge that is in the drive's slot, and inspect it. Raises NoMedium.

        ``cartridge``: the expected label or serial; a drive without a changer cannot fetch another.
        """
        with self._lock():
            self._check_moves()
            if not self._scsi.look().is_loaded():
                self._scsi.move(LOAD, self._setup.limits.move)
        medium = self.look()
        if medium.state is MediumState.NO_MEDIUM:
            raise self._empty()
        if cartridge is not None and cartridge not in {medium.serial, medium.medium_serial, medium.label}:
            raise NoMedium(
                M(
                    "There is no cartridge {barcode} in drive {drive}; it has {found}.",
                    barcode=cartridge,
                    drive=self.name,
                    found=medium.label or medium.medium_serial or medium.state.value,
                ),
                M("Put that cartridge in by hand."),
            )
        return medium

    def eject(self, *, unload: bool = True) -> None:
        """Unload and eject the cartridge; an empty drive stays empty. Raises DriveBusy while mounted."""
        with self._lock():
            self._mounting.clear()
            self._check_moves()
            if unload and self._scsi.look().is_loaded():
                self._scsi.move(UNLOAD, self._setup.limits.move)

    def health(self) -> Health:
        """From the mounted volume, else from the drive's log pages and the chip; see tape.drive."""
        mounted = self._mounting.mounted()
        if mounted:
            with reading(mounted.point):
                return ltfs_volume.health(mounted.point)
        if not self._setup.is_scsi or self._scsi.look().obstacle():
            return Health()
        return self._scsi.health()

    def check(self, *, deep: bool = False, on_output: Callable[[str], None] | None = None) -> ProgramRun:
        """Run ltfsck; see tape.drive. It returns 1 even if all is well: its message decides."""
        with self._lock():
            self._mounting.clear()
            if self._setup.is_scsi:
                _check_volume(self._present())
            return self._mounting.check(deep=deep, on_output=on_output)

    def _look_at_chip(self) -> Medium:
        look = self._scsi.look()
        obstacle = look.obstacle()
        if obstacle:
            return Medium(obstacle)
        try:
            return ltfs_medium.of_chip(look, self.name)
        except TapeReadError:
            return Medium(MediumState.UNREADABLE)

    def _look_by_mounting(self) -> Medium:
        """The state of a volume without a chip. Raises DriveError if LTFS reported nothing about a tape."""
        try:
            self._mounting.start(read_only=True, limit=self._setup.limits.label)
        except CommandTimeout as error:
            raise LabelReadTimeout(
                M("The drive {device} did not answer in time.", device=self._setup.device),
                M("See that the drive is ready and its cable sound, then try again."),
            ) from error
        except NotPartitioned:
            return Medium(MediumState.FOREIGN, drive=self.name)
        except (NeedsCheck, NeedsDeepRecovery):
            return Medium(MediumState.INCONSISTENT, drive=self.name)
        except NotMountable:
            return Medium(MediumState.UNREADABLE)
        try:
            return self._of_volume()
        finally:
            self._mounting.unmount()

    def _of_volume(self) -> Medium:
        """What a volume reports that has just been mounted."""
        mounted = self._mounting.mounted()
        with reading(self._mounting.point):
            return ltfs_medium.of_volume(mounted) if mounted else Medium(MediumState.UNREADABLE)

    def _on_the_chip(self, *, read_only: bool) -> Medium | None:
        """The medium to mount; None if no chip reports it, because the mount itself will.

        Raises NoMedium, NotMountable, WriteProtected.
        """
        if not self._setup.is_scsi:
            return None
        medium = self._present()
        _check_volume(medium)
        if not read_only:
            _check_switch(medium)
            _check_lock(medium.lock, medium.label)
        return medium

    def _present(self) -> Medium:
        """What is in the drive, while this process has its lock. Raises NoMedium."""
        medium = self._look_at_chip() if self._setup.is_scsi else self._look_by_mounting()
        if medium.state is MediumState.NO_MEDIUM:
            raise self._empty()
        return medium

    def _check_writable(self, volume: LtfsVolume) -> None:
        """Raises TapeWriteError, WriteProtected if LTFS mounted a volume read-only that was to be written."""
        mounted = self._mounting.mounted()
        if volume.read_only or mounted is None or not mounted.read_only:
            return
        volume.read_only = True
        with reading(volume.root):
            _check_lock(ltfs_medium.lock_of(volume.root), volume.medium.label)
        raise WriteProtected(
            M("The volume {label} could only be mounted read-only.", label=volume.medium.label),
            M("Set the cartridge's switch to writable; a full tape stays read-only."),
        )

    def _leave(self, volume: LtfsVolume, error: BaseException | None = None) -> None:
        """Close, seal and unmount. An error already being raised explains more than the errors that it causes
        here."""
        try:
            try:
                volume.leave(failed=error is not None)
            finally:
                self._mounting.unmount()
        except DriveError as late:
            if error is None:
                raise
            error.add_note(str(late))

    def _check_moves(self) -> None:
        if not self._setup.is_scsi:
            raise DriveError(
                M("Drive {drive} cannot move a cartridge by itself.", drive=self.name),
                M("Change the cartridge by hand."),
            )

    def _lock(self) -> HostLock:
        self._setup.folder.mkdir(parents=True, exist_ok=True)
        return HostLock(self._setup.folder / "mount.lock")

    def _empty(self) -> NoMedium:
        return NoMedium(
            M("There is no cartridge in drive {drive}.", drive=self.name), M("Put a cartridge in.")
        )


def _check_volume(medium: Medium) -> None:
    if medium.state is MediumState.FORMATTED:
        return
    if medium.state is MediumState.BLANK:
        raise NotMountable(
            M("The cartridge {barcode} is blank.", barcode=_called(medium)),
            M("Format it, or put another cartridge in."),
        )
    raise NotMountable(
        M("The cartridge {barcode} has no volume that LTFS can read.", barcode=_called(medium)),
        M("Put another cartridge in."),
    )


def _check_lock(lock: WriteLock, label: str | None) -> None:
    """Raises TapeWriteError if a write has failed, WriteProtected if a program has set the lock."""
    if lock is WriteLock.WRITE_ERROR:
        raise TapeWriteError(
            M("The volume {label} is read-only for ever, since a write to it failed.", label=label),
            M("Use another tape; what was sealed stays readable."),
        )
    if lock is WriteLock.ADVISORY:
        raise locked_by_a_program(label)


def _check_switch(medium: Medium) -> None:
    if medium.write_protected:
        raise WriteProtected(
            M("Cartridge {barcode} is write-protected.", barcode=_called(medium)),
            M("Move its switch to writable, or put another cartridge in."),
        )


def _called(medium: Medium) -> str:
    return medium.label or medium.medium_serial or "-"
