"""How often a run is resumed automatically: a limited number of times, and fewer if it makes no progress."""

from __future__ import annotations

from typing import Any

from db.models import ChainRun, ChainStep
from policy.message import M, Message

MAX = 5
"""How often a run is resumed automatically before an operator has to look at it."""
MAX_WITHOUT_PROGRESS = 2
"""The same for a run that ends each time for the same reason, at the same point."""


def count(run: ChainRun, step: ChainStep, reason: Message) -> Message | None:
    """Record that a step ended for this reason and should be resumed; returns why it is not, if that is too
    often."""
    mark = _mark(run, step, reason)
    before = run.resumed or {}
    fruitless = before["fruitless"] + 1 if before.get("mark") == mark else 0
    if fruitless >= MAX_WITHOUT_PROGRESS:
        return M(
            "Step {step} was resumed {count} times and came no further: {reason}",
            step=step.step.value,
            count=fruitless,
            reason=reason.to_json(),
        )
    if run.recoveries >= MAX:
        return M("Step {step} died {count} times.", step=step.step.value, count=run.recoveries + 1)
    run.recoveries += 1
    run.resumed = {"mark": mark, "fruitless": fruitless}
    return None


def _mark(run: ChainRun, step: ChainStep, reason: Message) -> dict[str, Any]:
    """Where the step was when it ended, and the kind of its end."""
    progress = run.progress or {}
    return {
        "part": step.part,
        "step": step.step.value,
        "reason": reason.id,
        "files": progress.get("files"),
        "bytes": progress.get("bytes"),
    }
