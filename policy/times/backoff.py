"""How long to wait before the next try of something that failed."""

from __future__ import annotations

from datetime import timedelta

_DOUBLINGS = 25
"""A second becomes a year. Without a limit, many failures would overflow a timedelta."""


def pause(first: timedelta, failures: int, longest: timedelta) -> timedelta:
    """``first`` after one failure, twice as long after each further one in a row, at most ``longest``."""
    return min(first * (1 << min(max(failures - 1, 0), _DOUBLINGS)), longest)
