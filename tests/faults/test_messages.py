"""Messages that come twice, late, out of order, or forged: a message is only a nudge."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from db.models import ChainRun, ChainStep, FormatPermit, Notification, RunEvent
from db.states import STEPS, Kind
from tape.virtual import shelf
from tests.faults import scene as at
from tests.faults.proof import SUCCESS, End, prove
from tests.faults.scene import Place, Scene
from tests.faults.site import Site

STEP_NAMES = [step.value for step in STEPS[Kind.BACKUP]]
AGAIN = End(messages=("failed", "success"))


def rows_of(site: Site, run_id: int) -> list[object]:
    """Everything that the database knows of a run, but for heartbeats and the delivery of its messages."""
    owned = [ChainStep, RunEvent, FormatPermit, Notification]

    def read(session: Any) -> list[object]:
        found: list[object] = [_values(row) for row in session.scalars(select(ChainRun).filter_by(id=run_id))]
        for table in owned:
            rows = session.scalars(select(table).filter_by(run_id=run_id))
            found += sorted(map(_values, rows))
        return found

    return list(site.ask(read))


def _values(row: Any) -> str:
    return str({column.name: getattr(row, column.name) for column in row.__table__.columns})


def attempts(scene: Scene) -> set[int]:
    wanted = select(ChainStep.attempts).where(ChainStep.run_id == scene.run_id)
    return set(scene.site.ask(lambda session: session.scalars(wanted).all()))


@pytest.mark.parametrize(
    "place", [at.PRECHECK, at.RECORD, at.FORMAT, at.LABEL, at.ARCHIVE, at.NOTIFY], ids=str
)
def test_every_message_comes_twice_while_a_step_works(site: Site, place: Place) -> None:
    """All six messages again, the last step first, in the middle of a step: each step is done once."""
    scene = Scene(site, tape=place.tape, faults=place.faults)
    before = site.ignored()
    with place.held(scene):
        site.resend(scene.run_id, 1, *reversed(STEP_NAMES))
    prove(scene, SUCCESS)
    site.wait_for(lambda: site.ignored() >= before + len(STEP_NAMES), "each copy to be ignored")
    assert attempts(scene) == {1}


def test_every_message_comes_again_after_the_end(site: Site) -> None:
    """Nothing changes, not a row."""
    scene = Scene(site, tape={})
    scene.begin()
    prove(scene, SUCCESS)
    _nothing_changes(scene, 1)


@pytest.mark.parametrize("dispatch", [0, 2, 999_999])
def test_forged_messages(site: Site, dispatch: int) -> None:
    """Another dispatch number than the run's, while it works and after its end: nothing changes."""
    scene = Scene(site, tape=at.FORMAT.tape)
    before = site.ignored()
    with at.FORMAT.held(scene):
        site.resend(scene.run_id, dispatch, *STEP_NAMES)
        site.send("chain_failed", "forged", run_id=scene.run_id, dispatch=dispatch)
    prove(scene, SUCCESS)
    site.wait_for(lambda: site.ignored() >= before + len(STEP_NAMES), "each forgery to be ignored")
    assert attempts(scene) == {1}
    _nothing_changes(scene, dispatch)


@pytest.mark.parametrize("dispatch", [0, 999_999])
def test_forged_messages_before_the_true_ones(site: Site, dispatch: int) -> None:
    """The step is free and nobody else asks for it: the dispatch number alone keeps the forgery out."""
    scene = Scene(site, tape={})
    site.kill("tape")
    scene.begin()
    site.wait_for(lambda: scene.state == "RUNNING", "the run to be sent")
    site.settle()
    site.flush_redis()
    site.resend(scene.run_id, dispatch, *STEP_NAMES)
    site.start("tape")
    prove(scene, SUCCESS)
    claimed = select(ChainStep.dispatch).where(ChainStep.run_id == scene.run_id)
    assert dispatch not in site.ask(lambda session: session.scalars(claimed).all())


def _nothing_changes(scene: Scene, dispatch: int) -> None:
    site = scene.site
    before, ignored = rows_of(site, scene.run_id), site.ignored()
    site.resend(scene.run_id, dispatch, *reversed(STEP_NAMES))
    site.wait_for(lambda: site.ignored() >= ignored + len(STEP_NAMES), "each message to be ignored")
    site.send("chain_failed", "late", run_id=scene.run_id, dispatch=dispatch)
    site.settle()
    assert rows_of(site, scene.run_id) == before
    prove(scene, SUCCESS)


def test_messages_of_the_first_attempt_come_after_a_retry(site: Site) -> None:
    """The first attempt failed, an operator retried: what is still on its way from then does nothing."""
    scene = Scene(site, tape=at.FORMAT.tape)
    shelf.remove(site.drive.path)
    scene.begin()
    site.wait_for(lambda: scene.state == "FAILED", "the failure")
    shelf.insert(site.drive.path, scene.barcode)
    before = site.ignored()
    site.send("retry", scene.run_id)
    site.wait_for(lambda: scene.record.formatting, "the format")
    site.resend(scene.run_id, 1, *STEP_NAMES)
    site.send("chain_failed", f"run{scene.run_id}-1-1-precheck", run_id=scene.run_id, dispatch=1)
    prove(scene, AGAIN)
    site.wait_for(lambda: site.ignored() >= before + len(STEP_NAMES), "each old message to be ignored")


def test_an_error_callback_of_another_step(site: Site) -> None:
    """The death of a step that is over takes nothing from the one that is at work."""
    scene = Scene(site, tape=at.FORMAT.tape)
    with at.FORMAT.held(scene):
        site.send("chain_failed", f"run{scene.run_id}-1-1-precheck", run_id=scene.run_id, dispatch=1)
    prove(scene, SUCCESS)
    assert attempts(scene) == {1}


@pytest.mark.parametrize("place", [at.RECORD, at.LABEL], ids=str)
def test_a_step_of_the_drive_sent_to_a_control_worker(site: Site, place: Place) -> None:
    """Only the worker that holds the drive works at it, whatever queue a message is put in."""
    scene = Scene(site, tape=place.tape)
    following = STEP_NAMES[STEP_NAMES.index(place.step) + 1]
    with place.held(scene), site.paused("tape"):
        pass
    site.send(following, scene.run_id, 1, queue="control")
    prove(scene, SUCCESS)
    workers = select(ChainStep.worker).where(ChainStep.run_id == scene.run_id, ChainStep.step == following)
    assert site.ask(lambda session: session.scalar(workers)) == "tape@test"


def test_a_run_that_does_not_exist(site: Site) -> None:
    """A message for it is ignored, and the worker lives on."""
    before = site.ignored()
    for step in STEP_NAMES:
        site.send(
            step, 999_999, 1, queue="tape" if step in {"precheck", "format_tape", "run_backup"} else "control"
        )
    site.wait_for(lambda: site.ignored() >= before + len(STEP_NAMES), "each message to be ignored")
