"""Which settings each process works with: it enters them itself, so that one that is behind can be named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Process
from policy.message import M, Message

LATELY = timedelta(minutes=10)
"""How long ago a process may have entered itself that counts as running."""
BEAT_LATELY = timedelta(minutes=2)
"""The same for beat, without which nothing starts; it enters itself each half minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a process knows of its settings."""

    name: str
    """As the broker calls it: ``control@host``."""
    host: str
    file: str | None
    read_at: datetime
    channels: list[str]
    behind: list[str]
    """Settings that the file has otherwise, and that hold after a new start."""
    problem: dict[str, Any] | None
    """Why the file as it is now cannot be read."""


def enter(session: Session, reading: Reading) -> None:
    """Enter a process, or that it still runs; one that has not done so for a day is forgotten."""
    moment = func.clock_timestamp()
    session.execute(delete(Process).where(Process.seen_at < moment - timedelta(days=1)))
    values = {name: getattr(reading, name) for name in Reading.__slots__ if name != "name"}
    session.execute(
        insert(Process)
        .values(name=reading.name, seen_at=moment, **values)
        .on_conflict_do_update(index_elements=["name"], set_={**values, "seen_at": moment})
    )


def present(session: Session) -> Sequence[Process]:
    """The processes that run, by name."""
    lately = Process.seen_at > func.clock_timestamp() - LATELY
    return session.scalars(select(Process).where(lately).order_by(Process.name)).all()


def is_beat_there(session: Session) -> bool:
    """Whether a beat has entered itself within the last minutes."""
    lately = Process.seen_at > func.clock_timestamp() - BEAT_LATELY
    return (
        session.scalar(select(Process.name).where(lately, Process.name.startswith("beat@")).limit(1))
        is not None
    )


def deliverers(session: Session) -> list[Process]:
    """Those that deliver messages: the control workers."""
    return [process for process in present(session) if process.name.startswith("control@")]


def behind(session: Session) -> list[Message]:
    """What is to be said of each process that works with other settings than its file has."""
    return [text for process in present(session) if (text := _what(process)) is not None]


def _what(process: Process) -> Message | None:
    facts = {"process": process.name, "file": process.file or "-"}
    if process.problem is not None:
        return M(
            "{process} cannot read {file} as it is now and works with what it read before: {problem}",
            problem=process.problem,
            **facts,
        )
    if process.behind:
        return M(
            "{process} has older settings than {file}: {settings}. Start it anew.",
            settings=", ".join(process.behind),
            **facts,
        )
    return None
