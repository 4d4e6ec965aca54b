"""The guard over the sources (``policy.guard``) at work: in the precheck, and after the plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from backup.request import Surveyed
from backup.source.lookout import looked_at_each, opened
from db import doubts
from db.models import BackupSet, ChainRun, ScheduledTask
from db.runs import lookup
from policy import encryption, guard, sources
from policy.errors import TapelineError
from policy.guard import Doubt, GuardLimits
from policy.message import M
from policy.sources import Source, Survey
from tape.programs.aside import Wait
from tasks.work import SourcesDoubted, Work
from tasks.writing.record import asked_for

_NAMES = ("sources", "excludes", "exclude_caches", "one_file_system", "max_file_bytes", "max_file_age_days")


class SourceUnmounted(TapelineError):
    """A folder that must be mounted, according to the template, is only an empty mount point."""


@dataclass(frozen=True, slots=True)
class Standard:
    """What the sources of a run are compared with."""

    sources: tuple[str, ...]
    rules: str
    limits: GuardLimits
    demanded: tuple[str, ...]
    """Folders where a file system must be mounted."""
    surveys: list[Survey]
    accepted: list[Doubt]
    is_begun: bool
    """Part of its set is on tape: the sources were judged then."""

    def before(self, seen: Sequence[Source]) -> tuple[Doubt, ...]:
        """The doubts of a first inspection that nobody has accepted."""
        if self.is_begun:
            return ()
        return guard.open_doubts(guard.before(self.limits, self.surveys, seen), self.accepted)

    def survey(self, surveyed: Surveyed) -> Survey:
        """The set's record of its sources. Of one that was given up it repeats the last one: that is still
        what the source is compared with when it is back."""
        seen = {source.path for source in surveyed.seen}
        before = self.surveys[0].sources if self.surveys else ()
        silent = [each for each in before if each.path in self.sources and each.path not in seen]
        return Survey(self.rules, (*surveyed.seen, *silent), surveyed.rules)


def standard(session: Session, run: ChainRun) -> Standard | None:
    """For a run; None: it belongs to no schedule, and has no sources."""
    if run.schedule is None:
        return None
    record = lookup.record_of(session, run)
    asked = asked_for(run) if record is None else {name: getattr(record, name) for name in _NAMES}
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    begun = stored is not None and bool(stored.archives)
    return _standard(session, run.schedule, asked, doubts.accepted(run), is_begun=begun)


def standard_for(session: Session, schedule: ScheduledTask) -> Standard:
    """For a run of a schedule that starts now."""
    template = schedule.template
    return _standard(
        session, schedule, {name: getattr(template, name) for name in _NAMES}, [], is_begun=False
    )


def _standard(
    session: Session,
    schedule: ScheduledTask,
    asked: dict[str, Any],
    accepted: list[Doubt],
    *,
    is_begun: bool,
) -> Standard:
    rules = doubts.rules(asked)
    return Standard(
        sources=tuple(asked["sources"]),
        rules=rules,
        # From the template as it is now: widen a limit that was too narrow there, and retry the run.
        limits=GuardLimits.parse(schedule.template.guard),
        demanded=tuple(schedule.template.must_be_mounted),
        surveys=sources.norm(doubts.past(session, schedule.template_id), rules),
        accepted=accepted,
        is_begun=is_begun,
    )


def look(work: Work, wait: Wait | None) -> None:
    """Before the run uses a tape. Raises SourceUnmounted, SourcesDoubted, and what ``wait`` raises."""
    held_to = work.db(standard)
    if held_to is None:
        return
    with opened(wait) as eyes:
        seen = tuple(looked_at_each(held_to.sources, eyes))
    unmounted = guard.not_mounted(held_to.demanded, seen)
    if unmounted:
        raise SourceUnmounted(
            M(
                "Nothing is mounted at {points}, where must_be_mounted asks for it.",
                points=", ".join(unmounted),
            ),
            M("Mount it, then: tapeline runs retry {run}", run=work.held.run_id),
        )
    _refuse(work, held_to.before(seen))


def judge(
    work: Work, enter: Callable[[Session, ChainRun, Survey, list[Any]], None]
) -> Callable[[Surveyed], None]:
    """The check after the plan, before the first byte. ``enter`` puts the set into the catalogue, if it is
    missing there: with its survey, and what was accepted.

    The returned function raises SourcesDoubted.
    """
    held_to = work.db(standard)
    assert held_to is not None, "a backup is one of a schedule"

    def judged(surveyed: Surveyed) -> None:
        every = (
            *guard.before(held_to.limits, held_to.surveys, surveyed.seen),
            *guard.after(held_to.limits, held_to.surveys, surveyed.planned),
            *(encryption.doubts(held_to.limits, surveyed.planned) if held_to.surveys else ()),
        )
        _refuse(work, guard.open_doubts(every, held_to.accepted))
        work.db(
            lambda session, run: enter(session, run, held_to.survey(surveyed), run.accepted if every else [])
        )

    return judged


def judge_dump(work: Work) -> Callable[[str, int], None]:
    """The check of what a command has printed, before it counts as whole; its size goes into the set's
    survey.

    The returned function raises SourcesDoubted. What is sealed of the set stays, and counts for nothing
    before the set is complete.
    """
    held_to = work.db(standard)
    assert held_to is not None, "a backup is one of a schedule"

    def judged(path: str, size: int) -> None:
        found = guard.of_dump(held_to.limits, held_to.surveys, path, size)
        _refuse(work, guard.open_doubts(found, held_to.accepted))
        work.db(lambda session, run: _note(session, run, path, size, has_doubts=bool(found)))

    return judged


def _note(session: Session, run: ChainRun, path: str, size: int, *, has_doubts: bool) -> None:
    stored = session.get(BackupSet, run.set_id) if run.set_id else None
    assert stored is not None, "the set is in the catalogue from its first byte on"
    if stored.survey is not None:
        stored.survey = Survey.from_json(stored.survey).with_bytes(path, size).to_json()
    if has_doubts:
        stored.accepted = run.accepted


def _refuse(work: Work, doubts: tuple[Doubt, ...]) -> None:
    if doubts:
        raise SourcesDoubted(work.held.run_id, doubts)
