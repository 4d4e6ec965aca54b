"""How long sources are waited for, by whom."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from backup.errors import Ended, SourceSilent
from backup.source.lookout import Unanswered
from tasks.work import Cancelled
from tasks.writing import sources


class Step:
    """A step that waits for a source."""

    def __init__(self, *, cancelled: bool = False, ending: bool = False) -> None:
        self.settings = SimpleNamespace(stalled_fails_after_seconds=1000, source_patience_seconds=100)
        self.cancelled, self.ending = cancelled, ending
        self.shown: list[str | None] = []
        self.told: list[str] = []
        self.rule = "fail"

    def db(self, read: Any) -> Any:
        template = SimpleNamespace(on_silent_source=self.rule, sources=["/share", "/other"])
        run = SimpleNamespace(
            options=SimpleNamespace(sources=None), schedule=SimpleNamespace(template=template)
        )
        return read(None, run)

    def tell(self, message: Any, *, level: str) -> None:
        self.told.append(f"{level}: {message}")

    def heed(self) -> None:
        if self.cancelled:
            raise Cancelled(sources.M("Cancelled."))

    def is_ending(self) -> bool:
        return self.ending

    def waits_for(self, what: str | None) -> None:
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


def test_a_step_goes_on_without_a_share_if_its_template_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share is given up once, with a line of the story; a local disk that is silent ends the step."""
    step = Step()
    step.rule = "continue"
    wait = watch(step)
    monkeypatch.setattr("backup.source.lookout.share_of", {b"/mnt/nas/a": "/mnt/nas"}.get)
    wait("/mnt/nas/a", 3)
    with pytest.raises(Unanswered):
        wait("/mnt/nas/a", 101)
    with pytest.raises(Unanswered):
        wait("/mnt/nas/b/c", 0.5)
    wait("/mnt/nas2", 0.5)
    assert step.shown[-1] is None
    assert step.told == [
        "warning: /mnt/nas did not answer for 100 s: the backup goes on without it (on_silent_source)."
    ]
    with pytest.raises(SourceSilent, match="/srv/file"):
        wait("/srv/file", 101)
    with pytest.raises(Unanswered):
        wait("/share", 101)


def test_all_sources_together_have_so_long() -> None:
    """Whoever asks for many does not wait for each of them anew."""
    wait = sources.within(0)
    assert wait
    for _ in range(2):
        with pytest.raises(SourceSilent, match="/share"):
            wait("/share", 0.5)
