"""Control host and drive host that do not reach each other for a while, in every step of a run."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import trial as at
from tests.faults import two_hosts
from tests.faults.proof import SUCCESS, End, prove
from tests.faults.trial import Place, Trial
from tests.faults.two_hosts import TwoHosts

WHY_NOT = two_hosts.missing()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

SHORT = 5.0
"""Seconds: longer than a step may be silent, shorter than a host that counts as gone."""
LONG = 90.0
"""Longer than either side waits for a silent host (``db.engine.GONE_AFTER``)."""
LOSS = 0.1
"""The share of packets; each is sent again after 0.2 s or more."""

PLACES = [
    at.PRECHECK,
    at.RECORD,
    at.PERMITTED,
    at.FORMAT,
    at.FORMATTED,
    at.LABEL,
    at.ARCHIVE,
    at.SEALED,
    at.COPYING,
    at.COMPLETE,
    at.NOTIFY,
]


@pytest.fixture(scope="module")
def hosts() -> Iterator[TwoHosts]:
    """Two hosts, used by one test after the other."""
    folder = Path(tempfile.mkdtemp(prefix="tl-"))
    folder.chmod(0o755)
    system = TwoHosts(folder)
    try:
        system.open()
        yield system
    finally:
        system.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_short_cut(hosts: TwoHosts, place: Place) -> None:
    """The step's worker is taken for dead, while its tape moves on; formatted once, catalogued once."""
    _cut(hosts, place, SHORT, SUCCESS)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("place", [at.PRECHECK, at.FORMAT, at.ARCHIVE, at.COMPLETE], ids=str)
def test_a_long_cut(hosts: TwoHosts, place: Place) -> None:
    """Each host has given the other up before the cable is whole again: operators learn that the run stands
    still, and it goes on by itself."""
    _cut(hosts, place, LONG, replace(SUCCESS, messages=("stalled", "success")))


def _cut(hosts: TwoHosts, place: Place, seconds: float, end: End) -> None:
    trial = Trial(hosts, tape=place.tape, faults=place.faults)
    with place.held(trial):
        hosts.cable.cut()
    time.sleep(seconds)
    hosts.cable.heal()
    prove(trial, end)


@pytest.mark.parametrize("place", [at.PRECHECK, at.FORMAT, at.ARCHIVE], ids=str)
def test_a_line_that_loses_packets(hosts: TwoHosts, place: Place) -> None:
    """Slow from here to the end of the run."""
    trial = Trial(hosts, tape=place.tape, faults=place.faults)
    with place.held(trial):
        hosts.cable.lose(LOSS)
    try:
        prove(trial, SUCCESS)
    finally:
        hosts.cable.heal()
