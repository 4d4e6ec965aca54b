"""What operators are told of, and when."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """Something that is said once for each time it happens; the values are stored in the outbox."""

    SUCCESS = "success"
    """Everything that was asked for is on tape, sealed and catalogued."""
    WARNINGS = "warnings"
    """As success, but something was left out or changed while it was read; the notice counts it."""
    FAILED = "failed"
    """The run ended without doing what it was for; somebody has to look."""
    SKIPPED = "skipped"
    """There was nothing to do, for the reason given. Never a success."""
    CANCELLED = "cancelled"
    """An operator ended the run."""
    WAITING_FOR_TAPE = "waiting_for_tape"
    """The run goes on by itself when the tape that it asks for is in the drive."""
    FORMAT_WARNING = "format_warning"
    """The tape could not be formatted and the run goes on with the tape as it is."""
