"""What can go wrong with the embedded servers and the supervised programs."""

from __future__ import annotations

from policy.errors import TapelineError


class EmbeddedError(TapelineError):
    """The embedded servers or the supervised programs cannot do what was asked."""


class NotOnThisPlatform(EmbeddedError):
    """This platform has no embedded servers; the operator gives the addresses of real ones."""

    exit_code = 2


class ServerNotInstalled(EmbeddedError):
    """No usable program of PostgreSQL or Redis was found."""


class ServerFailed(EmbeddedError):
    """A server did not start, answer or stop as it should."""


class StateFolderUnusable(EmbeddedError):
    """The state folder cannot be used: its path, its owner or the way to it."""

    exit_code = 2


class AlreadyUp(EmbeddedError):
    """Another supervisor holds the state folder."""
