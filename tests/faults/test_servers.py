"""Redis and PostgreSQL that restart, lose everything, or stay away in the middle of a step."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.faults import trial as at
from tests.faults.fragile import FragileSystem
from tests.faults.proof import SUCCESS, prove
from tests.faults.trial import Place, Trial

AWAY = 3.0


@dataclass(frozen=True)
class Outage:
    """What happens to a server, and for how many seconds it stays away."""

    name: str
    strike: Callable[[FragileSystem], None]
    seconds: float = 0.0

    def __str__(self) -> str:
        return self.name

    def mend(self, system: FragileSystem) -> None:
        time.sleep(self.seconds)
        system.start_servers()


REDIS_KILLED = Outage("Redis killed", FragileSystem.kill_redis)
REDIS_AWAY = Outage("Redis away", FragileSystem.kill_redis, AWAY)
REDIS_FLUSHED = Outage("Redis flushed", FragileSystem.flush_redis)
POSTGRES_FAST = Outage("PostgreSQL restarted", lambda system: system.stop_postgres(signal.SIGINT))
POSTGRES_IMMEDIATE = Outage("PostgreSQL crashed", lambda system: system.stop_postgres(signal.SIGQUIT))
POSTGRES_AWAY = Outage("PostgreSQL away", lambda system: system.stop_postgres(signal.SIGINT), AWAY)

TABLE: list[tuple[Outage, Place]] = [
    (REDIS_KILLED, at.RECORD),
    (REDIS_KILLED, at.FORMAT),
    (REDIS_AWAY, at.FORMAT),
    (REDIS_AWAY, at.ARCHIVE),
    (REDIS_FLUSHED, at.PRECHECK),
    (REDIS_FLUSHED, at.RECORD),
    (REDIS_FLUSHED, at.FORMAT),
    (REDIS_FLUSHED, at.ARCHIVE),
    (POSTGRES_FAST, at.PRECHECK),
    (POSTGRES_FAST, at.RECORD),
    (POSTGRES_FAST, at.FORMAT),
    (POSTGRES_IMMEDIATE, at.FORMAT),
    (POSTGRES_IMMEDIATE, at.LABEL),
    (POSTGRES_FAST, at.ARCHIVE),
    (POSTGRES_IMMEDIATE, at.ARCHIVE),
    (POSTGRES_FAST, at.COPYING),
    (POSTGRES_IMMEDIATE, at.COPYING),
    (POSTGRES_IMMEDIATE, at.COPIED),
    (POSTGRES_IMMEDIATE, at.COMPLETE),
    (POSTGRES_AWAY, at.ARCHIVE),
    (POSTGRES_IMMEDIATE, at.NOTIFY),
]


@pytest.mark.parametrize(("outage", "place"), [pytest.param(*row, id=f"{row[0]}, {row[1]}") for row in TABLE])
def test_an_outage(system: FragileSystem, outage: Outage, place: Place) -> None:
    """It costs a delay: the run succeeds, formatted once, catalogued as it is on tape, announced once."""
    trial = Trial(system, tape=place.tape, faults=place.faults)
    with place.held(trial):
        outage.strike(system)
    outage.mend(system)
    prove(trial, SUCCESS)


@pytest.fixture
def impatient(system: FragileSystem) -> Iterator[FragileSystem]:
    """Its tape worker waits a second for a database."""

    def with_patience(seconds: str) -> None:
        system.kill("tape", signal.SIGTERM)
        system.environment["TAPELINE_DATABASE_PATIENCE_SECONDS"] = seconds
        system.start("tape")

    with_patience("1")
    yield system
    with_patience("1800")


def test_an_outage_that_is_not_waited_out(impatient: FragileSystem) -> None:
    """The step gives up; with the database the cause comes into the story, and the run goes on by itself."""
    trial = Trial(impatient, tape=at.ARCHIVE.tape)
    with at.ARCHIVE.held(trial):
        POSTGRES_FAST.strike(impatient)
    impatient.wait_for(lambda: b"away for too long" in impatient.log("tape"), "the step to give up")
    impatient.start_servers()
    prove(trial, SUCCESS)
    story = impatient.cli("runs", "show", str(trial.run_id)).stdout
    assert "without the database: The database does not answer" in story
    assert "no sign of life" not in story
    assert "died" not in story


MINUTE = 60.0
LONG = [
    (Outage("Redis away for a minute", FragileSystem.kill_redis, MINUTE), at.FORMAT),
    (Outage("Redis away for a minute", FragileSystem.kill_redis, MINUTE), at.ARCHIVE),
    (Outage("PostgreSQL away for a minute", POSTGRES_FAST.strike, MINUTE), at.FORMAT),
    (Outage("PostgreSQL away for a minute", POSTGRES_FAST.strike, MINUTE), at.ARCHIVE),
]


@pytest.mark.soak
@pytest.mark.parametrize(("outage", "place"), [pytest.param(*row, id=f"{row[0]}, {row[1]}") for row in LONG])
def test_a_long_outage(system: FragileSystem, outage: Outage, place: Place) -> None:
    """A minute, too, costs a delay and nothing else."""
    test_an_outage(system, outage, place)
