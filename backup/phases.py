"""How the time of a backup was spent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Phases:
    """How the time was spent: seconds, one after the other except for ``drive``."""

    total: float = 0.0
    scan: float = 0.0
    read: float = 0.0
    """Waiting for the sources: for reads here, and for the processes that read ahead."""
    slowed: float = 0.0
    """Waiting because a rate limit of the sources applied."""
    hash: float = 0.0
    compress: float = 0.0
    wait: float = 0.0
    """Waiting for the drive: the buffer is full, or the rest of it must go on tape."""
    seal: float = 0.0
    catalogue: float = 0.0
    drive: float = 0.0
    """The drive writing, at the same time as all of the above."""
    starved: int = 0
    """How often the drive had to stop for data in the middle of an archive."""
