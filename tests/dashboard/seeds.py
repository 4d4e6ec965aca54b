"""Rows for pages that are only looked at: tapes, sets, runs, and names that try to be markup."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from db import events
from db.admin import audit
from db.engine import Database
from db.libraries import inventory
from db.models import BackupArchive, BackupSet, FormatPermit, ScheduledTask, TapeCartridge, now
from db.runs import starting, transitions
from db.schedules import schedules
from db.sets import catalog
from db.sets.catalog import FileRow
from db.states import BackupType, RunState, Trigger
from db.tapes import cartridges, drives
from policy.message import M
from policy.tapes.facts import CartridgeState, SetState

HOSTILE = "<img src=x onerror=alert(1)>\"'{{7*7}}"
"""A name, a label, a path, a reason: whatever an operator or a file system may hold."""

FAILED, OLD = 1, "TP20251001"
A_FILE = "/data/report.pdf"


def sow(database: Database) -> None:
    """A failed run of the schedule ``monthly``, a tape of two generations, many tapes, a drive."""
    with database.transaction() as session:
        row = schedules.get(session, "monthly")
        schedules.put(session, HOSTILE, drive="tape0", sources=[HOSTILE], tape_policy="rotate")
        _failed_run(session, row)
        first = _tape(session, OLD, generation=2, pool=cartridges._pool(session, "vault"))
        first.loads, first.write_errors, first.tape_alerts = 12, 3, [HOSTILE]
        _set(session, row, first, "20251001T000000Z-0001", 1, SetState.DESTROYED, destroyed_at=now())
        _set(
            session, row, first, "20261001T000000Z-0002", 2, SetState.COMPLETE, bytes=10**9,
            retention_until=now() + timedelta(days=100), damaged=2,
        )  # fmt: skip
        _tape(session, HOSTILE, state=CartridgeState.UNKNOWN)
        for number in range(60):
            _tape(session, f"TP2024{number // 5 + 1:02d}{number % 5 + 1:02d}")
        drives.register(session, name="tape0", driver="virtual", host=HOSTILE, worker="w", queue="tape")
        drives.looked(session, "tape0", {**_medium(first), "write_protected": True})
        audit.enter(session, who=HOSTILE, origin=HOSTILE, what=HOSTILE, details={"why": HOSTILE})
        _library(session)


def _library(session: Session) -> None:
    """A library in which each kind of place is there, with a name that tries to be markup."""
    codes = [OLD, HOSTILE, None, "CLNU01L1"]
    slots = [
        {"number": number, "full": True, "barcode": code, "is_mail": number == 4}
        for number, code in enumerate(codes, 1)
    ]
    shown = {"slots": slots, "bays": [{"number": 0, "full": True, "barcode": HOSTILE, "home": 7}]}
    facts: dict[str, Any] = {"driver": "mtx", "host": HOSTILE, "drives": {0: "tape0"}, "clean_with": "CLN*"}
    inventory.store(session, HOSTILE, {**shown, "disturbed": False}, **facts)
    inventory.is_old(session, HOSTILE, M("{name}", name=HOSTILE))


def _medium(tape: TapeCartridge) -> dict[str, Any]:
    return {
        "state": "formatted", "label": tape.label, "volume_uuid": tape.volume_uuid, "serial": None,
        "medium_serial": None, "barcode": None, "empty": False, "capacity": 10**12, "free": 10**11,
    }  # fmt: skip


def _failed_run(session: Session, row: ScheduledTask) -> None:
    run = starting.start(
        session, row, due_at=now() - timedelta(hours=1), trigger=Trigger.MANUAL, requested_by=HOSTILE
    )
    assert run is not None
    assert run.id == FAILED
    transitions.transition(session, run, RunState.RUNNING)
    for _ in range(400):
        events.record(session, run, M("In drive {drive}: {tape}.", drive="tape0", tape=HOSTILE))
    session.add(
        FormatPermit(
            run_id=run.id, part=1, drive="tape0", identity={}, label="TP20261101", allowed=False, denials=[],
            reasons=[M("Set {set} on it is kept for ever.", set=HOSTILE).to_json()], sets_lost=[],
        )
    )  # fmt: skip
    transitions.transition(
        session, run, RunState.FAILED, M("{path}: {reason}", path=HOSTILE, reason="broken")
    )


def _tape(
    session: Session, name: str, state: CartridgeState = CartridgeState.ACTIVE, **more: Any
) -> TapeCartridge:
    tape = TapeCartridge(
        tape_id=name, label=name, volume_uuid=name, capacity=10**12, bytes_used=10**11, formatted_at=now(),
        **{"state": state, "generation": 1, **more},
    )  # fmt: skip
    session.add(tape)
    session.flush()
    return tape


def _set(
    session: Session, row: ScheduledTask, tape: TapeCartridge, name: str, generation: int,
    state: SetState, **more: Any,
) -> None:  # fmt: skip
    catalog.add_set(
        session,
        BackupSet(
            id=name, template_id=row.template_id, cartridge_id=tape.id, generation=generation,
            type=BackupType.FULL, state=state, sources=["/data"], started_at=now(), finished_at=now(), **more,
        ),
    )  # fmt: skip
    archive = BackupArchive(
        set_id=name, number=1, cartridge_id=tape.id, generation=generation, name="data-000001.tar",
        bytes=10**9, sha256="0", files=1, content_bytes=0, record={},
    )  # fmt: skip
    catalog.add_archive(session, archive, _files() if state is SetState.COMPLETE else iter(()))


def _files() -> Iterator[FileRow]:
    """A folder with a folder in it, and with files with names as nobody should give them."""
    rows = [("/data", "folder"), (f"/data/{HOSTILE.replace('/', '')}", "file"), (A_FILE, "file")]
    rows += [("/data/sub", "folder"), ("/data/sub/file.txt", "file")]
    for position, (path, kind) in enumerate(rows):
        yield FileRow(position, path, None, kind, 10**6, 1_760_000_000_000_000_000, 0, 0, None)
