"""Inspects the sources of a backup in a process that can be left behind, while the caller watches the
time."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from backup.errors import Ended, SourceSilent
from backup.source.lookout import opened
from backup.source.scan import roots
from policy.message import M
from tape.programs.aside import Wait
from tasks.work import Work

SHOWN_AFTER = 10.0
"""Seconds after which a source that does not answer is reported."""


def for_step(work: Work) -> Wait | None:
    """For a step: it stops at once if it must, and gives up in the end. None if no process can be left
    behind.

    Raises LostClaim, Cancelled, Ended, SourceSilent.
    """
    if sys.platform == "win32":
        return None
    limit = work.settings.stalled_fails_after_seconds

    def wait(about: str, seconds: float) -> None:
        work.heed()
        if work.is_ending():
            raise Ended(
                M("Asked to end while a source did not answer: what is sealed counts."),
                M("The backup goes on when its worker is back."),
            )
        if seconds > SHOWN_AFTER:
            work.waits_for(about)
        if seconds > limit:
            raise _silent(about, limit)

    return wait


def within(limit: float) -> Wait | None:
    """For a caller that waits at most so many seconds in total. Raises SourceSilent."""
    if sys.platform == "win32":
        return None
    ends = time.monotonic() + limit

    def wait(about: str, _seconds: float) -> None:
        if time.monotonic() > ends:
            raise _silent(about, limit)

    return wait


def check(sources: Sequence[str], wait: Wait | None, *, some_may_miss: bool) -> None:
    """Check that they can be read. Raises SourceMissing, SourceUnreadable, SourceUnusable, and what ``wait``
    raises."""
    with opened(wait) as eyes:
        eyes.ask(roots, sources, some_may_miss, about=", ".join(sources))


def _silent(about: str, limit: float) -> SourceSilent:
    return SourceSilent(
        M("The source does not answer: {path} ({seconds} s).", path=about, seconds=round(limit)),
        M("See that its file system or share answers; mount it anew."),
    )
