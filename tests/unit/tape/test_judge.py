"""What is read back decides about a format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tape.drive import Medium, MediumState, ProgramRun
from tape.errors import DriveBusy, DriveError, FormatFailed, NoMedium, TapeChanged, WriteProtected
from tape.judge import FormatOutcome, format_cartridge
from tape.virtual.drive import (
    VirtualDrive,
    insert,
    new_cartridge,
    set_faults,
    set_write_protected,
)

OLD, NEW = "TP20261001", "TP20261101"
BARCODE = "TAPE01L8"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A drive with a formatted cartridge with one file on it."""
    new_cartridge(tmp_path, BARCODE, capacity=10_000)
    insert(tmp_path, BARCODE)
    drive = VirtualDrive("tape", tmp_path)
    assert format_cartridge(drive, OLD).ok
    with drive.mount() as volume:
        volume.create("file").close()
    return tmp_path


def judged(path: Path, *faults: dict[str, Any], label: str = NEW, limit: float = 20.0) -> FormatOutcome:
    set_faults(path, BARCODE, faults)
    return format_cartridge(VirtualDrive("tape", path, label_limit=0.2, format_limit=limit), label)


def test_a_tape_that_was_changed_at_the_last_moment_is_not_formatted(path: Path) -> None:
    """The identity is read again just before the program would start; another one is left as it is."""
    permitted = VirtualDrive("tape", path).look().identity
    new_cartridge(path, "OTHER1L8", capacity=10_000)
    insert(path, "OTHER1L8")
    outcome = format_cartridge(VirtualDrive("tape", path), NEW, expected=permitted)
    assert (outcome.ok, outcome.run) == (False, None)
    assert isinstance(outcome.error, TapeChanged)
    assert VirtualDrive("tape", path).look().state is MediumState.BLANK
    insert(path, BARCODE)
    assert format_cartridge(VirtualDrive("tape", path), NEW, expected=permitted).ok


def test_a_good_format(path: Path) -> None:
    """Return code 0 and the new label: done, without a word."""
    outcome = judged(path)
    assert (outcome.ok, outcome.warning, outcome.error) == (True, None, None)
    assert outcome.run is not None
    assert (outcome.run.return_code, outcome.before.label, outcome.after.label) == (0, OLD, NEW)


@pytest.mark.parametrize(
    ("error", "code", "state", "label"),
    [
        ("lie_ok", 0, MediumState.FORMATTED, OLD),
        ("wrong_label", 0, MediumState.FORMATTED, f"{NEW}X"),
        ("half", 1, MediumState.UNREADABLE, None),
        ("eio", 1, MediumState.FORMATTED, OLD),
    ],
)
def test_a_format_that_failed(
    path: Path, error: str, code: int, state: MediumState, label: str | None
) -> None:
    """Without the new label on the tape it is a failure, whatever the return code says."""
    outcome = judged(path, {"at": "format", "error": error})
    assert not outcome.ok
    assert isinstance(outcome.error, FormatFailed)
    assert outcome.error.remedy
    assert outcome.run is not None
    assert outcome.run.return_code == code
    assert (outcome.after.state, outcome.after.label) == (state, label)


def test_a_format_that_is_better_than_it_says(path: Path) -> None:
    """Another return code, but the new label on a new and empty volume: done, with a warning."""
    outcome = judged(path, {"at": "format", "error": "lie_error"})
    assert outcome.ok
    assert outcome.error is None
    assert outcome.warning is not None
    assert (
        str(outcome.warning) == f"The format program ended with 1; yet volume {NEW} is there, new and empty."
    )


@pytest.mark.parametrize("error", ["lie_ok", "eio"])
def test_the_old_volume_with_the_same_label(path: Path, error: str) -> None:
    """The label alone proves nothing: the same label on the old volume is a failure."""
    outcome = judged(path, {"at": "format", "error": error}, label=OLD)
    assert not outcome.ok
    assert "not a new, empty one" in str(outcome.error)


@pytest.mark.parametrize(("error", "done"), [("hang", False), ("hang_after", True)])
def test_a_time_out(path: Path, error: str, done: bool) -> None:
    """A format that did not end is judged by the tape as well."""
    outcome = judged(path, {"at": "format", "error": error, "seconds": 60}, limit=3.0)
    assert outcome.ok is done
    assert outcome.run is not None
    assert outcome.run.return_code is None
    assert "LTFS15003I" in outcome.run.output
    if done:
        assert outcome.after.label == NEW
        assert "did not end" in str(outcome.warning)
    else:
        assert isinstance(outcome.error, FormatFailed)


