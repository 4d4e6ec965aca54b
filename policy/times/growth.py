"""How backups grow: the size of a future one, from the sizes of the last ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import linear_regression, median

LOOKED_AT = 12
"""How many of the last sets count."""
ENOUGH = 3
"""From fewer sets no growth can be seen."""
MONTH = timedelta(days=30)

Sizes = Sequence[tuple[datetime, int]]
"""The last sets of one kind, oldest first: when each was finished, and its bytes."""


def projected(sizes: Sizes, at: datetime) -> int | None:
    """The bytes of a set at a future moment. None: there was none to go by.

    Sets that grow go on as they grew, and none is taken to be smaller than the newest; of others the median
    counts.
    """
    last = sizes[-LOOKED_AT:]
    if not last:
        return None
    slope = _slope(last)
    if slope <= 0:
        return int(median(size for _, size in last))
    ended, newest = last[-1]
    return int(newest + slope * max((at - ended).total_seconds(), 0.0))


def per_month(sizes: Sizes) -> int | None:
    """By how many bytes a set grows in 30 days; negative if it shrinks. None: too few sets."""
    last = sizes[-LOOKED_AT:]
    return int(_slope(last) * MONTH.total_seconds()) if len(last) >= ENOUGH else None


def _slope(sizes: Sizes) -> float:
    """Bytes a second."""
    begun = sizes[0][0]
    times = [(at - begun).total_seconds() for at, _ in sizes]
    if len(sizes) < ENOUGH or len(set(times)) == 1:
        return 0.0
    return float(linear_regression(times, [size for _, size in sizes]).slope)
