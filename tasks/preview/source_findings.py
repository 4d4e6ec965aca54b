"""What a precheck without a run finds out about the sources, from the answer of the drive's worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from db.models import ScheduledTask
from policy.detection import EVERY, compared
from policy.finding import Finding, PrecheckVerdict
from policy.guard import not_mounted
from policy.message import M
from policy.sources import Source
from tasks.writing import guard


def of_sources(session: Session, schedule: ScheduledTask, answer: dict[str, Any]) -> Iterator[Finding]:
    """Whether they are there, what shows a change in them, and the guard's doubts."""
    yield from _sources(schedule, answer)
    yield from _rules(schedule, answer)
    yield from _doubts(session, schedule, answer)


def _sources(schedule: ScheduledTask, answer: dict[str, Any]) -> Iterator[Finding]:
    """A missing one is a warning of the backup, as long as there is another to back up."""
    if schedule.template.has_only_dumps:
        return
    # A worker of the previous version does not report it.
    refused = answer.get("no_source")
    verdict = PrecheckVerdict.REFUSED if refused else PrecheckVerdict.WARNING
    remedy = M("Correct the path, mount what holds it, or let the drive's worker read it.")
    problems = [problem for problem in answer["sources"] if problem] or ([refused] if refused else [])
    for problem in problems:
        yield Finding("sources", M("{problem}", problem=problem), verdict, remedy)
    if not problems:
        sources = ", ".join(schedule.template.sources)
        yield Finding("sources", M("{sources}: there and readable.", sources=sources))


def _rules(schedule: ScheduledTask, answer: dict[str, Any]) -> Iterator[Finding]:
    """Where not every field of a file shows that it has changed; not of a share inside a source."""
    options = schedule.template.source_options
    for source in map(Source.from_json, answer.get("seen") or ()):
        choice = options.get(source.path, {}).get("detect", schedule.template.detect)
        rule = compared(choice, source.place.kind)
        if source.is_there and rule != EVERY:
            text = M(
                "Below {path}, these fields show that a file has changed: {fields}.",
                path=source.path,
                fields=str(rule),
            )
            yield Finding("sources", text)


def _doubts(session: Session, schedule: ScheduledTask, answer: dict[str, Any]) -> Iterator[Finding]:
    """The guard's doubts about the sources, as far as an inspection shows them."""
    # A worker of the previous version does not report it.
    seen = [Source.from_json(each) for each in answer.get("seen") or []]
    held_to = guard.standard_for(session, schedule)
    for point in not_mounted(held_to.demanded, seen) if seen else ():
        yield Finding(
            "sources",
            M("Nothing is mounted at {points}, where must_be_mounted asks for it.", points=point),
            PrecheckVerdict.REFUSED,
            M("Mount it."),
        )
    for doubt in held_to.before(seen):
        remedy = M("A run would be held. Put the sources right, or accept them then.")
        yield Finding("sources", doubt.message, PrecheckVerdict.WAIT, remedy)
