"""The events that operators get messages about."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """An event that is announced once each time it happens; the values are stored in the outbox."""

    STARTED = "started"
    """The run has its drive and begins."""
    SUCCESS = "success"
    """Everything requested is on tape, sealed and catalogued."""
    WARNINGS = "warnings"
    """As success, but something was left out or changed while it was read; the notice counts it."""
    FAILED = "failed"
    """The run ended without its result; somebody has to look."""
    TAPE_ERROR = "tape_error"
    """As failed, and nothing may write to the cartridge any more."""
    SKIPPED = "skipped"
    """There was nothing to do, for the reason given. Never a success."""
    MISSED = "missed"
    """An occurrence of a schedule passed without a run, because nothing could start it."""
    CANCELLED = "cancelled"
    """An operator cancelled the run."""
    WAITING_FOR_TAPE = "waiting_for_tape"
    """The run continues when the tape that it asks for is in the drive."""
    HELD = "held"
    """The sources of a run are not as they were: it writes nothing until a person has accepted them."""
    STALLED = "stalled"
    """A run makes no progress: what it waits for does not answer, or no worker works on it."""
    REMINDER = "reminder"
    """A run that is due soon would not accept the tape that is in the drive now."""
    READY = "ready"
    """A run that is due soon finds the tape that it needs."""
    FORMAT_WARNING = "format_warning"
    """The tape could not be formatted and the run continues with the tape as it is."""
    CAPACITY = "capacity"
    """A tape is nearly full, or the next backup may not fit on it."""
    SETS_LOST = "sets_lost"
    """Backup sets are not on their tape any more: somebody else has formatted or changed it."""
    AFTER_FAILED = "after_failed"
    """A command that follows a run failed: what an earlier one did may still be in effect."""
    LIBRARY = "library"
    """A library needs somebody: a barcode is on the wrong cartridge, a tape is to be taken out."""
    DRIVE_SILENT = "drive_silent"
    """The worker of a drive was silent for minutes."""
    DRIVE_BACK = "drive_back"
    """The worker of a drive that was silent is back."""
    REPORT = "report"
    """What is protected since when, what went wrong and which tapes are needed; also when all is well."""
    CHANNEL_DOWN = "channel_down"
    """A channel does not accept messages; the others report this."""


CALLS = frozenset(
    {
        Event.FAILED,
        Event.TAPE_ERROR,
        Event.MISSED,
        Event.WAITING_FOR_TAPE,
        Event.STALLED,
        Event.REMINDER,
        Event.FORMAT_WARNING,
        Event.SETS_LOST,
        Event.AFTER_FAILED,
        Event.LIBRARY,
        Event.DRIVE_SILENT,
        Event.CHANNEL_DOWN,
    }
)
"""Somebody has to act: a robot of DingTalk calls the members whose numbers it has."""

OFF_BY_DEFAULT = frozenset({Event.STARTED, Event.READY})
"""All is well so far: each time only for channels that enable it."""

MONTHLY = frozenset({Event.READY})
"""Once a month for each schedule, unless a channel enables or disables it: a sign that reminders work."""
