"""Redis and PostgreSQL that restart, lose everything, or stay away in the middle of a step."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.faults import scene as at
from tests.faults.proof import SUCCESS, prove
from tests.faults.scene import Place, Scene
from tests.faults.site import Site

AWAY = 3.0


@dataclass(frozen=True)
class Outage:
    """What happens to a server, and for how many seconds it stays away."""

    name: str
    strike: Callable[[Site], None]
    seconds: float = 0.0

    def __str__(self) -> str:
        return self.name

    def mend(self, site: Site) -> None:
        time.sleep(self.seconds)
        site.start_servers()


REDIS_KILLED = Outage("Redis killed", Site.kill_redis)
REDIS_AWAY = Outage("Redis away", Site.kill_redis, AWAY)
REDIS_FLUSHED = Outage("Redis flushed", Site.flush_redis)
POSTGRES_FAST = Outage("PostgreSQL restarted", lambda site: site.stop_postgres(signal.SIGINT))
POSTGRES_IMMEDIATE = Outage("PostgreSQL crashed", lambda site: site.stop_postgres(signal.SIGQUIT))
POSTGRES_AWAY = Outage("PostgreSQL away", lambda site: site.stop_postgres(signal.SIGINT), AWAY)

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
def test_an_outage(site: Site, outage: Outage, place: Place) -> None:
    """It costs a delay: the run succeeds, formatted once, catalogued as it is on tape, announced once."""
    scene = Scene(site, tape=place.tape, faults=place.faults)
    with place.held(scene):
        outage.strike(site)
    outage.mend(site)
    prove(scene, SUCCESS)


@pytest.fixture
def impatient(site: Site) -> Iterator[Site]:
    """Its tape worker waits a second for a database."""

    def with_patience(seconds: str) -> None:
        site.kill("tape", signal.SIGTERM)
        site.environment["TAPELINE_DATABASE_PATIENCE_SECONDS"] = seconds
        site.start("tape")

    with_patience("1")
    yield site
    with_patience("1800")


def test_an_outage_that_is_not_waited_out(impatient: Site) -> None:
    """The step gives up; with the database the cause comes into the story, and the run goes on by itself."""
    scene = Scene(impatient, tape=at.ARCHIVE.tape)
    with at.ARCHIVE.held(scene):
        POSTGRES_FAST.strike(impatient)
    impatient.wait_for(lambda: b"away for too long" in impatient.log("tape"), "the step to give up")
    impatient.start_servers()
    prove(scene, SUCCESS)
    story = impatient.cli("runs", "show", str(scene.run_id)).stdout
    assert "without the database: The database does not answer" in story
    assert "no sign of life" not in story
    assert "died" not in story


MINUTE = 60.0
LONG = [
    (Outage("Redis away for a minute", Site.kill_redis, MINUTE), at.FORMAT),
    (Outage("Redis away for a minute", Site.kill_redis, MINUTE), at.ARCHIVE),
    (Outage("PostgreSQL away for a minute", POSTGRES_FAST.strike, MINUTE), at.FORMAT),
    (Outage("PostgreSQL away for a minute", POSTGRES_FAST.strike, MINUTE), at.ARCHIVE),
]


@pytest.mark.soak
@pytest.mark.parametrize(("outage", "place"), [pytest.param(*row, id=f"{row[0]}, {row[1]}") for row in LONG])
def test_a_long_outage(site: Site, outage: Outage, place: Place) -> None:
    """A minute, too, costs a delay and nothing else."""
    test_an_outage(site, outage, place)
