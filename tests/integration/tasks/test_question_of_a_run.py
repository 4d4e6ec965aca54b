"""What each kind of run asks of a tape: its schedule, its set, its moment."""

from __future__ import annotations

from sqlalchemy.orm import make_transient

from celery_app import settings
from db.engine import Database
from db.models import Options, now
from db.states import BackupType, Kind
from db.tapes import cartridges, permits
from policy.tapes import verdict
from policy.tapes.facts import CartridgeState, SetState, TapePolicy
from tape.drive import Medium, MediumState
from tasks.drive import tape_rules
from tests.integration.tasks.asking import (
    BLANK,
    FORMATTED,
    NOVEMBER,
    a_run,
    of_kind,
    refusal,
    schedule_of,
)
from tests.integration.tasks.test_run_backup_rules import a_set, row_of


def test_a_run_asks_by_its_schedule(database: Database) -> None:
    """Its policy, its clock, its type; what was asked for by hand comes first. A run without a schedule has
    the plainest of each."""
    with database.transaction() as session:
        run = a_run(session, "pool:yearly", template=BackupType.INCREMENTAL)
        assert tape_rules.policy_of(run) == TapePolicy.parse("pool:yearly")
        local = tape_rules.local_now(run)
        assert str(local.tzinfo) == "Asia/Shanghai"
        assert abs((now() - local).total_seconds()) < 60
        assert tape_rules.wanted_type(run) is BackupType.INCREMENTAL
        run.options = Options(type=BackupType.DIFFERENTIAL)
        assert tape_rules.wanted_type(run) is BackupType.DIFFERENTIAL
        bare = of_kind(session, Kind.IMPORT)
        assert tape_rules.policy_of(bare) == TapePolicy.parse("current_month")
        assert tape_rules.local_now(bare).tzinfo == settings.load().zone


def test_an_increment_without_a_full_backup_is_a_full_one(database: Database) -> None:
    """Of its own template; and then a format may come first."""
    with database.transaction() as session:
        run = a_run(session, template=BackupType.INCREMENTAL)
        row = schedule_of(run)
        for wanted in BackupType:
            assert tape_rules.is_full(session, row, wanted)
        assert tape_rules._begins(session, run)
        tape = row_of(session, Medium(MediumState.FORMATTED, label="TP20260501", medium_serial="m1"))
        a_set(session, tape, "20260501T020000Z-ab", template_id=None)
        assert tape_rules.is_full(session, row, BackupType.INCREMENTAL)
        a_set(session, tape, "20260501T020000Z-cd", template_id=row.template_id)
        found = {wanted: tape_rules.is_full(session, row, wanted) for wanted in BackupType}
        assert found == {BackupType.FULL: True, BackupType.INCREMENTAL: False, BackupType.DIFFERENTIAL: False}
        assert not tape_rules._begins(session, run)
        run.part = 2
        assert tape_rules._begins(session, run), "it goes on, on another tape"


def test_the_question_of_a_run_is_about_its_own_set(database: Database) -> None:
    """Where it has begun to write one, it goes on there alone, while there is room."""
    with database.transaction() as session:
        run = a_run(session)
        seen = cartridges.tape_facts(session, FORMATTED)
        question = tape_rules.question_of(session, run, seen)
        facts = permits.facts_of(session, run, seen, tape_rules.policy_of(run), question.facts.now_local)
        assert (question.facts, question.begins, question.begun_here) == (facts, True, None)
        assert question.is_let_pass is False
        begun = row_of(session, Medium(MediumState.FORMATTED, label="TP20260501", medium_serial="m1"))
        stored = a_set(session, begun, "20260501T020000Z-ab", state=SetState.WRITING, run_id=run.id)
        run.set_id = stored.id
        assert tape_rules.begun_on(session, run) is begun
        here, elsewhere = (cartridges.tape_facts(session, each) for each in (FORMATTED, BLANK))
        assert tape_rules.question_of(session, run, here).begun_here is True
        assert tape_rules.question_of(session, run, elsewhere).begun_here is False
        told = "Set 20260501T020000Z-ab goes on where it was begun, on tape TP20260501"
        assert refusal(session, run, BLANK) == f"{told} (in drive tape7: a blank tape)."
        begun.state = CartridgeState.FULL
        session.flush()
        assert tape_rules.begun_on(session, run) is None
        run.set_id = "none"
        assert tape_rules.begun_on(session, run) is None


def test_a_set_on_several_tapes_goes_on_on_the_last(database: Database) -> None:
    with database.transaction() as session:
        run = a_run(session)
        tapes = [
            row_of(session, Medium(MediumState.FORMATTED, label=f"TP2026050{n}", medium_serial=f"m{n}"))
            for n in (1, 2)
        ]
        stored = a_set(session, tapes[0], "20260501T020000Z-ab", state=SetState.WRITING)
        archive = stored.archives[0]
        session.expunge(archive)
        make_transient(archive)
        archive.number, archive.cartridge_id, archive.generation = 2, tapes[1].id, tapes[1].generation
        session.add(archive)
        session.flush()
        session.expire_all()
        run.set_id = stored.id
        assert tape_rules.begun_on(session, run) is tapes[1]


def test_the_question_of_a_run_to_come_is_about_its_moment(database: Database) -> None:
    with database.transaction() as session:
        row = schedule_of(a_run(session, template=BackupType.INCREMENTAL))
        seen = cartridges.tape_facts(session, FORMATTED)
        question = tape_rules.question_for(session, row, seen, NOVEMBER, "TP20260501")
        facts = permits.facts_for(session, row, seen, NOVEMBER, "TP20260501")
        assert question == verdict.Question(facts, begins=True)
        assert tape_rules.question_for(session, row, seen, NOVEMBER).facts.named_label is None
        tape = row_of(session, Medium(MediumState.FORMATTED, label="TP20260501", medium_serial="m1"))
        a_set(session, tape, "20260501T020000Z-cd", template_id=row.template_id)
        assert tape_rules.question_for(session, row, seen, NOVEMBER).begins is False
