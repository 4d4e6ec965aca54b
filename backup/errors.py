"""What can go wrong in the engine besides the drive."""

from __future__ import annotations

from policy.errors import TapelineError, UsageError


class SourceMissing(UsageError):
    """A source is not there; nothing was written."""


class SourceUnreadable(UsageError):
    """A source is there, and the drive's worker may not read it; nothing was written."""


class SourceSilent(TapelineError):
    """A source does not answer: a file server, a share, a disk. What was sealed counts."""


class SourceUnusable(UsageError):
    """A source is relative, a socket or a device; nothing was written."""


class BadRequest(UsageError):
    """Compression, level or sizes of a set are out of range; nothing was written."""


class Ended(TapelineError):
    """The work was asked to end at a safe point; it goes on later where it was."""


class SetExists(UsageError):
    """A new set would take the name of one that is on the volume already."""


class NoSuchSet(UsageError):
    """The volume has no set of this name."""


class SetUnreadable(TapelineError):
    """A document or an index of a set on the volume is damaged, cut off, or of an unknown version."""


class KeyNeeded(UsageError):
    """What is encrypted can be read only with a secret key, and this is none of them."""


class WrongKey(KeyNeeded):
    """What is encrypted is not encrypted to this key; it is as sound as ever."""


class SpoolFailed(TapelineError):
    """The spool folder on the host's disk could not be written or read."""


class TargetFailed(TapelineError):
    """The folder to restore into cannot take any more: full, read-only, or failing."""
