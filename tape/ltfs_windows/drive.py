"""LTFS on Windows (IBM Storage Archive, single drive edition): programs judged by messages and label."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from policy.message import M
from tape.drive import Health, Medium, MediumState, ProgramRun
from tape.errors import (
    CommandNotFound,
    CommandTimeout,
    DriveBusy,
    DriveError,
    LabelReadTimeout,
    NoMedium,
    NotMountable,
    WriteProtected,
)
from tape.hostlock import HostLock
from tape.ltfs_windows import label as ltfs_windows_label
from tape.ltfs_windows.label import AssignedDrive
from tape.ltfs_windows.setup import WindowsSetup
from tape.ltfs_windows.volume import WindowsVolume
from tape.programs import command, command_line, ltfs_messages
from tape.programs.command import Completed
from tape.volume import no_deep_recovery

EMPTY = frozenset({"NO_MEDIA"})
NOT_PARTITIONED = frozenset({"LTFS_UNFORMATTED"})
"""The state of new cartridges, and of those that another program has written."""
FORMATTED = frozenset({"LTFS_MEDIA", "LTFS_READ_ONLY"})
INCONSISTENT = frozenset({"LTFS_INCONSISTENT"})
UNREADABLE = frozenset({"NO_LTFS_MEDIA"})
PROTECTED = frozenset({"LTFS_READ_ONLY"})
"""All other states (MEDIA_NOT_READY, NOT_MOUNTED, RESET) are temporary: the drive is busy."""

POLL_SECONDS = 0.5


class WindowsDrive:
    """A drive behind a letter. Windows knows neither the volume's UUID nor the cartridge's own serial."""

    def __init__(self, name: str, setup: WindowsSetup) -> None:
        self.name = name
        self._setup = setup

    def look(self) -> Medium:
        """The report of LtfsCmdDrives about the letter, and the label that Windows reads from it."""
        deadline = time.monotonic() + self._setup.limits.label
        status = self._assigned(deadline).status
        if status in EMPTY:
            return Medium(MediumState.NO_MEDIUM)
        if status in NOT_PARTITIONED:
            return Medium(MediumState.FOREIGN, drive=self.name)
        if status in INCONSISTENT:
            return Medium(MediumState.INCONSISTENT, drive=self.name)
        if status in UNREADABLE:
            return Medium(MediumState.UNREADABLE)
        if status not in FORMATTED:
            raise DriveBusy(
                M("Drive {drive} is not ready ({status}).", drive=self.name, status=status),
                M("Wait a minute; if it stays so: tapeline drive load {drive}", drive=self.name),
            )
        return Medium(MediumState.FORMATTED, write_protected=status in PROTECTED, **self._volume(deadline))

    def format(
        self,
        label: str,
        *,
        only: Medium | None = None,
        serial: str | None = None,
        on_output: Callable[[str], None] | None = None,
        inherit: Sequence[int] = (),
    ) -> ProgramRun:
        """Run LtfsCmdFormat once in its own folder; see tape.drive. Its return code alone proves little."""
        argv = self._filled(self._setup.commands.format, label=label, serial=serial)
        with self._lock():
            medium = self._present()
            if only:
                only.check_same(medium)
            _check_switch(medium)
            done = command.run(
                argv,
                limit=self._setup.limits.format,
                cwd=self._setup.tools,
                on_output=on_output,
                inherit=inherit,
                encoding=self._setup.encoding,
            )
        outcome = ltfs_messages.outcome(done.output)
        return ProgramRun(done.argv, done.return_code, done.seconds, done.output, says_done=outcome)

    def relabel(self, label: str) -> None:
        """``label O: NAME``, and the label read back; see tape.drive. Raises DriveError if it did not
        change."""
        argv = self._filled(self._setup.commands.label, label=label)
        with self._lock():
            medium = self._present()
            _check_volume(medium)
            _check_switch(medium)
            done = self._run(argv, self._setup.limits.label)
            label_now = self.look().label
        if label_now != label:
            raise DriveError(
                M(
                    "The label {label} was not written; it reads '{found}'.",
                    label=label,
                    found=label_now or "-",
                ),
                M("The program said: {reason}", reason=ltfs_messages.reason(done.output)),
            )

    @contextmanager
    def mount(self, *, read_only: bool = False) -> Iterator[WindowsVolume]:
        """The tool has mounted the loaded cartridge; see tape.drive. The letter must now show the volume."""
        with self._lock():
            medium = self._present()
            _check_volume(medium)
            if not read_only:
                _check_switch(medium)
            volume = WindowsVolume(self, self._setup.place, medium, read_only=read_only)
            failed = True
            try:
                yield volume
                failed = False
            finally:
                volume.leave(failed=failed)

    def load(self, cartridge: str | None = None) -> Medium:
        """Load and mount the cartridge that was inserted, and inspect it. Raises NoMedium.

        ``cartridge``: the expected label; a drive without a changer cannot fetch another.
        """
        with self._lock():
            if self._state() not in FORMATTED | NOT_PARTITIONED:
                self._run(self._filled(self._setup.commands.load), self._setup.limits.move)
            medium = self._settled()
        if medium.state is MediumState.NO_MEDIUM or cartridge not in {None, medium.label}:
            raise NoMedium(
                M(
                    "There is no cartridge {barcode} in drive {drive}; it has {found}.",
                    barcode=cartridge or "",
                    drive=self.name,
                    found=medium.label or medium.state.value,
                ),
                M("Put that cartridge in by hand."),
            )
        return medium

    def eject(self, *, unload: bool = True) -> None:  # noqa: ARG002 - no changer serves it
        """Unmount, which writes the index, and eject the cartridge; an empty drive stays empty."""
        with self._lock():
            if self._state() in EMPTY:
                return
            done = self._run(self._filled(self._setup.commands.eject), self._setup.limits.move)
            if self._settled().state is not MediumState.NO_MEDIUM:
                raise DriveError(
                    M(
                        "Drive {drive} did not eject: {reason}",
                        drive=self.name,
                        reason=ltfs_messages.reason(done.output),
                    ),
                    M("Close the programs that use the letter, then try again."),
                )

    def health(self) -> Health:
        """The single drive edition reports nothing about it."""
        return Health()

    def check(self, *, deep: bool = False, on_output: Callable[[str], None] | None = None) -> ProgramRun:
        """Run LtfsCmdCheck; see tape.drive. The drive's state afterwards shows whether it has a volume."""
        if deep:
            raise no_deep_recovery(self.name)
        with self._lock():
            argv = self._filled(self._setup.commands.check)
            done = self._run(argv, self._setup.limits.check, on_output)
            _check_volume(self._settled())
        return ProgramRun(done.argv, done.return_code, done.seconds, done.output)

    def label(self) -> str | None:
        """The label that the letter shows now, without running LtfsCmdDrives. Raises DriveError."""
        label: str | None = self._volume(time.monotonic() + self._setup.limits.label)["label"]
        return label

    def seal(self) -> None:
        """Run the command that writes the index, if one is configured. Raises OSError, DriveError."""
        if self._setup.commands.seal:
            done = self._run(self._filled(self._setup.commands.seal), self._setup.limits.move)
            if done.return_code:
                raise OSError(f"{done.argv[0]}: {ltfs_messages.reason(done.output)}")

    def _assigned(self, deadline: float) -> AssignedDrive:
        """The line of this letter. Raises DriveError if no drive has it: it moved, or is not assigned."""
        done = self._ask(self._filled(self._setup.commands.drives), deadline)
        drives = ltfs_windows_label.of_drives(done.output)
        for drive in drives:
            if drive.letter == self._setup.letter:
                return drive
        raise DriveError(
            M(
                "No tape drive has the letter {letter}; LTFS knows: {drives}.",
                letter=self._setup.letter,
                drives=", ".join(f"{drive.letter or '-'} ({drive.status})" for drive in drives) or "-",
            ),
            M("Assign the letter with LtfsCmdAssign, or correct the setting 'letter'."),
        )

    def _volume(self, deadline: float) -> dict[str, Any]:
        """Label, space, and whether it has files. Three programs can report the label; the first that does
        counts."""
        volume = self._read(deadline)
        if volume is None:
            volume = self._by_text(deadline)
        system = volume.pop("file_system", None)
        if system and self._setup.file_system and system != self._setup.file_system:
            raise DriveError(
                M(
                    "The letter {letter} is no volume of LTFS but of {system}.",
                    letter=self._setup.letter,
                    system=system,
                ),
                M("The letter has moved: see 'LtfsCmdDrives', and correct the setting 'letter'."),
            )
        return volume

    def _read(self, deadline: float) -> dict[str, Any] | None:
        done = self._ask(self._filled(self._setup.commands.read), deadline)
        if done.return_code:
            return None
        volume: dict[str, Any] = json.loads(done.output.splitlines()[-1])
        return {**volume, "label": volume["label"] or None}

    def _by_text(self, deadline: float) -> dict[str, Any]:
        readers = (
            (self._setup.commands.fsutil, ltfs_windows_label.of_fsutil),
            (self._setup.commands.vol, ltfs_windows_label.of_vol),
        )
        for words, parse in readers:
            try:
                label = parse(self._ask(self._filled(words), deadline).output)
            except CommandNotFound:
                continue
            if label:
                return {"label": label.text, "file_system": label.file_system}
        raise DriveError(
            M("The drive letter {letter} shows no volume.", letter=self._setup.letter),
            M("See 'LtfsCmdDrives': the letter may have moved, or its mount be dead; load the tape again."),
        )

    def _state(self) -> str:
        return self._assigned(time.monotonic() + self._setup.limits.label).status

    def _settled(self) -> Medium:
        """What is in the drive once it has come to rest. Raises DriveBusy at the limit."""
        deadline = time.monotonic() + self._setup.limits.move
        while True:
            try:
                return self.look()
            except DriveBusy:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def _present(self) -> Medium:
        medium = self.look()
        if medium.state is MediumState.NO_MEDIUM:
            raise NoMedium(
                M("There is no cartridge in drive {drive}.", drive=self.name), M("Put a cartridge in.")
            )
        return medium

    def _ask(self, argv: Sequence[str], deadline: float) -> Completed:
        try:
            return self._run(argv, max(deadline - time.monotonic(), 0.01))
        except CommandTimeout as error:
            raise LabelReadTimeout(
                M(
                    "The label in drive {drive} could not be read within {limit:g} s.",
                    drive=self.name,
                    limit=self._setup.limits.label,
                ),
                M("See that the drive is ready, then try again."),
            ) from error

    def _run(
        self, argv: Sequence[str], limit: float, on_output: Callable[[str], None] | None = None
    ) -> Completed:
        return command.run(
            argv, limit=limit, cwd=self._setup.tools, on_output=on_output, encoding=self._setup.encoding
        )

    def _filled(
        self, words: Sequence[str], *, label: str | None = None, serial: str | None = None
    ) -> list[str]:
        known = {
            "letter": self._setup.letter,
            "label": label,
            "serial": serial,
            "root": str(self._setup.place),
        }
        program, *arguments = command_line.fill(words, **known)
        beside = self._setup.tools / program
        return [str(beside) if beside.exists() else program, *arguments]

    def _lock(self) -> HostLock:
        self._setup.folder.mkdir(parents=True, exist_ok=True)
        return HostLock(self._setup.folder / "mount.lock")


def _check_volume(medium: Medium) -> None:
    if medium.state is not MediumState.FORMATTED:
        raise NotMountable(
            M("The tape in the drive has no volume ({state}).", state=medium.state.value),
            M("Format it, have it checked with 'tapeline drive check', or put another cartridge in."),
        )


def _check_switch(medium: Medium) -> None:
    if medium.write_protected:
        raise WriteProtected(
            M(
                "The tape {label} is read-only: its switch is set, or a write to it has failed before.",
                label=medium.label or "-",
            ),
            M("If its switch is not set, retire it: 'tapeline tape mark'. Put another cartridge in."),
        )
