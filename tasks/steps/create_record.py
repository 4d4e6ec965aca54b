"""``create_record``: the execution record of the run, copied from the template."""

from __future__ import annotations

from sqlalchemy.orm import Session

from backup.format.age import recipients
from backup.request import check_patterns
from db import events
from db.models import BackupSet, BackupTask, ChainRun
from db.runs import lookup
from db.sets import lineage
from db.states import BackupType, RecordState, Step
from policy.message import M
from tasks.drive.tape_rules import type_named, wanted_type
from tasks.step import Done, step
from tasks.work import Work
from tasks.writing.record import asked_for


@step(Step.CREATE_RECORD)
def create_record(work: Work) -> Done:
    """Done again, it finds its record. Raises BadRequest before a tape is formatted for it."""
    return Done({"record": work.db(_record)})


def _record(session: Session, run: ChainRun) -> int:
    assert run.schedule is not None
    existing = lookup.record_of(session, run)
    if existing:
        if run.set_id is None or session.get(BackupSet, run.set_id) is None:
            settle_type(session, run, existing)
        return existing.id
    record = BackupTask(
        is_template=False,
        template_id=run.schedule.template_id,
        run_id=run.id,
        state=RecordState.PENDING,
        **asked_for(run),
    )
    check_patterns(record.excludes)
    recipients(record.encrypt_to)
    session.add(record)
    settle_type(session, run, record)
    session.flush()
    events.record(
        session,
        run,
        M(
            "Record {record}: {type} backup of {sources}.",
            record=record.id,
            type=type_named(record.type).to_json(),
            sources=", ".join([*record.sources, *(each["name"] for each in record.dumps)]),
        ),
        step=Step.CREATE_RECORD,
    )
    return record.id


def settle_type(
    session: Session, run: ChainRun, record: BackupTask, *, step: Step = Step.CREATE_RECORD
) -> None:
    """Find the set that an increment follows; if there is none, the backup is a full one."""
    wanted = wanted_type(run)
    parent = (
        None if wanted is BackupType.FULL else lineage.parent_for(session, record.template_id or 0, wanted)
    )
    record.parent_id = parent.id if parent else None
    record.type = wanted if parent else BackupType.FULL
    if record.type is not wanted:
        events.record(
            session,
            run,
            M(
                "There is no whole set that a backup of type {type} could follow: this one is full.",
                type=type_named(wanted).to_json(),
            ),
            step=step,
            level="warning",
        )
    elif parent:
        events.record(
            session,
            run,
            M("It holds the changes since set {parent}.", parent=parent.id),
            step=step,
        )
