"""Which settings each process uses: each records them itself, so that an outdated one can be named."""

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
"""A process counts as running if its last record is not older."""
BEAT_LATELY = timedelta(minutes=2)
"""The same for beat, without which nothing starts; it writes a record every half minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """A process's settings."""

    name: str
    """As the broker calls it: ``control@host``."""
    host: str
    file: str | None
    read_at: datetime
    channels: list[str]
    behind: list[str]
    """Settings that differ in the file, and that take effect after a restart."""
    problem: dict[str, Any] | None
    """Why the file cannot be read now."""


def enter(session: Session, reading: ProcessSettings) -> None:
    """Record a process, or that it is still running; after a day without a record it is removed."""
    moment = func.clock_timestamp()
    session.execute(delete(Process).where(Process.seen_at < moment - timedelta(days=1)))
    values = {name: getattr(reading, name) for name in ProcessSettings.__slots__ if name != "name"}
    session.execute(
        insert(Process)
        .values(name=reading.name, seen_at=moment, **values)
        .on_conflict_do_update(index_elements=["name"], set_={**values, "seen_at": moment})
    )


def present(session: Session) -> Sequence[Process]:
    """The running processes, by name."""
    lately = Process.seen_at > func.clock_timestamp() - LATELY
    return session.scalars(select(Process).where(lately).order_by(Process.name)).all()


def is_beat_there(session: Session) -> bool:
    """Whether a beat has written a record within the last minutes."""
    lately = Process.seen_at > func.clock_timestamp() - BEAT_LATELY
    return (
        session.scalar(select(Process.name).where(lately, Process.name.startswith("beat@")).limit(1))
        is not None
    )


def deliverers(session: Session) -> list[Process]:
    """Those that deliver messages: the control workers."""
    return [process for process in present(session) if process.name.startswith("control@")]


def behind(session: Session) -> list[Message]:
    """A warning for each process that uses other settings than its file has."""
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
