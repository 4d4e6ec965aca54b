"""Judges a format: the label read back decides, not the return code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from policy.errors import TapelineError
from policy.message import M, Message
from policy.tapes.facts import described
from tape.drive import Drive, Medium, MediumState, ProgramRun, changed
from tape.errors import CommandTimeout, DriveError, FormatFailed
from tape.programs.ltfs_messages import reason


@dataclass(frozen=True, slots=True)
class FormatOutcome:
    """One format, from the contents of the drive before it to what is read back."""

    before: Medium
    run: ProgramRun | None
    """None: the program was not started, and nothing was changed."""
    after: Medium
    """``unreadable`` too if the drive gave no answer afterwards."""
    ok: bool
    warning: Message | None = None
    """It is done, although the program did not report that."""
    error: TapelineError | None = None


def format_cartridge(
    drive: Drive,
    label: str,
    *,
    expected: Mapping[str, object] | None = None,
    serial: str | None = None,
    read_back: Callable[[], Medium] | None = None,
    on_output: Callable[[str], None] | None = None,
    inherit: Sequence[int] = (),
) -> FormatOutcome:
    """Format the cartridge in the drive once, read the label back and judge. Never formats twice.

    ``expected``: the identity that the format is permitted for, compared at the last moment; the drive once
    more compares its tape with the inspected one. ``read_back``: reads the label afterwards, if a caller
    waits longer than the drive. Raises a DriveError only if the first inspection does, and nothing was
    started then; later reports of the drive are in the outcome.
    """
    before = drive.look()
    if expected is not None and before.identity != dict(expected):
        return FormatOutcome(before, None, before, ok=False, error=changed(before))
    try:
        run = drive.format(label, only=before, serial=serial, on_output=on_output, inherit=inherit)
    except CommandTimeout as error:
        run = ProgramRun(error.argv, None, error.seconds, error.output)
    except DriveError as error:
        return FormatOutcome(before, None, before, ok=False, error=error)
    try:
        after = (read_back or drive.look)()
    except DriveError as error:
        return _unknown(before, run, label, error)
    return _judge(before, run, after, label, serial)


def _judge(before: Medium, run: ProgramRun, after: Medium, label: str, serial: str | None) -> FormatOutcome:
    if not _is_asked_for(before, after, label, serial):
        return FormatOutcome(before, run, after, ok=False, error=_failed(run, after, label))
    if run.return_code == 0:
        return FormatOutcome(before, run, after, ok=True)
    if _is_surely_new(before, after) or (run.says_done and after.empty is True):
        return FormatOutcome(before, run, after, ok=True, warning=_warning(run, label))
    return FormatOutcome(before, run, after, ok=False, error=_failed(run, after, label))


def _is_asked_for(before: Medium, after: Medium, label: str, serial: str | None) -> bool:
    """No known fact contradicts the requested volume, on the cartridge that was there."""
    return (
        after.state is MediumState.FORMATTED
        and after.label == label
        and after.empty is not False
        and _agree(serial, after.serial)
        and _agree(before.medium_serial, after.medium_serial)
        and _agree(before.barcode, after.barcode)
        and (after.volume_uuid is None or after.volume_uuid != before.volume_uuid)
    )


def _is_surely_new(before: Medium, after: Medium) -> bool:
    """A drive that does not report which volume it has cannot outweigh a return code."""
    return after.volume_uuid is not None and after.volume_uuid != before.volume_uuid and after.empty is True


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _warning(run: ProgramRun, label: str) -> Message:
    if run.return_code is None:
        return M(
            "The format program did not end within its limit; yet volume {label} is there, new and empty.",
            label=label,
        )
    return M(
        "The format program ended with {code}; yet volume {label} is there, new and empty.",
        code=run.return_code,
        label=label,
    )


def _failed(run: ProgramRun, after: Medium, label: str) -> FormatFailed:
    remedy = M("Read the program's output, look at the drive and the cartridge, then retry the run.")
    if after.label == label:
        message = M(
            "The format failed (return code {code}): the volume {label} is not a new, empty one.",
            code=_code(run),
            label=label,
        )
    else:
        message = M(
            "The format failed (return code {code}): asked for {label}, found {found}.",
            code=_code(run),
            label=label,
            found=described(after.state.value, after.label),
        )
    return FormatFailed(_with_what_it_reported(message, run.output), remedy)


def _with_what_it_reported(message: Message, output: str) -> Message:
    if not output.strip():
        return message
    return M("{failed} The program: {reported}", failed=message.to_json(), reported=reason(output))


def _unknown(before: Medium, run: ProgramRun, label: str, error: DriveError) -> FormatOutcome:
    failure = FormatFailed(
        M(
            "The format's result is not known (return code {code}): label {label} could not be read back.",
            code=_code(run),
            label=label,
        ),
        error.remedy,
    )
    failure.__cause__ = error
    return FormatOutcome(before, run, Medium(MediumState.UNREADABLE), ok=False, error=failure)


def _code(run: ProgramRun) -> str:
    return "-" if run.return_code is None else str(run.return_code)
