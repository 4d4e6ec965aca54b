"""Whether a clock can be trusted: a wrong one names the wrong month, and makes kept sets look expired."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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


USUAL_QUIET = timedelta(days=35)
"""It is normal that an installation is switched off from one monthly backup to the next."""


@dataclass(frozen=True, slots=True)
class LastSeen:
    """The last time at which the clock was seen running normally."""

    seen_at: datetime
    longest_quiet: timedelta = timedelta()
    """The longest time without a sign of life that a person has confirmed."""


def leap(now: datetime, mark: LastSeen | None) -> Message | None:
    """Why the clock may be wrong now, or None. A clock that jumps far ahead makes every kept set look
    expired. If it is far behind the last time seen, either the clock or that mark is wrong."""
    if mark is None:
        return M(
            "Nothing is known of when the clock was last right; it reads {now}. If that is the time:"
            " tapeline clock confirm --why TEXT",
            now=_utc(now),
        )
    if abs(now - mark.seen_at) <= max(USUAL_QUIET, mark.longest_quiet):
        return None
    return M(
        "The clock reads {now}, and {seen} when it was last seen. No tape is formatted until somebody"
        " confirms it. If it is wrong, set it right; if that is the time: tapeline clock confirm --why TEXT",
        now=_utc(now),
        seen=_utc(mark.seen_at),
    )


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
