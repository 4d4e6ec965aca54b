"""Waits for temporary obstacles to pass: a busy drive, a label that is not read in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from backup.errors import Ended
from db.errors import DatabaseUnavailable
from policy.errors import Consequence, TapelineError
from policy.message import M
from tasks.work import Work

T = TypeVar("T")

FIRST_PAUSE = 1.0
MAX_PAUSE = 30.0


def wait_out(work: Work, act: Callable[[], T], *, limit: float) -> T:
    """Do ``act``, and retry with growing pauses as long as it fails with the consequence ``retry``.

    ``limit``: seconds after which its error is raised. An unavailable database has been waited for already
    (``Work.db``). Raises LostClaim, Cancelled, Ended as well: between two tries is a safe point.
    """
    ends = time.monotonic() + limit
    pause, last_error = FIRST_PAUSE, ""
    while True:
        try:
            return act()
        except DatabaseUnavailable:
            raise
        except TapelineError as error:
            left = ends - time.monotonic()
            if error.consequence is not Consequence.RETRY:
                raise
            if left <= 0:
                # It has been waited for: the caller does not begin to wait once more.
                error.consequence = Consequence.FAIL_RUN
                raise
            if str(error) != last_error:
                last_error = str(error)
                _tell(work, error, left)
        _pause(work, min(pause, left))
        pause = min(2 * pause, MAX_PAUSE)


def _tell(work: Work, error: TapelineError, left: float) -> None:
    work.tell(
        M(
            "{error} Trying again for {minutes} min at the most.",
            error=error.message.to_json(),
            minutes=max(1, round(left / 60)),
        ),
        level="warning",
    )


def _pause(work: Work, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        work.heed()
        if work.is_ending():
            raise Ended(M("Asked to end while it waited."), M("It goes on when its worker is back."))
        time.sleep(min(left, 0.5))
