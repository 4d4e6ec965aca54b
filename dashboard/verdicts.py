"""What a run of a schedule would do with a tape that it found in its drive now: the rules' own answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from db.models import ScheduledTask, now
from db.tapes import permits
from policy.errors import UsageError
from policy.message import M
from policy.tapes.facts import TapeFacts
from policy.tapes.verdict import Answer, Question, judge
from policy.times.local_time import zone_named
from tasks.drive.tape_rules import is_full

NOTHING = TapeFacts("no_medium", None, empty=None, write_protected=False, identity=(), known=None)
"""An empty drive."""


class Asker:
    """A schedule that asks about one tape after the other; its own facts are loaded once."""

    def __init__(self, session: Session, schedule: ScheduledTask) -> None:
        self.name, self.drive = schedule.name, schedule.drive
        self._type = schedule.template.type
        self._begins = is_full(session, schedule, self._type)
        moment = now().astimezone(zone_named(schedule.time_zone))
        self._facts = permits.facts_for(session, schedule, NOTHING, moment)

    def ask(self, tape: TapeFacts) -> dict[str, Any]:
        """``verdict`` is ``format``, ``append`` or ``refuse``; with the reasons, those of the permit
        unchanged, and the sets that a format would destroy."""
        facts = replace(self._facts, tape=tape, seen_by_precheck=tape.identity)
        found = judge(Question(facts, begins=self._begins))
        reasons = list(found.reasons)
        if found.decision is None and found.answer is Answer.APPEND:
            kind = self._type.value
            reasons.append(M("A backup of type {type} is appended: only a full one formats.", type=kind))
        return {"verdict": found.answer.value, "reasons": reasons, "sets_lost": list(found.sets_lost)}


def askers(session: Session, rows: list[ScheduledTask]) -> list[Asker]:
    """The schedules that are enabled and can be planned at all."""
    found = []
    for row in rows:
        try:
            if row.enabled:
                found.append(Asker(session, row))
        except UsageError:
            continue
    return found
