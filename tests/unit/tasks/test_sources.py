"""How long sources are waited for, by whom."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from backup.errors import Ended, SourceSilent
from tasks.work import Cancelled
from tasks.writing import sources


class Step:
    """A step that waits for a source."""

    def __init__(self, *, cancelled: bool = False, ending: bool = False) -> None:
        self.settings = SimpleNamespace(stalled_fails_after_seconds=100)
        self.cancelled, self.ending = cancelled, ending
        self.shown: list[str] = []

    def heed(self) -> None:
        if self.cancelled:
            raise Cancelled(sources.M("Cancelled."))

    def is_ending(self) -> bool:
        return self.ending

    def waits_for(self, what: str) -> None:
        self.shown.append(what)


def watch(step: Any) -> Any:
    return sources.for_step(step)


def test_a_step_hears_what_it_has_to() -> None:
    """That it is cancelled, that its worker ends, and in the end that nobody will answer."""
    step = Step()
    watch(step)("/share/file", 3)
    assert step.shown == []
    watch(step)("/share/file", 30)
    assert step.shown == ["/share/file"]
    with pytest.raises(SourceSilent, match="/share/file"):
        watch(step)("/share/file", 101)
    with pytest.raises(Cancelled):
        watch(Step(cancelled=True))("/share/file", 0.5)
    with pytest.raises(Ended):
        watch(Step(ending=True))("/share/file", 0.5)


def test_all_sources_together_have_so_long() -> None:
    """Whoever asks for many does not wait for each of them anew."""
    wait = sources.within(0)
    assert wait
    for _ in range(2):
        with pytest.raises(SourceSilent, match="/share"):
            wait("/share", 0.5)
