"""Who has which label, and so the label of the next tape. People write it on cartridges beforehand, so all
code that names, promises or plans a label asks here."""

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
from policy.tapes.medium import MediumReport

Holder = int | str | None
"""The owner of a label: the row of a cartridge, the serial that a permit was for; None: a tape that reported
none."""


class Holders:
    """Every label in use, with its owners.

    Those of all cartridges, and those of permits that were, or may yet be, written: a row may not have them
    yet, and a cartridge that was relabelled afterwards may still have the old one on its case.
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
        """All labels in use."""
        return self._of.keys()

    def of_others(self, *mine: Holder) -> set[str]:
        """The labels of others than one cartridge, which is known as ``mine``."""
        me = set(mine) - {None}
        return {name for name, holders in self._of.items() if holders - me}

    def own(self, *mine: Holder) -> frozenset[str]:
        """The labels that only one cartridge has."""
        me = set(mine) - {None}
        return frozenset(name for each in me for name in self._names[each] if self._of[name] <= me)


def taken(session: Session, medium: MediumReport, run: ChainRun | None = None) -> set[str]:
    """The labels that the tape in a drive cannot get, because others have them."""
    known = cartridges.recognise(session, medium)
    return Holders(session, run).of_others(known.id if known else None, medium.get("medium_serial"))


def of_a_blank_tape(session: Session, now_local: datetime, run: ChainRun | None = None) -> str:
    """The label that an unknown blank tape gets at its next format. Raises UsageError if the month has no
    label left."""
    return label.to_ask_for(now_local, taken(session, {}, run))


def _on_cartridges(session: Session) -> Iterator[tuple[str, Holder]]:
    for number, *names in session.execute(
        select(TapeCartridge.id, TapeCartridge.tape_id, TapeCartridge.label)
    ):
        yield from ((name, number) for name in names if name)


def _promised(session: Session, run: ChainRun | None) -> Iterator[tuple[str, Holder]]:
    is_open = FormatPermit.outcome.is_(None) & ChainRun.state.in_(ACTIVE)
    was_written = FormatPermit.outcome["ok"].as_boolean()
    query = (
        select(FormatPermit.label, FormatPermit.identity)
        .join(ChainRun, ChainRun.id == FormatPermit.run_id)
        .where(FormatPermit.allowed, is_open | was_written)
    )
    if run is not None:
        query = query.where(FormatPermit.run_id != run.id)
    for name, identity in session.execute(query):
        yield name, identity.get("medium_serial")
