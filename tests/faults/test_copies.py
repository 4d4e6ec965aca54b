"""kill -9 of the worker that copies a set: the copy is whole in the end, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import ArchiveCopy
from db.runs import starting
from db.states import Step
from tests.faults.fragile import FragileSystem

SPEED = 600_000
"""Bytes a second: slow enough to be struck in the middle."""
TEMPLATE = {"compression": "none", "archive_bytes": 1 << 20, "retention_days": 30}


def files_of(folder: Path, set_id: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "sets" / set_id).iterdir()}


def copies(system: FragileSystem) -> int:
    return int(system.ask(lambda session: session.scalar(select(func.count()).select_from(ArchiveCopy))))


def a_copy(system: FragileSystem, set_id: str) -> int:
    def begin(session: Session) -> int:
        run = starting.start_copy(session, set_id=set_id, drive="tape0", pool=None, requested_by="li")
        return run.id

    return int(system.ask(begin))


@pytest.mark.parametrize("strike", ["the tape worker's child", "the tape host"])
def test_a_copy_survives_its_worker(system: FragileSystem, strike: str) -> None:
    """Struck while it writes: nothing of the copy is in the catalogue, and its first archive is on tape."""
    at = f"{system.runs:03d}"
    first = system.insert_blank(f"C{at}01L9")
    system.schedule(f"copied{at}", system.source, template=TEMPLATE)
    done = system.wait_for_state(system.begin(f"copied{at}"), "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    set_id, before = done["set_id"], copies(system)
    run = a_copy(system, set_id)
    assert system.wait_for_state(run, "WAITING_FOR_TAPE", "FAILED")["state"] == "WAITING_FOR_TAPE"
    second = system.insert_blank(f"C{at}02L9", speed=SPEED)
    folder = second / "sets" / set_id
    system.wait_for((folder / "data-000002.tar").exists, "the second archive to be begun")
    assert copies(system) == before
    if strike == "the tape host":
        system.crash("tape")
        system.start("tape")
    else:
        system.kill_pool("tape")
    ended = system.wait_for_state(run, "SUCCEEDED", "FAILED", "CANCELLED")
    assert ended["state"] == "SUCCEEDED", ended
    assert max(each["attempts"] for each in ended["steps"] if each["name"] == Step.WRITE_COPY) == 2
    assert files_of(second, set_id) == files_of(first, set_id)
    assert copies(system) == before + len(list(first.glob(f"sets/{set_id}/data-*")))
    system.wait_for(lambda: not list(system.state.glob("spool/tapeline-copy-*")), "an empty spool")
