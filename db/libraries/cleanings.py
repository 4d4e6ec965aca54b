"""How long a drive has worked since its library cleaned it last."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import ChainRun, ChainStep, RobotMove, TapeLibrary, now
from db.states import Step

AT_WORK = (
    Step.RUN_BACKUP,
    Step.RESTORE,
    Step.VERIFY,
    Step.IMPORT_TAPE,
    Step.READ_SET,
    Step.WRITE_COPY,
)
"""The steps in which a drive reads or writes."""


def hours_since(session: Session, library: TapeLibrary, drive: str) -> float:
    """The hours that a drive has read or written since its last cleaning, by command or by itself; since
    ever, if there was none. A step under way counts up to now."""
    cleaned = cleaned_at(session, library, drive)
    ended = func.coalesce(ChainStep.finished_at, now())
    begun = func.greatest(ChainStep.started_at, cleaned) if cleaned else ChainStep.started_at
    seconds = (
        select(func.sum(func.extract("epoch", ended - begun)))
        .join(ChainRun, ChainRun.id == ChainStep.run_id)
        .where(ChainRun.drive == drive, ChainStep.step.in_(AT_WORK), ChainStep.started_at.is_not(None))
    )
    if cleaned is not None:
        seconds = seconds.where(ended > cleaned)
    return float(session.scalar(seconds) or 0) / 3600


def cleaned_at(session: Session, library: TapeLibrary, drive: str) -> datetime | None:
    """When a cleaning cartridge was last loaded into a drive; None: never."""
    numbers = [int(number) for number, name in library.drives.items() if name == drive]
    pattern = library.clean_with
    for plain, liked in (("%", r"\%"), ("_", r"\_"), ("*", "%"), ("?", "_")):
        pattern = pattern.replace(plain, liked)
    return session.scalar(
        select(func.max(RobotMove.ended_at)).where(
            RobotMove.library == library.name,
            RobotMove.verb == "load",
            RobotMove.target.in_(numbers),
            RobotMove.barcode.like(pattern, escape="\\"),
            RobotMove.outcome.is_(None),
        )
    )
