"""Doubts about the sources of a run: what they are compared with, holding the run, accepting them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import events, freezes
from db.errors import NotAllowed
from db.models import BackupSet, ChainRun, now
from db.runs import admission, transitions
from db.states import RunState, Step
from policy.guard import Doubt, GuardRule
from policy.message import M, Message
from policy.sources import NORM, Past, Survey
from policy.tapes.facts import SetState

_RULES = (
    "sources",
    "excludes",
    "exclude_caches",
    "one_file_system",
    "max_file_bytes",
    "max_file_age_days",
)
"""The fields that decide which files a backup has."""

_LOOKED_THROUGH = 20 * NORM


def rules(values: Mapping[str, Any]) -> str:
    """Identifies these rules of a template or record."""
    compared = {name: values[name] for name in _RULES} | {"sources": sorted(values["sources"])}
    return hashlib.blake2b(json.dumps(compared, sort_keys=True).encode(), digest_size=16).hexdigest()


def past(session: Session, template_id: int) -> list[Past]:
    """The surveys of a template's last completed sets, newest first. Destroyed sets count: reusing a tape
    does not change the sources."""
    query = (
        select(BackupSet.survey, BackupSet.accepted)
        .where(
            BackupSet.template_id == template_id,
            BackupSet.state.in_([SetState.COMPLETE, SetState.DESTROYED]),
            BackupSet.finished_at.is_not(None),
            BackupSet.survey.is_not(None),
        )
        .order_by(BackupSet.started_at.desc())
        .limit(_LOOKED_THROUGH)
    )
    return [Past(Survey.from_json(survey), bool(accepted)) for survey, accepted in session.execute(query)]


def accepted(run: ChainRun) -> list[Doubt]:
    """The doubts about the sources of a run that persons have accepted."""
    return [Doubt.from_json(doubt) for each in run.accepted for doubt in each["doubts"]]


def hold(
    session: Session,
    run: ChainRun,
    doubts: Sequence[Doubt],
    patience: timedelta,
    *,
    step: Step | None = None,
) -> None:
    """Hold a running run: it gives its drive back, and begins with its precheck when it continues.

    Nothing of it is in the catalogue, and the set that it would have written gets another name.
    """
    run.doubts = [doubt.to_json() for doubt in doubts]
    run.wait_until = now() + patience
    if run.set_id is not None and session.get(BackupSet, run.set_id) is None:
        run.set_id = None
    for doubt in doubts:
        events.record(session, run, doubt.in_words, step=step, level="warning")
        if doubt.rule is GuardRule.ENCRYPTED:
            freeze = freezes.by_the_guard(session, run, doubt.message)
            events.record(
                session,
                run,
                M("No tape is formatted from now on: freeze {name}.", name=freeze.name),
                level="error",
            )
    admission.reopen(session, run, Step.PRECHECK)
    transitions.transition(session, run, RunState.HELD, reason(run), remedy(run))


def reason(run: ChainRun) -> Message:
    """Why a run is held: the first doubt, and how many more there are."""
    first, *more = [Doubt.from_json(doubt).message for doubt in run.doubts]
    if not more:
        return first
    return M("{doubt} Doubts about the sources in all: {count}.", doubt=first.to_json(), count=1 + len(more))


def remedy(run: ChainRun) -> Message:
    """What a person can do about a held run."""
    return M(
        "If the sources are right as they are: tapeline runs accept {run} --why TEXT."
        " If not, put them right, then: tapeline runs retry {run}",
        run=run.id,
    )


def accept(session: Session, run_id: int, who: str, why: str) -> ChainRun:
    """Let a held run continue: the sources are right as they are. Raises NotFound, NotAllowed.

    Its set records who has accepted what. Other doubts than these hold the run again.
    """
    run = transitions.get(session, run_id, lock=True)
    if run.state is not RunState.HELD:
        raise NotAllowed(
            M("Run {id} is {state}; only a HELD run can be accepted.", id=run.id, state=run.state.value),
            M("'tapeline runs show {id}' tells its story.", id=run.id),
        )
    if run.is_held:
        raise NotAllowed(
            M("Run {id} is held since the database was restored.", id=run.id),
            M("Release it first: tapeline database release --run {id}", id=run.id),
        )
    now_accepted = {"by": who, "at": now().isoformat(), "why": why, "doubts": run.doubts}
    run.accepted = [*run.accepted, now_accepted]
    run.wait_until = None
    run.queued_at = now()
    transitions.transition(
        session, run, RunState.QUEUED, M("The sources are accepted by {who}: {why}", who=who, why=why)
    )
    return run


def expire(session: Session, run: ChainRun) -> None:
    """Nobody has accepted the sources in time."""
    transitions.transition(
        session,
        run,
        RunState.FAILED,
        M("Nobody accepted the sources in time. {doubt}", doubt=reason(run).to_json()),
        M("Put the sources right, then: tapeline runs retry {run}", run=run.id),
    )
