"""How long a backup set must be kept. Expiry marks, it never erases."""

from __future__ import annotations

from datetime import datetime, timedelta


def until(finished_at: datetime, days: int | None) -> datetime | None:
    """The moment up to which a set is kept; None: for ever."""
    return None if days is None else finished_at + timedelta(days=days)


def is_past(
    retention_until: datetime | None, now: datetime, *, keep_sets: int | None = None, newer: int = 0
) -> bool:
    """Whether a set may be lost. A set without any limit is kept for ever; with two, until both are past.

    ``keep_sets``: so many of the newest are kept; ``newer``: so many complete ones of its kind came after it.
    """
    if retention_until is None and keep_sets is None:
        return False
    days_past = retention_until is None or retention_until <= now
    return days_past and (keep_sets is None or newer >= keep_sets)
