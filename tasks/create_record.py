"""``create_record``: the execution record of the run, copied from the template."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import events
from db.models import BackupTask, ChainRun
from db.states import RecordState, Step
from policy.message import M
from tasks.step import Done, step
from tasks.work import Work

_COPIED = ("name", "type", "sources", "compression", "compression_level", "archive_bytes", "retention_days")


@step(Step.CREATE_RECORD)
def create_record(work: Work) -> Done:
    """Done again, it finds the record that it made."""
    return Done({"record": work.db(_record)})


def _record(session: Session, run: ChainRun) -> int:
    existing = session.scalar(select(BackupTask.id).where(BackupTask.run_id == run.id))
    if existing:
        return existing
    assert run.schedule is not None
    template = run.schedule.template
    values: dict[str, Any] = {name: getattr(template, name) for name in _COPIED}
    values |= {name: value for name, value in run.options.items() if name in _COPIED}
    record = BackupTask(
        is_template=False,
        template_id=template.id,
        run_id=run.id,
        state=RecordState.PENDING,
        **values,
    )
    session.add(record)
    session.flush()
    events.record(
        session,
        run,
        M(
            "Record {record}: {type} backup of {sources}.",
            record=record.id,
            type=record.type.value,
            sources=", ".join(record.sources),
        ),
        step=Step.CREATE_RECORD,
    )
    return record.id
