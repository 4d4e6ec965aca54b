"""Freezes: while one of them exists, no tape is formatted, and old tapes keep what may be needed soon."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.errors import NotAllowed, NotFound
from db.models import ChainRun, Freeze, now
from policy.errors import UsageError
from policy.message import M, Message

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def standing(session: Session) -> list[Freeze]:
    """The freezes that nobody has lifted, the oldest first."""
    return list(session.scalars(select(Freeze).where(Freeze.lifted_at.is_(None)).order_by(Freeze.id)))


def why(session: Session) -> Message | None:
    """Why no tape is formatted, and how to lift that; None: nothing is frozen."""
    in_force = standing(session)
    if not in_force:
        return None
    first = in_force[0]
    text = M(
        "Formats are frozen since {at} ({name}): {reason} To lift that: tapeline unfreeze {name} --why TEXT",
        at=f"{first.frozen_at:%Y-%m-%d %H:%M} UTC",
        name=first.name,
        reason=first.reason,
    )
    if len(in_force) == 1:
        return text
    others = ", ".join(each.name for each in in_force[1:])
    return M("{first} Then also: {others}.", first=text.to_json(), others=others)


def check(session: Session) -> None:
    """Raises NotAllowed while anything is frozen."""
    reason = why(session)
    if reason is not None:
        raise NotAllowed(reason)


def freeze(session: Session, name: str | None, who: str, reason: str) -> Freeze:
    """Deny every format from now on. ``name``: the name to lift it by; None: a number. Raises UsageError."""
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(
            M("NAME: '{name}' is no name for a freeze.", name=name),
            M("Use 1 to 64 of the characters A-Z a-z 0-9 _ . - and begin with a letter or a digit."),
        )
    if name is not None and session.scalar(select(Freeze.id).where(Freeze.name == name)):
        raise UsageError(
            M("NAME: there is, or was, a freeze '{name}'.", name=name), M("Choose another, or leave it out.")
        )
    return _add(session, name, M("{text}", text=_sentence(reason)), frozen_by=who)


def by_the_guard(session: Session, run: ChainRun, reason: Message) -> Freeze:
    """Deny every format because somebody seems to encrypt the sources of a run; once for a run."""
    freeze = session.scalar(select(Freeze).where(Freeze.run_id == run.id, Freeze.lifted_at.is_(None)))
    if freeze is not None:
        return freeze
    name = f"run-{run.id}"
    taken = session.scalar(select(func.count()).where(Freeze.run_id == run.id)) or 0
    return _add(session, f"{name}-{taken + 1}" if taken else name, reason, run_id=run.id)


def _add(session: Session, name: str | None, reason: Message, **facts: Any) -> Freeze:
    if name is None:
        numbers = session.scalar(select(func.max(Freeze.id))) or 0
        name = f"freeze-{numbers + 1}"
    added = Freeze(name=name, frozen_at=now(), reason=reason.to_json(), **facts)
    session.add(added)
    session.flush()
    return added


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "。")) else f"{text}."


def lift(session: Session, name: str, who: str, reason: str) -> Freeze:
    """Lift a freeze by its name. Raises NotFound, NotAllowed."""
    freeze = session.scalar(select(Freeze).where(Freeze.name == name).with_for_update())
    if freeze is None:
        names = ", ".join(each.name for each in standing(session))
        raise NotFound(
            M("There is no freeze '{name}'.", name=name),
            M("There are: {names}", names=names) if names else M("Nothing is frozen."),
        )
    if freeze.lifted_at is not None:
        raise NotAllowed(M("Freeze '{name}' is lifted already.", name=name))
    freeze.lifted_at, freeze.lifted_by, freeze.lifted_why = now(), who, reason
    session.flush()
    return freeze


def as_json(freeze: Freeze) -> dict[str, Any]:
    """A freeze in the form for scripts."""
    return {
        "name": freeze.name,
        "frozen_at": freeze.frozen_at.isoformat(),
        "by": freeze.frozen_by,
        "run": freeze.run_id,
        "reason": freeze.reason,
        "lifted_at": freeze.lifted_at.isoformat() if freeze.lifted_at else None,
        "lifted_by": freeze.lifted_by,
    }
