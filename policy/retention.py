"""How long a backup set must be kept. Expiry marks, it never erases."""

from __future__ import annotations

from datetime import datetime, timedelta


def until(finished_at: datetime, days: int | None) -> datetime | None:
    """The moment up to which a set is kept; None: for ever."""
    return None if days is None else finished_at + timedelta(days=days)


def is_past(retention_until: datetime | None, now: datetime) -> bool:
    """Whether a set may be lost. A set without a limit is kept for ever."""
    return retention_until is not None and retention_until <= now
