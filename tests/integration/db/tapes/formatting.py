"""A run about to format a tape, and the answer of the permit."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from db.models import ChainRun, now
from db.tapes import cartridges, permits
from policy.tapes.facts import TapePolicy
from policy.tapes.permit import Denial
from tests.integration.db.tapes.test_permits import run_at, stored_on

SET = "20241015T000000Z-0001"


TAPE: dict[str, Any] = {
    "state": "formatted", "label": "TP20241015", "volume_uuid": "u1", "medium_serial": "m1", "empty": False,
}  # fmt: skip


SHOWN = permits.VolumeContents((SET,), ())


def about_to_format(session: Session) -> ChainRun:
    """A run whose precheck has seen a tape with one set, which somebody has marked as not needed."""
    cartridge, _ = cartridges.update_label(session, original=None, medium=TAPE)
    stored_on(session, cartridge, SET).expired_at = now()
    run = run_at(session, "tape0")
    run.tape_seen = TAPE
    session.flush()
    return run


def denials(
    session: Session,
    run: ChainRun,
    medium: dict[str, Any] = TAPE,
    *,
    shown: permits.VolumeContents | None = SHOWN,
    policy: str = "rotate",
) -> tuple[Denial, ...]:
    return permits.judge(
        session, run, medium, policy=TapePolicy.parse(policy), now_local=now(), shown=shown
    ).denials
