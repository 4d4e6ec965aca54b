"""Changing by hand what may be done with a cartridge, unless a run uses it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from db.errors import NotAllowed
from db.models import TapeCartridge
from db.runs import lookup
from db.runs.lookup import RunFilter
from db.states import RunState
from db.tapes import cartridges
from policy.message import M
from policy.tapes.facts import CartridgeState

BY_HAND = (CartridgeState.ACTIVE, CartridgeState.RETIRED)
"""The marks that an operator may give a cartridge."""


def mark(session: Session, cartridge: TapeCartridge, state: CartridgeState) -> None:
    """Mark a cartridge for an operator; its sets stay as they are. Raises NotAllowed while a run uses it."""
    for run in lookup.find(session, RunFilter(states=[RunState.RUNNING])):
        used = cartridges.recognise(session, run.tape_seen) if run.tape_seen else None
        if used is not None and used.id == cartridge.id:
            raise NotAllowed(
                M("Run {run} uses tape {tape_id} now.", run=run.id, tape_id=cartridge.tape_id),
                M("Wait for it or cancel it: tapeline runs cancel {run}", run=run.id),
            )
    cartridges.mark(session, cartridge.id, state)
