"""Inspects the sources of a backup in a process that can be left behind, while the caller watches the
time."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from sqlalchemy.orm import Session

from backup.errors import Ended, SourceSilent
from backup.source.lookout import Silence, opened
from backup.source.scan import roots_seen
from db.models import ChainRun
from policy.message import M
from tape.programs.aside import Wait
from tasks.work import Work

SHOWN_AFTER = 10.0
"""Seconds after which a source that does not answer is reported."""


def for_step(work: Work) -> Wait | None:
    """For a step: it stops at once if it must, and gives up in the end: the backup, or only the share if the
    template says so. None if no process can be left behind.

    Raises LostClaim, Cancelled, Ended, SourceSilent.
    """
    if sys.platform == "win32":
        return None
    limit = min(work.settings.source_patience_seconds, work.settings.stalled_fails_after_seconds)

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

    def note(at: str) -> None:
        work.waits_for(None)
        text = M(
            "{path} did not answer for {seconds} s: the backup goes on without it (on_silent_source).",
            path=at,
            seconds=round(limit),
        )
        work.tell(text, level="warning")

    without = work.db(_to_go_on_without)
    return wait if without is None else Silence(wait, note, without)


def _to_go_on_without(_session: Session, run: ChainRun) -> tuple[str, ...] | None:
    """The sources of a run that goes on without a silent one; None: it fails."""
    # From the template as it is now: change it there, and retry the run.
    if run.schedule is None or run.schedule.template.on_silent_source != "continue":
        return None
    return tuple(run.options.sources or run.schedule.template.sources)


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
        roots_seen(sources, eyes, some_may_miss=some_may_miss)


def _silent(about: str, limit: float) -> SourceSilent:
    return SourceSilent(
        M("The source does not answer: {path} ({seconds} s).", path=about, seconds=round(limit)),
        M("See that its file system or share answers; mount it anew."),
    )
