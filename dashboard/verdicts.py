"""What would become of a tape if a run of a schedule found it in its drive now: the rules' own answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db import permits
from db.models import ScheduledTask, now
from policy import media, period
from policy.errors import UsageError
from policy.local_time import zone_named
from policy.message import M, Message
from policy.permit import FormatFacts, decide
from policy.tapes import CartridgeState, TapeFacts, TapePolicy
from tasks.tape_rules import is_full


class Asker:
    """A schedule that asks of one tape after the other; what it needs to know of itself is looked up once."""

    def __init__(self, session: Session, schedule: ScheduledTask) -> None:
        self.name, self.drive = schedule.name, schedule.drive
        self._type = schedule.template.type
        self._policy = TapePolicy.parse(schedule.tape_policy)
        self._now: datetime = now().astimezone(zone_named(schedule.time_zone))
        self._period = period.key(schedule.schedule_type, self._now, schedule.time_zone)
        self._newest_full = permits.newest_full(session, schedule.template_id)
        self._formats = is_full(session, schedule, self._type)

    def ask(self, tape: TapeFacts) -> dict[str, Any]:
        """``verdict`` is ``format``, ``append`` or ``refuse``; with the reasons, those of the permit as it
        gives them, and the sets that a format would destroy."""
        verdict, reasons, lost = self._answer(tape)
        return {"verdict": verdict, "reasons": reasons, "sets_lost": lost}

    def _answer(self, tape: TapeFacts) -> tuple[str, list[Message], list[str]]:
        refused = list(self._refusals(tape))
        if not self._formats:
            text = M("A backup of type {type} is appended: only a full one formats.", type=self._type.value)
            return ("refuse", refused, []) if refused else ("append", [text], [])
        decision = decide(self._facts(tape))
        if refused:
            return "refuse", refused + (list(decision.reasons) if not decision.allowed else []), []
        if decision.allowed:
            return "format", list(decision.reasons), list(decision.sets_lost)
        return "append" if decision.append else "refuse", list(decision.reasons), []

    def _refusals(self, tape: TapeFacts) -> Iterator[Message]:
        """What the check at the beginning of a run would say: not what the permit is asked for."""
        takes = self._policy.accepts if self._formats else self._policy.may_append
        wrong = media.unusable(tape)
        if not self._formats and wrong:
            yield wrong
        elif not takes(tape, self._now):
            expected = self._policy.expects(self._now, begins=self._formats)
            yield M("It takes {expected}.", expected=expected.to_json())
        known = tape.known
        if known is None:
            return
        if not self._formats and known.state not in {CartridgeState.ACTIVE, CartridgeState.FULL}:
            yield M(
                "Cartridge {tape_id} is in state '{state}'.", tape_id=known.tape_id, state=known.state.value
            )
        if known.state is CartridgeState.FULL and not all(s.may_be_lost(self._now) for s in known.sets):
            yield M("Nothing more fits on it.")

    def _facts(self, tape: TapeFacts) -> FormatFacts:
        return FormatFacts(
            tape=tape,
            seen_by_precheck=tape.identity,
            policy=self._policy,
            now_local=self._now,
            run_id=None,
            period=self._period,
            newest_full_set=self._newest_full,
        )


def askers(session: Session, rows: list[ScheduledTask]) -> list[Asker]:
    """Those of the schedules that are enabled and can be planned at all."""
    found = []
    for row in rows:
        try:
            if row.enabled:
                found.append(Asker(session, row))
        except UsageError:
            continue
    return found
