"""The whole stack under random kills, for as long as one likes; what holds is read from the tapes."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from db.models import BackupSet, FormatPermit, Notification, RunEvent
from notify.channel import BrokenChannel
from notify.facts import Facts
from notify.notice import Composer
from notify.outlet import Outlet
from notify.words import Words
from policy.errors import TapelineError
from policy.message import M
from policy.tapes.facts import SetState
from tape.drive import Drive
from tape.virtual import record, shelf
from tests import cartridges, invariants
from tests.faults.fragile import FragileSystem
from tests.soak.storm import Storm

pytestmark = pytest.mark.soak

DEFAULT = Outlet(BrokenChannel("ops", TapelineError(M("No channel is set up."))))
"""A channel without choices of its own, as the catcher is."""


@pytest.fixture
def system() -> Iterator[FragileSystem]:
    """An installation of its own, all its processes at work."""
    folder = Path(tempfile.mkdtemp(prefix="tl-"))
    folder.chmod(0o755)
    found = FragileSystem(folder)
    try:
        found.open()
        yield found
    finally:
        found.close()
        shutil.rmtree(folder)


def test_storm(system: FragileSystem, pytestconfig: pytest.Config, record_property: Any) -> None:
    """Nothing is formatted twice or lost, every run ends, and what the catalogue says is on the tapes."""
    seed = int(pytestconfig.getoption("--histories-seed"))
    ends = time.monotonic() + 60 * float(pytestconfig.getoption("--soak-minutes"))
    storm = Storm(system, seed)
    try:
        while time.monotonic() < ends:
            storm.round()
            _check(storm)
            storm.retry_failed()
        _check(storm)
        _check_all_tapes(storm)
        _check_messages(storm)
    except BaseException:
        print(f"seed {seed}, {dict(storm.counts)}")  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        for name, count in storm.counts.items():
            record_property(f"tapeline: {name}", count)


def _check(storm: Storm) -> None:
    """After each round: the formats that the cartridges count, the catalogue, the announcements."""
    with storm.system.database.transaction() as session:
        wrong = [
            *invariants.active_twice(session),
            *invariants.not_announced_once(session),
            *invariants.empty_successes(session),
            *invariants.not_on_tape(session, _folders(storm)),
            *_formats(session, storm),
            *_lost(session, storm),
        ]
    assert not wrong, "\n".join([*wrong, *_story(storm)])


def _folders(storm: Storm) -> dict[str, Path]:
    return invariants.folders_below(storm.system.state / "drives")


def _formats(session: Any, storm: Storm) -> list[str]:
    """No cartridge counts more formats than permits were consumed for it, and no part of a run two."""
    serial = FormatPermit.identity["medium_serial"].astext
    consumed = select(serial, func.count()).where(FormatPermit.consumed_at.is_not(None)).group_by(serial)
    permitted = Counter(dict(session.execute(consumed).all()))
    wrong = []
    storm.counts["formats"] = 0
    for number, folder in _folders(storm).items():
        counted = record.read(folder).formats
        storm.counts["formats"] += counted
        if counted > permitted[number]:
            wrong.append(f"{folder.name} was formatted {counted} times with {permitted[number]} permits")
    return wrong


def _lost(session: Any, storm: Storm) -> list[str]:
    """Only what is past its retention is ever destroyed; a tape holds no set that nobody knows."""
    destroyed = session.scalars(select(BackupSet.id).where(BackupSet.state == SetState.DESTROYED))
    wrong = [f"set {number} is destroyed and was kept" for number in destroyed if number not in storm.aged]
    known = set(session.scalars(select(BackupSet.id)))
    for folder in _folders(storm).values():
        wrong += [
            f"set {number} on {folder.name} is not known" for number in cartridges.sets_on(folder) - known
        ]
    return wrong


def _check_all_tapes(storm: Storm) -> None:
    """Every complete set on a cartridge that is not in doubt comes back, equal in every byte and fact."""
    folders, target = _folders(storm), storm.system.folder / "restored"

    def load(folder: Path) -> Drive:
        shelf.insert(storm.system.drive.path, folder.name)
        return storm.system.drive

    with storm.system.database.transaction() as session:
        doubtful = invariants.doubtful(session)
        for stored in session.scalars(select(BackupSet).where(BackupSet.state == SetState.COMPLETE)):
            if doubtful & {stored.cartridge_id, *(archive.cartridge_id for archive in stored.archives)}:
                continue
            wrong = invariants.not_restored(stored, folders, load, target)
            assert not wrong, "\n".join([*wrong, *_story(storm)])
            storm.counts["sets restored and compared"] += 1
            storm.counts["sets on several tapes"] += invariants.spans(stored)


def _check_messages(storm: Storm) -> None:
    """Everything that had to be said went out; a message whose sender was killed may have come twice."""
    storm.system.wait_for(lambda: not _unsent(storm), "the messages to go out", 200)
    with storm.system.database.transaction() as session:
        due = Counter(
            Composer(Words("en")).compose(facts).title
            for notification in session.scalars(select(Notification))
            if DEFAULT.wants(facts := Facts.from_json(notification.facts))
        )
    sent = Counter(message["title"] for message in storm.system.catcher.messages)
    storm.counts["messages"] = sum(due.values())
    assert not due - sent, f"never sent: {due - sent}"
    assert not set(sent) - set(due), f"nobody had to say: {set(sent) - set(due)}"
    assert sum((sent - due).values()) <= storm.counts["kills"], f"sent too often: {sent - due}"


def _unsent(storm: Storm) -> int:
    waiting = select(func.count()).where(Notification.next_attempt_at.is_not(None))
    return int(storm.system.ask(lambda session: session.scalar(waiting)))


def _story(storm: Storm) -> list[str]:
    rows = storm.system.ask(lambda s: s.scalars(select(RunEvent).order_by(RunEvent.id)).all())
    return [f"run {row.run_id}.{row.part} {row.step or '-'} {row.message}" for row in rows][-80:]
