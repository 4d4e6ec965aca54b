"""How long a backup set must be kept. Expiry marks, it never erases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

ALWAYS = datetime.min.replace(tzinfo=UTC)
"""From when a set may be lost that nothing keeps."""
NEVER = datetime.max.replace(tzinfo=UTC)
"""When a set may be lost that is kept for ever, or until an event without a date."""


def until(finished_at: datetime, days: int | None) -> datetime | None:
    """The moment until which a set is kept; None: for ever."""
    return None if days is None else finished_at + timedelta(days=days)


def past_from(retention_until: datetime | None, *, keep_sets: int | None = None, newer: int = 0) -> datetime:
    """From when a set may be lost. Without any limit it is kept for ever; with two, until both are past.

    ``keep_sets``: so many of the newest are kept; ``newer``: so many complete ones of its kind are newer.
    """
    if keep_sets is None:
        return NEVER if retention_until is None else retention_until
    if newer < keep_sets:
        return NEVER
    return ALWAYS if retention_until is None else retention_until


def is_past(
    retention_until: datetime | None, now: datetime, *, keep_sets: int | None = None, newer: int = 0
) -> bool:
    """Whether these limits allow a set to be lost (``past_from``)."""
    return past_from(retention_until, keep_sets=keep_sets, newer=newer) <= now
