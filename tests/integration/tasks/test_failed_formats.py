"""After a format that failed: the same tape is not tried again by itself, another one begins a new part."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from db.engine import Database
from db.models import ChainRun, Options, RunNotes, now
from db.runs import admission, retrying, transitions
from db.tapes import (
    cartridges,
    drives,
    mount_backoff,
    permits,
)
from policy.message import M
from policy.tapes.facts import TapePolicy
from policy.tapes.permit import Decision, Denial
from tasks.drive import tape_rules
from tasks.step import NextPart
from tasks.steps import run_backup
from tests.integration.db.tapes.test_permits import ALLOWED, LABEL_ALONE, run_at, stored_on

BLANK: dict[str, Any] = {"state": "blank", "label": None}
"""All that some backends of LTFS tell of a blank tape: none is told from another."""
WHY = M("The format failed (return code {code}).", code=1)


def failed(session: Session, medium: dict[str, Any], *, started: bool = True) -> ChainRun:
    """A run that has the drive, whose format of this medium failed."""
    run = run_at(session, "tape0")
    drives.register(session, name="tape0", host="h", driver="ltfs", queue="tape", worker="w")
    run.tape_seen = medium
    permit = permits.store(session, run, medium, "TP20261101", ALLOWED)
    permits.consume(session, permit.id, now())
    drives.looked(session, "tape0", medium)
    mount_backoff.failed(session, run)
    outcome = {"ok": False, "started": started, "after": medium, "failure": WHY.to_json()}
    permits.close(session, permit.id, outcome)
    session.expire_all()
    return run


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize("told", [{}, {"medium_serial": "m1"}])
def test_the_failure_of_the_format_is_the_reason(
    database: Database, started: bool, told: dict[str, str]
) -> None:
    """Not that a blank tape is no blank tape."""
    with database.transaction() as session:
        medium = {**BLANK, **told}
        run = failed(session, medium, started=started)
        refused = run_backup.not_to_write(session, run, medium)
        assert not isinstance(refused, NextPart)
        assert refused.message == WHY
        assert "another one" in str(refused.remedy)
        assert tape_rules.refusal_of_all(session, run, medium) == WHY


@pytest.mark.parametrize(
    ("told", "started", "goes_on"),
    [
        ({}, True, True),
        ({}, False, True),
        ({"medium_serial": "m1"}, False, True),
        ({"medium_serial": "m1"}, True, False),
    ],
    ids=["nothing tells", "not begun", "the same, not begun", "the same"],
)
def test_a_retry_begins_a_new_part(
    database: Database, told: dict[str, str], started: bool, goes_on: bool
) -> None:
    """By hand, with the tape that is in the drive now, unless the format of this very tape was begun."""
    with database.transaction() as session:
        medium = {**BLANK, **told}
        run = failed(session, medium, started=started)
        run.tape_failed = None  # as runs.retry leaves it
        assert isinstance(run_backup.not_to_write(session, run, medium), NextPart) is goes_on


def test_a_retry_forgets_what_failed(database: Database) -> None:
    """Only then can a fresh blank tape be told from the one that failed, where the drive tells nothing."""
    with database.transaction() as session:
        run = failed(session, BLANK)
        transitions.transition(session, run, transitions.RunState.FAILED, WHY)
        assert run.tape_failed is not None
        retrying.retry(session, run.id, None, "me", None)
        assert run.tape_failed is None


def test_a_drive_that_was_empty_has_another_tape(database: Database) -> None:
    """A run that waits goes on with a blank tape that was put in after the one that failed."""
    with database.transaction() as session:
        run = failed(session, BLANK)
        for medium, goes_on in ((BLANK, False), ({"state": "no_medium"}, False), (BLANK, True)):
            mount_backoff.may_try(run, medium)
            assert (tape_rules.refusal_of_all(session, run, medium) is None) is goes_on


def test_the_label_that_was_named_is_not_named_any_more_in_the_part_that_follows(database: Database) -> None:
    """The format of the tape that an operator named failed before it was begun. Whatever is in the drive when
    the run is retried, also this very tape: what is on it is kept until he names it in a new run."""
    named: dict[str, Any] = {**LABEL_ALONE, "medium_serial": "m1"}
    with database.transaction() as session:
        cartridge, _ = cartridges.update_label(session, original=None, medium=named)
        stored_on(session, cartridge, "20241015T000000Z-0001")
        run = failed(session, named, started=False)
        run.options = Options(erase_label="TP20241015")
        run.notes = RunNotes(erase_sets=permits.named_sets(session, "TP20241015"))
        policy = TapePolicy.parse("rotate")

        def decision() -> Decision:
            return permits.judge(
                session, run, named, policy=policy, now_local=now(), shown=permits.VolumeContents((), ())
            )

        assert decision().denials == (Denial.ALREADY_USED,)
        transitions.transition(session, run, transitions.RunState.FAILED, WHY)
        retrying.retry(session, run.id, None, "me", None)
        assert isinstance(run_backup.not_to_write(session, run, named), NextPart)
        admission.begin_part(session, run, WHY)
        run.tape_seen = named
        assert decision().denials == (Denial.RETAINED_SETS,)
