"""Whether a copy needs a format at all, before anybody asks for a permit."""

from __future__ import annotations

from sqlalchemy.orm import Session

from db.models import ChainRun
from db.states import Kind
from db.tapes import cartridges
from policy.message import M, Message
from policy.tapes.medium import MediumReport
from tasks.drive import copy_target
from tasks.drive.tape_rules import expected, question_of
from tasks.work import WrongTape


def settled(session: Session, run: ChainRun, medium: MediumReport) -> Message | WrongTape | None:
    """Why a copy formats nothing: the set is not read yet, or goes on this tape as it is; or why it does not
    go on it at all. None: it needs a permit, or the run is no copy."""
    if run.kind is not Kind.COPY:
        return None
    if copy_target.only_reads(run):
        return M("The set has to be read first.")
    tape = cartridges.tape_facts(session, medium)
    objection = copy_target.objection(session, run, tape, medium)
    if objection is not None:
        remedy = M("With the right tape in the drive: tapeline runs retry {run}", run=run.id)
        return WrongTape(objection.told(expected(session, run)), remedy)
    if question_of(session, run, tape).asks_permit:
        return None
    return M("The copy is appended to what is on the tape.")
