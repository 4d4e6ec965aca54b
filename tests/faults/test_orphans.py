"""A format program that outlives its worker holds the drive until it ends: no second format, no write."""

from __future__ import annotations

from db.states import Step
from tape.errors import DriveBusy
from tape.hostlock import HostLock
from tests.faults.fragile import DRIVE_TIMEOUT, FragileSystem
from tests.faults.proof import SUCCESS, End, prove
from tests.faults.trial import FORMAT, Trial

LONG = {"format_seconds": 9.0}
"""Celery notices within five seconds that a child of its pool is gone."""


def test_a_worker_that_comes_back_too_early(system: FragileSystem) -> None:
    """It refuses to start while the orphan works; after it the run takes the orphan's work for done."""
    trial = Trial(system, tape=LONG)
    with FORMAT.held(trial):
        system.kill_only("tape")
        assert "The drive is held by process" in system.start_refused("tape")
    _wait_for_the_orphan(trial)
    system.wait_for(lambda: _is_free(system), "the drive to be free")
    system.start("tape")
    prove(trial, SUCCESS)
    assert trial.attempts(Step.FORMAT_TAPE) == 2


def test_a_worker_that_lives_on_waits_for_the_orphan(system: FragileSystem) -> None:
    """Its new child leaves the tape alone until the orphan has ended, then takes its work for done."""
    trial = Trial(system, tape=LONG)
    with FORMAT.held(trial):
        system.kill_pool("tape")
    _wait_for_the_orphan(trial)
    prove(trial, SUCCESS)


def test_a_run_that_failed_because_of_an_orphan_is_retried(system: FragileSystem) -> None:
    """Longer than a format may take, it was not waited for; a retry after its end takes its work for done."""
    trial = Trial(system, tape={"format_seconds": LONG["format_seconds"] + DRIVE_TIMEOUT})
    with FORMAT.held(trial):
        system.kill_pool("tape")
    _wait_for_the_orphan(trial)
    system.wait_for(lambda: trial.state == "FAILED", "the run to fail")
    system.send("retry", trial.run_id)
    system.wait_for(lambda: trial.state != "FAILED", "the run to go on")
    prove(trial, End(messages=("failed", "success")))


def _wait_for_the_orphan(trial: Trial) -> None:
    trial.system.wait_for(lambda: _is_untouched_or_done(trial), "the orphan to end")


def _is_untouched_or_done(trial: Trial) -> bool:
    record = trial.record
    if not record.formatting:
        return True
    assert not list(trial.folder.glob("volume/*")), "written while it is formatted"
    return False


def _is_free(system: FragileSystem) -> bool:
    try:
        with HostLock(system.drive.path / "drive.lock"):
            return True
    except DriveBusy:
        return False
