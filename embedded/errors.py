"""Errors of the embedded servers and the supervised programs."""

from __future__ import annotations

from policy.errors import TapelineError


class EmbeddedError(TapelineError):
    """The embedded servers or the supervised programs cannot do what was requested."""


class NotOnThisPlatform(EmbeddedError):
    """This platform has no embedded servers; the operator sets the addresses of real ones."""

    exit_code = 2


class ServerNotInstalled(EmbeddedError):
    """No usable program of PostgreSQL or Redis was found."""


class ServerFailed(EmbeddedError):
    """A server did not start, answer or stop as it should."""


class StateFolderUnusable(EmbeddedError):
    """The state folder cannot be used: its path, its owner or a folder above it."""

    exit_code = 2


class AlreadyUp(EmbeddedError):
    """Another supervisor uses the state folder."""
