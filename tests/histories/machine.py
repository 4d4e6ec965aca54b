"""A history as a state machine of hypothesis: what is checked after each step and in the end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

from tests.histories import checks
from tests.histories.machinery import fates
from tests.histories.machinery.points import Place, Plan
from tests.histories.world import Parts, World

STEPS = 12
"""Of a history; a step is an operator's or beat's, and often lets a whole run pass."""

Fates = dict[Place, fates.Fate]
SCHEDULES = {"s0": "tape0", "s1": "tape0", "s2": "tape1"}
"""Each schedule's drive."""


class Machine(RuleBasedStateMachine):
    """One history; the stage is set by the test."""

    parts: Parts

    def __init__(self) -> None:
        super().__init__()
        self.world = self.make_world()
        self.failed = False
        self.checked = -1

    def make_world(self) -> World:
        return World(self.parts)

    def _drain(self, planned: Fates) -> None:
        self.world.drain(Plan({at: fate(self.world) for at, fate in planned.items()}))

    # What holds

    @invariant()
    def holds(self) -> None:
        self.parts.counts["steps"] += 1
        if self.checked != self.world.counts["messages"]:
            # Without a message nobody has done anything but an operator.
            self._check(checks.check)
            self.checked = self.world.counts["messages"]

    def teardown(self) -> None:
        try:
            if not self.failed:
                self.parts.counts["histories"] += 1
                self.world.settle()
                self._check(checks.check)
                self._check(checks.check_end)
        finally:
            self.world.close()

    def _check(self, what: Any) -> None:
        try:
            what(self.world)
        except BaseException:
            self.failed = True
            raise


def run(
    machine: type[Machine],
    parts: Parts,
    shard: tuple[int, int],
    record_property: Any,
    pytestconfig: pytest.Config,
) -> None:
    """Let a machine make its share of the histories, and count what was tried."""
    number, count = shard

    staged = type(machine.__name__, (machine,), {"parts": parts})
    phases = [Phase.generate] if pytestconfig.getoption("--as-found") else [Phase.generate, Phase.shrink]
    try:
        run_state_machine_as_test(
            seed(number)(staged),
            settings=settings(
                max_examples=count,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                phases=phases,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        for name, value in parts.counts.items():
            record_property(f"tapeline: {name}", value)
