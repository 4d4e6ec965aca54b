"""The judge's whole answer, from a drive that tells what a test has it tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from policy.message import M
from tape.drive import Drive, Medium, MediumState, ProgramRun
from tape.errors import CommandTimeout, DriveBusy, DriveError, FormatFailed, LabelReadTimeout, TapeChanged
from tape.judge import FormatOutcome, format_cartridge

LABEL = "TP20261101"
SAID = "LTFS15012E Failed to format the medium."
BEFORE = Medium(MediumState.FORMATTED, label="TP20261001", volume_uuid="u1", medium_serial="m1", empty=False)
AFTER = Medium(MediumState.FORMATTED, label=LABEL, volume_uuid="u2", medium_serial="m1", empty=True)
BLANK = Medium(MediumState.BLANK)
DONE = ProgramRun(("mkltfs",), 0, 1.5, "")


def print_nothing(_line: str) -> None:
    """Where the program's output goes."""


class Told:
    """A drive that answers each look and each format as it was told, and remembers how it was asked."""

    def __init__(self, *looks: Medium | DriveError, format_: ProgramRun | DriveError = DONE) -> None:
        self._looks = list(looks)
        self._format = format_
        self.asked: list[dict[str, Any]] = []

    def look(self) -> Medium:
        answer = self._looks.pop(0)
        if isinstance(answer, DriveError):
            raise answer
        return answer

    def format(
        self,
        label: str,
        *,
        only: Medium | None = None,
        serial: str | None = None,
        on_output: Callable[[str], None] | None = None,
        inherit: Sequence[int] = (),
    ) -> ProgramRun:
        self.asked.append(
            {"label": label, "only": only, "serial": serial, "on_output": on_output, "inherit": inherit}
        )
        if isinstance(self._format, DriveError):
            raise self._format
        return self._format


def judged(drive: Told, **how: Any) -> FormatOutcome:
    return format_cartridge(cast("Drive", drive), LABEL, **how)


def test_the_program_is_started_for_the_tape_that_was_looked_at_and_no_other() -> None:
    """The drive compares once more what it holds; the lock is handed on, the serial asked for."""
    drive = Told(BEFORE, AFTER)
    assert judged(drive, serial="261101", on_output=print_nothing, inherit=(7,)) == FormatOutcome(
        BEFORE, DONE, AFTER, ok=True
    )
    asked = {"only": BEFORE, "serial": "261101", "on_output": print_nothing, "inherit": (7,)}
    assert drive.asked == [{"label": LABEL, **asked}]


def test_another_tape_than_the_permitted_one_is_not_touched() -> None:
    """Nothing was started, and what is in the drive is what is in the drive."""
    drive = Told(BEFORE)
    outcome = judged(drive, expected=BLANK.identity)
    assert (outcome.before, outcome.run, outcome.after, outcome.ok) == (BEFORE, None, BEFORE, False)
    assert isinstance(outcome.error, TapeChanged)
    assert drive.asked == []


def test_a_drive_that_refuses_has_started_nothing() -> None:
    """Its error is the outcome."""
    error = DriveBusy(M("busy"))
    assert judged(Told(BEFORE, format_=error)) == FormatOutcome(BEFORE, None, BEFORE, ok=False, error=error)


def failed(drive: Told, **how: Any) -> tuple[FormatOutcome, str]:
    outcome = judged(drive, **how)
    assert outcome.ok is False
    assert isinstance(outcome.error, FormatFailed)
    return outcome, str(outcome.error.message)


@pytest.mark.parametrize(
    ("output", "reported"), [(f"LTFS15000I x\n{SAID}\n", f" The program: {SAID}"), (" \n", "")]
)
def test_a_failure_names_what_was_asked_and_found_and_what_the_program_reported(
    output: str, reported: str
) -> None:
    """In one message, for whoever has only that."""
    run = ProgramRun(("mkltfs",), 1, 1.5, output)
    outcome, message = failed(Told(BLANK, BLANK, format_=run))
    assert (outcome.before, outcome.run, outcome.after) == (BLANK, run, BLANK)
    assert message == (f"The format failed (return code 1): asked for {LABEL}, found a blank tape.{reported}")
    assert outcome.error
    assert outcome.error.remedy


@pytest.mark.parametrize(
    ("after", "says_done"),
    [
        (Medium(MediumState.FORMATTED, label=LABEL, empty=True), None),
        (Medium(MediumState.FORMATTED, label=LABEL, empty=None), True),
    ],
    ids=["nobody says so", "not known to be empty"],
)
def test_the_right_label_after_a_failure_needs_a_new_volume_or_a_program_that_says_done(
    after: Medium, says_done: bool | None
) -> None:
    """Where the drive names no volume, an old one of the same label looks the same."""
    run = ProgramRun(("mkltfs",), 1, 1.5, "", says_done=says_done)
    outcome, message = failed(Told(BEFORE, after, format_=run))
    assert (outcome.before, outcome.run, outcome.after) == (BEFORE, run, after)
    assert message == f"The format failed (return code 1): the volume {LABEL} is not a new, empty one."


@pytest.mark.parametrize(
    ("run", "after"),
    [
        (ProgramRun(("mkltfs",), 1, 1.5, ""), AFTER),
        (
            ProgramRun(("mkltfs",), 1, 1.5, "", says_done=True),
            Medium(MediumState.FORMATTED, label=LABEL, empty=True),
        ),
    ],
    ids=["a new volume", "the program says done"],
)
def test_a_format_that_is_there_is_done_with_a_warning(run: ProgramRun, after: Medium) -> None:
    """Whatever the return code says."""
    outcome = judged(Told(BEFORE, after, format_=run))
    assert (outcome.before, outcome.run, outcome.after, outcome.ok) == (BEFORE, run, after, True)
    assert str(outcome.warning).startswith("The format program ended with 1")


def test_a_program_that_was_ended_at_its_limit_is_judged_by_the_tape() -> None:
    """What it was, how long it ran and what it reported stays in the story."""
    late = CommandTimeout(M("late"), argv=["mkltfs", "-d"], seconds=9000.0, output=SAID)
    run = ProgramRun(("mkltfs", "-d"), None, 9000.0, SAID)
    outcome, message = failed(Told(BLANK, BLANK, format_=late))
    assert outcome.run == run
    assert message == (
        f"The format failed (return code -): asked for {LABEL}, found a blank tape. The program: {SAID}"
    )
    assert judged(Told(BLANK, AFTER, format_=late)).ok is True


def test_a_label_that_cannot_be_read_back_leaves_the_result_unknown() -> None:
    """Neither the old tape nor a new one: unreadable, with the drive's reason and remedy."""
    silent = LabelReadTimeout(M("silent"), M("See that the drive is ready."))
    outcome, message = failed(Told(BEFORE, silent))
    unknown = Medium(MediumState.UNREADABLE)
    assert (outcome.before, outcome.run, outcome.after) == (BEFORE, DONE, unknown)
    assert message == (
        f"The format's result is not known (return code 0): label {LABEL} could not be read back."
    )
    assert outcome.error
    assert outcome.error.remedy == silent.remedy
    assert outcome.error.__cause__ is silent
