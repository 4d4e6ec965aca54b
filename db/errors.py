"""What can go wrong with the truth."""

from __future__ import annotations

from policy.errors import Consequence, TapelineError, UsageError


class DatabaseUnavailable(TapelineError):
    """The database does not answer, or cannot work just now."""

    consequence = Consequence.RETRY


class DatabaseFailed(TapelineError):
    """The database is there and could not do what it was asked: waiting changes nothing."""


class WrongEncoding(TapelineError):
    """The database was made in a way in which it cannot hold every text."""


class DatabaseNotMigrated(TapelineError):
    """The database has no tables yet, or those of another version."""


class NotFound(UsageError):
    """A run, schedule, set, tape or file that the operator named does not exist."""


class NotAllowed(TapelineError):
    """The state of a run does not allow what was asked."""


class LostClaim(TapelineError):
    """Another worker owns the step by now; whoever gets this stops at once and changes nothing more."""


class DumpFailed(TapelineError):
    """The database could not be written into a dump, or not be made from one."""
