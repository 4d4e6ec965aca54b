"""Who has which label, and by that the label of the next tape: people write it on cartridges beforehand, so
whoever names it, promises it or plans with it asks here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import ChainRun, FormatPermit, TapeCartridge
from db.states import ACTIVE
from db.tapes import cartridges
from policy.tapes import label

Holder = int | str | None
"""Whose a label is: the row of a cartridge, the serial that a permit was for; None: a tape that told none."""


class Holders:
    """Every label that is taken, with whoever holds it.

    Those of all cartridges, and those that permits were given and that were, or may yet be, written: no row
    may say so yet, and a cartridge that was relabelled afterwards may still wear the old one on its case.
    """

    def __init__(self, session: Session, run: ChainRun | None = None) -> None:
        """``run``: what was promised to this run itself is free for it."""
        self._of: dict[str, set[Holder]] = defaultdict(set)
        self._names: dict[Holder, set[str]] = defaultdict(set)
        for name, holder in (*_on_cartridges(session), *_promised(session, run)):
            self._of[name].add(holder)
            self._names[holder].add(name)

    @property
    def labels(self) -> Collection[str]:
        """All that are taken."""
        return self._of.keys()

    def of_others(self, *mine: Holder) -> set[str]:
        """Those that somebody else than one cartridge has, which is known as ``mine``."""
        me = set(mine) - {None}
        return {name for name, holders in self._of.items() if holders - me}

    def own(self, *mine: Holder) -> frozenset[str]:
        """Those that nobody else has than one cartridge."""
        me = set(mine) - {None}
        return frozenset(name for each in me for name in self._names[each] if self._of[name] <= me)


def taken(session: Session, medium: cartridges.Medium, run: ChainRun | None = None) -> set[str]:
    """The labels that what is in a drive cannot be given, since others have them."""
    known = cartridges.recognise(session, medium)
    return Holders(session, run).of_others(known.id if known else None, medium.get("medium_serial"))


def of_a_blank_tape(session: Session, now_local: datetime, run: ChainRun | None = None) -> str:
    """What a blank tape that nobody knows becomes when it is formatted next. Raises UsageError when the month
    has no label left."""
    return label.to_ask_for(now_local, taken(session, {}, run))


def _on_cartridges(session: Session) -> Iterator[tuple[str, Holder]]:
    for number, *names in session.execute(
        select(TapeCartridge.id, TapeCartridge.tape_id, TapeCartridge.label)
    ):
        yield from ((name, number) for name in names if name)


def _promised(session: Session, run: ChainRun | None) -> Iterator[tuple[str, Holder]]:
    is_open = FormatPermit.outcome.is_(None) & ChainRun.state.in_(ACTIVE)
    was_written = FormatPermit.outcome["ok"].as_boolean()
    found = (
        select(FormatPermit.label, FormatPermit.identity)
        .join(ChainRun, ChainRun.id == FormatPermit.run_id)
        .where(FormatPermit.allowed, is_open | was_written)
    )
    if run is not None:
        found = found.where(FormatPermit.run_id != run.id)
    for name, identity in session.execute(found):
        yield name, identity.get("medium_serial")