def test_a_time_out_in_the_middle(tmp_path: Path) -> None:
    """A format that is ended half-way leaves a cartridge that is not blank but unreadable."""
    new_cartridge(tmp_path, BARCODE, capacity=10_000, format_seconds=60)
    insert(tmp_path, BARCODE)
    outcome = judged(tmp_path, limit=3.0)
    assert not outcome.ok
    assert outcome.before.state is MediumState.BLANK
    assert outcome.after.state is MediumState.UNREADABLE


def test_nothing_started(path: Path) -> None:
    """Where the format is refused before it starts, the reason is in the outcome and the tape as before."""
    set_write_protected(path, BARCODE, on=True)
    outcome = judged(path)
    assert not outcome.ok
    assert outcome.run is None
    assert isinstance(outcome.error, WriteProtected)
    assert outcome.after == outcome.before


def test_an_empty_drive(tmp_path: Path) -> None:
    """An empty drive is refused with NoMedium."""
    outcome = format_cartridge(VirtualDrive("tape", tmp_path), NEW)
    assert isinstance(outcome.error, NoMedium)


def test_no_answer_afterwards(path: Path) -> None:
    """If the label cannot be read back, the format has failed, and the reason is the cause."""
    outcome = judged(path, {"at": "look", "error": "hang", "nth": 2, "seconds": 60})
    assert not outcome.ok
    assert isinstance(outcome.error, FormatFailed)
    assert isinstance(outcome.error.__cause__, DriveError)
    assert outcome.after.state is MediumState.UNREADABLE


BEFORE = Medium(MediumState.FORMATTED, OLD, "uuid-1", "TP1001", "M1", "B1", empty=False)
AFTER = replace(BEFORE, label=NEW, volume_uuid="uuid-2", serial="TP1101", empty=True)


class ScriptedDrive(VirtualDrive):
    """Says what it is told to, so that answers are judged which the virtual drive never gives."""

    def __init__(self, after: Medium, code: int) -> None:
        super().__init__("tape", Path())
        self._answers = [BEFORE, after]
        self._code = code
        self.formats = 0

    def look(self) -> Medium:
        return self._answers.pop(0)

    def format(
        self,
        label: str,
        *,
        only: Medium | None = None,
        serial: str | None = None,
        on_output: Callable[[str], None] | None = None,
        inherit: Sequence[int] = (),
    ) -> ProgramRun:
        self.formats += 1
        return ProgramRun(["format"], self._code, 1.0, "")


@pytest.mark.parametrize(
    ("after", "zero", "other"),
    [
        (AFTER, True, True),
        (replace(AFTER, volume_uuid=None), True, False),
        (replace(AFTER, empty=None), True, False),
        (replace(AFTER, serial=None, medium_serial=None, barcode=None), True, True),
        (replace(AFTER, empty=False), False, False),
        (replace(AFTER, volume_uuid="uuid-1"), False, False),
        (replace(AFTER, serial="OTHER1"), False, False),
        (replace(AFTER, medium_serial="M2"), False, False),
        (replace(AFTER, barcode="B2"), False, False),
        (replace(AFTER, label=None), False, False),
        (replace(AFTER, state=MediumState.UNREADABLE), False, False),
        (replace(AFTER, state=MediumState.BLANK), False, False),
        (Medium(MediumState.NO_MEDIUM), False, False),
    ],
)
def test_every_answer(after: Medium, zero: bool, other: bool) -> None:
    """Nothing may speak against the volume; another return code needs everything to speak for it."""
    for code, expected in ((0, zero), (1, other)):
        drive = ScriptedDrive(after, code)
        outcome = format_cartridge(drive, NEW, serial="TP1101")
        assert outcome.ok is expected
        assert (outcome.error is None) is expected
        assert (outcome.warning is not None) is (expected and code == 1)
        assert drive.formats == 1


def test_a_busy_drive_is_not_formatted(path: Path) -> None:
    """A drive that somebody holds is refused with DriveBusy and nothing is started."""
    drive = VirtualDrive("tape", path)
    with drive.mount():
        outcome = format_cartridge(drive, NEW)
    assert isinstance(outcome.error, DriveBusy)
    assert outcome.run is None
