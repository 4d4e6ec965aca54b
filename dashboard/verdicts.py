"""What a run of a schedule would do with a tape that it found in its drive now: the rules' own answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from db.models import ScheduledTask, now
from db.sets import parents
from db.states import BackupType
from db.tapes import permits
from policy.errors import UsageError
from policy.message import M
from policy.tapes.facts import TapeFacts
from policy.tapes.permit import FormatFacts
from policy.tapes.verdict import Answer, Question, judge
from policy.times.local_time import zone_named

NOTHING = TapeFacts("no_medium", None, empty=None, write_protected=False, identity=(), known=None)
"""An empty drive."""


class ScheduleAsker:
    """A schedule that asks about one tape after the other."""

    def __init__(self, schedule: ScheduledTask, facts: FormatFacts, *, begins: bool) -> None:
        self.name, self.drive, self.period = schedule.name, schedule.drive, facts.period
        self._type = schedule.template.type
        self._facts, self._begins = facts, begins

    def ask(self, tape: TapeFacts) -> dict[str, Any]:
        """``verdict`` is ``format``, ``append`` or ``refuse``; with the reasons, those of the permit
        unchanged, and the sets that a format would destroy."""
        facts = replace(self._facts, tape=tape, seen_by_precheck=tape.identity)
        verdict = judge(Question(facts, begins=self._begins))
        reasons = list(verdict.reasons)
        if verdict.decision is None and verdict.answer is Answer.APPEND:
            kind = self._type.value
            reasons.append(M("A backup of type {type} is appended: only a full one formats.", type=kind))
        return {"verdict": verdict.answer.value, "reasons": reasons, "sets_lost": list(verdict.sets_lost)}


def askers(session: Session, rows: list[ScheduledTask]) -> list[ScheduleAsker]:
    """The schedules that are enabled and can be planned at all. With the same number of statements for any
    number of them."""
    enabled = [row for row in rows if row.enabled]
    if not enabled:
        return []
    newest = parents.newest_whole(session, {row.template_id for row in enabled})
    moment, asking = now(), []
    shared: FormatFacts | None = None
    for row in enabled:
        try:
            local = moment.astimezone(zone_named(row.time_zone))
            shared = shared or permits.facts_for(session, row, NOTHING, local)
            facts = permits.facts_like(shared, row, local)
        except UsageError:
            continue
        kind = row.template.type
        begins = kind is BackupType.FULL or (row.template_id, kind) not in newest
        asking.append(ScheduleAsker(row, facts, begins=begins))
    return asking


def folded(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers of several schedules about one tape: for each verdict what they have in common, and the
    schedules that have the same answer, with the reasons that only they have."""
    by_verdict: dict[str, list[dict[str, Any]]] = {}
    for answer in answers:
        by_verdict.setdefault(answer["verdict"], []).append(answer)
    return [_folded(verdict, given) for verdict, given in by_verdict.items()]


def _folded(verdict: str, answers: list[dict[str, Any]]) -> dict[str, Any]:
    common = [each for each in answers[0]["reasons"] if all(each in other["reasons"] for other in answers)]
    groups: list[dict[str, Any]] = []
    for answer in answers:
        own = [each for each in answer["reasons"] if each not in common]
        same = next((each for each in groups if each["reasons"] == own), None)
        if same is None:
            same = {"schedules": [], "reasons": own}
            groups.append(same)
        same["schedules"].append(answer["schedule"])
    lost = dict.fromkeys(each for answer in answers for each in answer["sets_lost"])
    return {"verdict": verdict, "reasons": common, "groups": groups, "sets_lost": list(lost)}
