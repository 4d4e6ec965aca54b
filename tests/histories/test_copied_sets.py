"""Histories in which sets are copied to other tapes, at any moment, with deaths in the middle of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule
from sqlalchemy import select

from db.models import BackupSet
from db.runs import starting
from db.states import ACTIVE, Kind, RunState
from policy.tapes.facts import SetState
from tasks import chain
from tests.histories.machine import SCHEDULES, Fates, run
from tests.histories.test_histories import Histories, drives, numbers, pauses, places, schedules, strikes
from tests.histories.world import Parts

few_strikes = st.just({}) | strikes
MOST = 8
swaps = st.integers(0, MOST)
"""How many tapes an operator inserts for a copy, one after the other: few of them are good for it."""


class CopyHistories(Histories):
    """Everything that happens to backups, and copies of their sets."""

    @rule(number=numbers, drive=drives, swapped=swaps, planned=few_strikes)
    def copy(self, number: int, drive: str, swapped: int, planned: Fates) -> None:
        with self.world.session() as session:
            sets = sorted(session.scalars(select(BackupSet.id).where(BackupSet.state == SetState.COMPLETE)))
        if sets:
            self._copy(sets[number % len(sets)], drive, swapped, planned)

    @rule(schedule=schedules, place=places, swapped=swaps, planned=few_strikes)
    def back_up_and_copy(self, schedule: str, place: int, swapped: int, planned: Fates) -> None:
        self._back_up(schedule, place, {})
        with self.world.session() as session:
            newest = session.scalars(
                select(BackupSet.id)
                .where(BackupSet.state == SetState.COMPLETE)
                .order_by(BackupSet.finished_at.desc())
            ).first()
        if newest:
            self._copy(newest, SCHEDULES[schedule], swapped, planned)

    @rule(schedule=schedules, place=places, other=schedules, by=pauses)
    def leave_the_tape_with_the_copy_in(self, schedule: str, place: int, other: str, by: timedelta) -> None:
        """The next runs find the tape that the copy went on."""
        self.back_up_and_copy(schedule, place, MOST, {})
        self.world.time_passes(by)
        self.world.begin(other)
        self.work()

    def _copy(self, set_id: str, drive: str, swapped: int, planned: Fates) -> None:
        """``tapeline sets copy``: the first tape that an operator offers is the one with the set."""

        def ask() -> None:
            with self.world.session() as session:
                starting.start_copy(session, set_id=set_id, drive=drive, pool=None, requested_by="operator")
            chain.release(drive, brief=True)

        self.world.command(ask)
        self._drain(planned)
        for _ in range(swapped):
            if self.world.run_ids(*ACTIVE, kind=Kind.COPY):
                self.world.insert_next(drive)
                self.work_and_be_struck(planned)

    def teardown(self) -> None:
        super().teardown()
        copied = self.world.run_ids(RunState.SUCCEEDED, kind=Kind.COPY)
        self.world.counts["sets copied"] += len(copied)
        if not self.failed:
            assert not self._given_up()

    def _given_up(self) -> list[str]:
        """The sets that count as destroyed although a tape has all of them."""
        there = [each.id for each in self.world.memory.sets.values() if each.ended_at and not each.gone_at]
        with self.world.session() as session:
            destroyed = select(BackupSet.id).where(BackupSet.state == SetState.DESTROYED)
            return sorted(session.scalars(destroyed.where(BackupSet.id.in_(there))))


def test_copied_sets(
    parts: Parts, shard: tuple[int, int], record_property: Any, pytestconfig: pytest.Config
) -> None:
    """A tape with a copy is kept as one with the original; what the catalogue calls a copy is one; a set
    lasts as long as one of its tapes."""
    run(CopyHistories, parts, shard, record_property, pytestconfig)
