"""Database errors."""

from __future__ import annotations

from policy.errors import Consequence, TapelineError, UsageError


class DatabaseUnavailable(TapelineError):
    """The database does not answer, or cannot work just now."""

    consequence = Consequence.RETRY


class DatabaseFailed(TapelineError):
    """The database answers and could not do what was requested: waiting does not help."""


class WrongEncoding(TapelineError):
    """The database's encoding cannot store every text."""


class DatabaseNotMigrated(TapelineError):
    """The database has no tables yet, or those of another version."""


class NotFound(UsageError):
    """A run, schedule, set, tape or file that the operator named does not exist."""


class NotAllowed(TapelineError):
    """The state of a run does not permit the request."""


class LostClaim(TapelineError):
    """Another worker has taken over the step; whoever gets this stops at once and changes nothing more."""


class DumpFailed(TapelineError):
    """The database could not be dumped, or not be restored from a dump."""
