"""Errors of the engine, besides those of the drive."""

from __future__ import annotations

from policy.errors import TapelineError, UsageError


class SourceMissing(UsageError):
    """A source is missing; nothing was written."""


class SourceUnreadable(UsageError):
    """A source exists, but the drive's worker may not read it; nothing was written."""


class SourceSilent(TapelineError):
    """A source does not answer: a file server, a share, a disk. Sealed archives are kept."""


class SourceUnusable(UsageError):
    """A source is relative, a socket or a device; nothing was written."""


class DumpBroken(TapelineError):
    """The command that prints a file of the set failed: what it printed is not whole."""


class DumpTooLong(TapelineError):
    """What a command prints fills a whole tape; it cannot go on on another one."""


class BadRequest(UsageError):
    """Compression, level or sizes of a set are out of range; nothing was written."""


class Ended(TapelineError):
    """The work was asked to stop at a safe point; it continues from there later."""


class SetExists(UsageError):
    """A new set would get the name of one that is already on the volume."""


class NoSuchSet(UsageError):
    """The volume has no set of this name."""


class SetUnreadable(TapelineError):
    """A document or an index of a set on the volume is damaged, cut off, or of an unknown version."""


class KeyNeeded(UsageError):
    """Encrypted data can be read only with a secret key, and none of the given keys fits."""


class WrongKey(KeyNeeded):
    """The data is not encrypted to this key; it is undamaged."""


class SpoolFailed(TapelineError):
    """The spool folder on the host's disk could not be written or read."""


class TargetFailed(TapelineError):
    """The target folder cannot store any more: full, read-only, or failing."""
