"""kill -9 of every process in every step: the run ends as it would have, formatted once, byte-equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from db.states import AT_THE_DRIVE, Step
from tests.faults import trial as at
from tests.faults.fragile import FragileSystem
from tests.faults.proof import SUCCESS, End, prove
from tests.faults.trial import Place, Trial

NOT_FORMATTED = End(
    state="FAILED",
    reason="cut off",
    formats=0,
    cartridge="unknown",
    stored=None,
    messages=("failed",),
)
BLANK_AS_BEFORE = End(
    state="FAILED",
    reason="cut off",
    formats=0,
    cartridge=None,
    stored=None,
    messages=("failed",),
)


@dataclass(frozen=True)
class Kill:
    """What is killed, and what is started again once the step has been released."""

    name: str
    strike: Callable[[FragileSystem], None]
    start_again: tuple[str, ...] = ()
    worker: str = ""
    """Whose steps die with it."""

    def __str__(self) -> str:
        return self.name

    def mend(self, system: FragileSystem) -> None:
        for name in self.start_again:
            if name == "beat":
                system.start_beat()
            else:
                system.start(name)


TAPE_CHILD = Kill("the tape worker's child", lambda system: system.kill_pool("tape"), (), "tape")
TAPE = Kill("the tape worker", lambda system: system.kill("tape"), ("tape",), "tape")
TAPE_HOST = Kill("the tape host", lambda system: system.crash("tape"), ("tape",), "tape")
CONTROL_CHILD = Kill(
    "the control worker's children", lambda system: system.kill_pool("control"), (), "control"
)
CONTROL = Kill("the control worker", lambda system: system.kill("control"), ("control",), "control")
BEAT = Kill("beat", lambda system: system.kill("beat"), ("beat",))

TABLE: list[tuple[Place, Kill, bool, End]] = [
    (at.PRECHECK, TAPE_CHILD, False, SUCCESS),
    (at.PRECHECK, TAPE, False, SUCCESS),
    (at.RECORD, CONTROL_CHILD, False, SUCCESS),
    (at.RECORD, CONTROL, False, SUCCESS),
    (at.RECORD, TAPE, False, SUCCESS),
    (at.PERMITTED, TAPE_CHILD, False, BLANK_AS_BEFORE),
    (at.PERMITTED, TAPE, True, NOT_FORMATTED),
    (at.FORMAT, TAPE, False, SUCCESS),
    (at.FORMAT, TAPE_HOST, True, NOT_FORMATTED),
    (at.FORMAT, TAPE_HOST, False, BLANK_AS_BEFORE),
    (at.FORMAT, CONTROL, False, SUCCESS),
    (at.FORMAT, BEAT, False, SUCCESS),
    (at.FORMATTED, TAPE_CHILD, False, SUCCESS),
    (at.FORMATTED, TAPE, True, SUCCESS),
    (at.LABEL, CONTROL_CHILD, False, SUCCESS),
    (at.LABEL, CONTROL, False, SUCCESS),
    (at.LABEL, TAPE, False, SUCCESS),
    (at.ARCHIVE, TAPE_CHILD, False, SUCCESS),
    (at.ARCHIVE, TAPE, False, SUCCESS),
    (at.ARCHIVE, CONTROL, False, SUCCESS),
    (at.ARCHIVE, BEAT, False, SUCCESS),
    (at.SEALED, TAPE_CHILD, False, SUCCESS),
    (at.SEALED, TAPE, False, SUCCESS),
    (at.COPYING, TAPE_CHILD, False, SUCCESS),
    (at.COMPLETE, TAPE_CHILD, False, SUCCESS),
    (at.COMPLETE, TAPE, False, SUCCESS),
    (at.NOTIFY, CONTROL_CHILD, False, SUCCESS),
    (at.NOTIFY, CONTROL, False, SUCCESS),
    (at.NOTIFY, TAPE, False, SUCCESS),
]


@pytest.mark.parametrize(
    ("place", "kill", "known", "end"),
    [pytest.param(*row, id=f"{row[1]}, {row[0]}{', known tape' if row[2] else ''}") for row in TABLE],
)
def test_a_kill(system: FragileSystem, place: Place, kill: Kill, known: bool, end: End) -> None:
    """Whatever is killed, wherever the run is: it ends as the table says, and nothing happens twice."""
    trial = Trial(system, tape=place.tape, faults=place.faults, known=known)
    with place.held(trial):
        kill.strike(system)
    kill.mend(system)
    prove(trial, end)
    assert trial.attempts(place.step) == (2 if kill.worker == _worker_of(place.step) else 1)


def _worker_of(step: Step) -> str:
    return "tape" if step in AT_THE_DRIVE else "control"


@pytest.mark.parametrize("place", [at.FORMAT, at.ARCHIVE], ids=str)
def test_a_worker_that_was_taken_for_dead(system: FragileSystem, place: Place) -> None:
    """It comes back after its step was given away: it stops, and the next attempt ends the step alone."""
    trial = Trial(system, tape=place.tape)
    with place.held(trial), system.paused("tape"):
        system.wait_for(lambda: not trial.is_running(place.step), "the step to be taken away")
    prove(trial, SUCCESS)
    assert trial.attempts(place.step) == 2


@pytest.mark.soak
def test_a_step_that_dies_again_and_again(system: FragileSystem) -> None:
    """After five recoveries an operator has to look; what was sealed stays, and a retry goes on there."""
    trial = Trial(system, tape={"speed": at.MB})
    trial.begin()
    for attempt in range(1, 7):
        before = trial.progress()
        system.wait_for(partial(_is_at_attempt, trial, attempt), "the next attempt")
        system.wait_for(trial.is_writing, "data")
        # One that came no further is given up earlier.
        system.wait_for(lambda last=before: trial.progress() != last, "progress")
        system.kill_pool("tape")
    prove(trial, End("FAILED", "died 6 times", stored="incomplete", messages=("failed",)))
    system.send("retry", trial.run_id)
    system.wait_for(lambda: trial.state != "FAILED", "the run to go on")
    prove(trial, End(messages=("failed", "success")))


def _is_at_attempt(trial: Trial, attempt: int) -> bool:
    return trial.attempts(Step.RUN_BACKUP) == attempt
