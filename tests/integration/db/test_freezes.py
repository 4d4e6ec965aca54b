"""A freeze denies every format until a person lifts it by its name, and is not forgotten meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import (
    alerts,
    doubts,
    events,
    freezes,
)
from db.engine import Database
from db.errors import NotAllowed, NotFound
from db.models import Notification, now
from db.runs import admission, announcing, retrying
from db.states import RunState
from db.tapes import permits
from notify.facts import Facts
from policy.errors import UsageError
from policy.guard import Doubt, GuardRule
from policy.message import M
from policy.tapes.permit import Denial
from tasks.drive.tape_rules import local_now, policy_of, refusal_of_all
from tests.integration.db.tapes.test_permits import ALLOWED
from tests.integration.tasks.test_run_backup_rules import a_run

BLANK = {"state": "blank", "label": None, "empty": None, "medium_serial": "M1"}
ENCRYPTED = Doubt(GuardRule.ENCRYPTED, "/data", M("It looks so."))


def denials(session: Session, run: Any) -> tuple[Denial, ...]:
    run.tape_seen = BLANK
    return permits.judge(session, run, BLANK, policy=policy_of(run), now_local=local_now(run)).denials


def test_no_permit_while_anything_is_frozen(database: Database) -> None:
    """Each freeze has a name of its own, and the last one that is lifted lets formats pass again."""
    with database.transaction() as session:
        run = a_run(session)
        assert denials(session, run) == ()
        audit = freezes.freeze(session, "audit", "li", "an audit")
        other = freezes.freeze(session, None, "wang", "files are gone.")
        assert (audit.name, other.name) == ("audit", "freeze-2")
        assert denials(session, run) == (Denial.FROZEN,)
        said = str(freezes.why(session))
        assert "(audit): an audit. To lift that: tapeline unfreeze audit --why TEXT" in said
        assert said.endswith("Then also: freeze-2.")
        assert "Formats are frozen" in str(refusal_of_all(session, run, BLANK))
        freezes.lift(session, "audit", "li", "over")
        assert denials(session, run) == (Denial.FROZEN,)
        lifted = freezes.lift(session, "freeze-2", "li", "found again")
        assert (lifted.lifted_by, lifted.lifted_why) == ("li", "found again")
        assert denials(session, run) == ()


def test_names_that_are_none(database: Database) -> None:
    """One line each, with what there is."""
    with database.transaction() as session:
        freezes.freeze(session, "audit", "li", "an audit")
        with pytest.raises(UsageError, match="is no name for a freeze"):
            freezes.freeze(session, "two words", "li", "why")
        with pytest.raises(UsageError, match="there is, or was, a freeze"):
            freezes.freeze(session, "audit", "li", "why")
        with pytest.raises(NotFound, match="There are: audit"):
            freezes.lift(session, "x", "li", "why")
        freezes.lift(session, "audit", "li", "why")
        with pytest.raises(NotAllowed, match="lifted already"):
            freezes.lift(session, "audit", "li", "why")


def test_a_permit_that_was_given_before_is_not_used_after(database: Database) -> None:
    """Whoever freezes the formats between decision and format is in time."""
    with database.transaction() as session:
        run = a_run(session)
        permit = permits.store(session, run, BLANK, "TP20261101", ALLOWED)
        freezes.freeze(session, None, "li", "why")
        with pytest.raises(NotAllowed, match="Formats are frozen"):
            permits.consume(session, permit.id, now())
        assert permits.used(session, run.id, run.part) is None
        # One that was used before the freeze is used: whoever comes again with its moment may go on.
        moment = now()
        permit.consumed_at = moment
        session.flush()
        permits.consume(session, permit.id, moment)


def test_every_message_and_today_say_it(database: Database) -> None:
    """Of a run and of a drive; what was written before says nothing of it."""
    with database.transaction() as session:
        run = a_run(session)
        freezes.freeze(session, "audit", "li", "an audit")
        announcing.announce(session, run, "capacity", M("nearly full"))
        events.announce_once(session, "drive:tape0", "drive_back", {"event": "drive_back"})
        frozen = {
            row.event: (row.facts.get("frozen") or {}).get("id")
            for row in session.scalars(select(Notification).order_by(Notification.id))
        }
        assert frozen["started"] is None
        assert frozen["capacity"] == frozen["drive_back"]
        facts = session.scalars(select(Notification.facts).where(Notification.event == "capacity")).one()
        assert "an audit." in str(Facts.from_json(facts).frozen)
        [concern] = [each for each in alerts.alerts(session, now(), [], lambda _: False) if each.freeze]
        assert (concern.freeze, concern.is_urgent) == ("audit", True)


def test_the_guard_freezes_once_for_a_run(database: Database) -> None:
    """When its sources look as if they were encrypted; an acceptance of them lifts nothing."""
    with database.transaction() as session:
        run = a_run(session)
        doubts.hold(
            session, run, [ENCRYPTED, Doubt(GuardRule.CHANGED, "/data", M("Much."), 90.0)], timedelta(days=1)
        )
        [frozen] = freezes.standing(session)
        assert (frozen.name, frozen.frozen_by, frozen.run_id) == (f"run-{run.id}", None, run.id)
        retrying.retry(session, run.id, None, "li", None)
        admission.admit(session, "tape0")
        doubts.hold(session, run, [ENCRYPTED], timedelta(days=1))
        assert freezes.standing(session) == [frozen]
        doubts.accept(session, run.id, "li", "a new disk encryption")
        assert (run.state, freezes.standing(session)) == (RunState.QUEUED, [frozen])
        admission.admit(session, "tape0")
        freezes.lift(session, frozen.name, "li", "it is ours")
        doubts.hold(session, run, [ENCRYPTED], timedelta(days=1))
        assert [each.name for each in freezes.standing(session)] == [f"run-{run.id}-2"]
