"""The invariants of a history: what holds after every step, and what holds when it has come to rest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from celery_app import wiring
from db.models import BackupSet, ChainRun, Notification
from db.sets import lineage
from db.states import ENDED
from notify.facts import Facts
from notify.outlet import Outlet
from policy.tapes.facts import SetState
from tests import invariants
from tests.histories.world import World


def check(world: World) -> None:
    """What holds after every step. Raises AssertionError, which tells the story of the runs."""
    wrong = list(world.ledger.violations)
    with world.session() as session:
        wrong += invariants.active_twice(session)
        wrong += invariants.not_announced_once(session)
        wrong += invariants.empty_successes(session)
        wrong += invariants.held_sets(session)
        world.memory.learn(session)
        wrong += world.memory.doubted()
        wrong += world.memory.followed_in_vain()
        wrong += invariants.not_on_tape(session, _folders(world), world.memory.excused())
    _stop_if(world, wrong)


def check_end(world: World) -> None:
    """What holds when the world is mended and time has moved on."""
    wrong = []
    with world.session() as session:
        wrong += _not_sent_once(session, world)
        for stored in session.scalars(select(BackupSet).where(BackupSet.state == SetState.COMPLETE)):
            wrong += _not_restored(world, session, stored)
        active = select(ChainRun.id).where(ChainRun.state.not_in(ENDED))
        wrong += [f"run {number} has not ended" for number in session.scalars(active)]
    _stop_if(world, wrong)


def _stop_if(world: World, wrong: list[str]) -> None:
    if wrong:
        raise AssertionError("\n".join([*wrong, "", *story(world)]))


def story(world: World) -> list[str]:
    """What the runs tell of themselves, and what lies in each drive."""
    lines = text(
        "SELECT 'run ' || run_id || '.' || part || ' ' || coalesce(step, '-') || ': ' || message::text"
        " FROM run_events ORDER BY id"
    )
    with world.session() as session:
        return list(session.scalars(lines))


def _not_sent_once(session: Any, world: World) -> list[str]:
    """Each notification went out once; twice only if its sender was struck or slept before it noted that."""
    due: Counter[str] = Counter()
    for notification in session.scalars(select(Notification)):
        facts = Facts.from_json(notification.facts)
        if Outlet(world.parts.mailbox).wants(facts):
            due[wiring.composer().compose(facts).title] += 1
    mailbox = world.parts.mailbox
    if world.is_rebuilt:
        # What the lost database had sent, this one does not know.
        return []
    sent, doubtful = mailbox.sent, mailbox.doubtful
    return [
        f"'{title}' was sent {sent[title]} times instead of {due[title]}"
        for title in due | sent
        if not due[title] <= sent[title] <= due[title] + doubtful[title] + mailbox.paused
    ]


def _folders(world: World) -> dict[str, Path]:
    return invariants.folders_below(world.parts.folder / "drives")


def _not_restored(world: World, session: Any, stored: BackupSet) -> list[str]:
    *follows, _ = sets = lineage.chain(session, stored.id)
    is_there = lineage.is_whole(session, sets) and not {each.id for each in sets} & world.memory.excused()
    if not stored.archives or not is_there:
        # Of a set from before the first day there is nothing to restore.
        return []
    world.counts["sets restored"] += 1
    world.counts["increments restored"] += bool(follows)
    world.counts["sets on several tapes restored"] += invariants.spans(stored)
    known = world.memory.sets[stored.id]
    return invariants.not_restored(
        stored,
        _folders(world),
        world.plain_drive,
        world.parts.folder / "checked",
        follows=follows,
        tree=lambda _: known.tree,
    )
