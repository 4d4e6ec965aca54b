"""Whether a clock can be believed: a wrong one names the wrong month, and lets kept sets look expired."""

from __future__ import annotations

from datetime import datetime, timedelta

from policy.message import M, Message


def doubt(
    now: datetime, *, database: datetime, newest_event: datetime | None, made: datetime, tolerance: timedelta
) -> Message | None:
    """Why the clock of a host cannot be right, or None.

    ``database``: the clock of the database at the same moment; ``newest_event``: when something happened
    last; ``made``: when this version was installed.
    """
    apart = abs(now - database)
    if apart > tolerance:
        return M(
            "The clocks of this host and the database are {seconds} s apart.",
            seconds=round(apart.total_seconds()),
        )
    if newest_event is not None and now < newest_event - tolerance:
        return M(
            "The clock says {now}, but the newest run was told of at {event}.",
            now=_utc(now),
            event=_utc(newest_event),
        )
    if now < made - tolerance:
        return M("The clock says {now}, which is before this version was made.", now=_utc(now))
    return None


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
