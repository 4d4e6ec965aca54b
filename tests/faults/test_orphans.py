"""A format program that outlives its worker holds the drive until it ends: no second format, no write."""

from __future__ import annotations

from db.states import Step
from tape.errors import DriveBusy
from tape.hostlock import HostLock
from tests.faults.proof import SUCCESS, End, prove
from tests.faults.scene import FORMAT, Scene
from tests.faults.site import DRIVE_TIMEOUT, Site

LONG = {"format_seconds": 9.0}
"""Celery notices within five seconds that a child of its pool is gone."""


def test_a_worker_that_comes_back_too_early(site: Site) -> None:
    """It refuses to start while the orphan works; after it the run takes the orphan's work for done."""
    scene = Scene(site, tape=LONG)
    with FORMAT.held(scene):
        site.kill_only("tape")
        assert "The drive is held by process" in site.start_refused("tape")
    _wait_for_the_orphan(scene)
    site.wait_for(lambda: _is_free(site), "the drive to be free")
    site.start("tape")
    prove(scene, SUCCESS)
    assert scene.attempts(Step.FORMAT_TAPE) == 2


def test_a_worker_that_lives_on_waits_for_the_orphan(site: Site) -> None:
    """Its new child leaves the tape alone until the orphan has ended, then takes its work for done."""
    scene = Scene(site, tape=LONG)
    with FORMAT.held(scene):
        site.kill_pool("tape")
    _wait_for_the_orphan(scene)
    prove(scene, SUCCESS)


def test_a_run_that_failed_because_of_an_orphan_is_retried(site: Site) -> None:
    """Longer than a format may take, it was not waited for; a retry after its end takes its work for done."""
    scene = Scene(site, tape={"format_seconds": LONG["format_seconds"] + DRIVE_TIMEOUT})
    with FORMAT.held(scene):
        site.kill_pool("tape")
    _wait_for_the_orphan(scene)
    site.wait_for(lambda: scene.state == "FAILED", "the run to fail")
    site.send("retry", scene.run_id)
    site.wait_for(lambda: scene.state != "FAILED", "the run to go on")
    prove(scene, End(messages=("failed", "success")))


def _wait_for_the_orphan(scene: Scene) -> None:
    scene.site.wait_for(lambda: _is_untouched_or_done(scene), "the orphan to end")


def _is_untouched_or_done(scene: Scene) -> bool:
    record = scene.record
    if not record.formatting:
        return True
    assert not list(scene.folder.glob("volume/*")), "written while it is formatted"
    return False


def _is_free(site: Site) -> bool:
    try:
        with HostLock(site.drive.path / "drive.lock"):
            return True
    except DriveBusy:
        return False
