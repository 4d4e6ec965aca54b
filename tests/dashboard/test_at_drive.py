"""Load, eject and register from the page Drives: asked once, done by the drive's worker, refused with its
reason."""

from __future__ import annotations

import re
from datetime import timedelta

from db.models import Drive
from tape.virtual import shelf
from tests.dashboard.dashboard import Dashboard
from tests.system import System


def test_a_cartridge_is_registered_ejected_and_loaded_from_the_page(system: System) -> None:
    """The page shows what is in the drive afterwards; the tape's page leads to the same question; an answer
    about another tape does nothing."""
    system.insert_blank("A00001L9")
    system.start("tape")
    dashboard = Dashboard(system)
    load, eject, register = (f"/drives/tape0/{verb}" for verb in ("load", "eject", "register"))
    dashboard.press(load, cartridge="A00001L9")
    page = dashboard.get("/drives")
    assert all(f'href="{each}"' in page for each in (load, eject, register))
    assert "Nothing is written to it" in dashboard.get(register)
    dashboard.press(register, id="VAULT1", pool="vault")
    tape = system.json("tape", "show", "VAULT1")
    assert (tape["pool"], tape["state"]) == ("vault", "active")
    assert f'href="{eject}"' in dashboard.get(f"/tapes/{tape['id']}")
    # Somebody changes the tape by hand between the question and the answer.
    old = dashboard.form(eject)
    shelf.new_cartridge(system.drive.path, "B00002L9", capacity=10**9)
    shelf.insert(system.drive.path, "B00002L9")
    stale = dashboard.session.post(dashboard.url + eject, data=old, timeout=60)
    assert (stale.status_code, "has changed since you were asked" in stale.text) == (409, True)
    assert shelf.inserted(system.drive.path) == "B00002L9"
    again = dashboard.session.post(dashboard.url + eject, data=old, timeout=60)
    assert again.status_code == 409, "the row is of the new tape now"
    dashboard.press(eject)
    assert shelf.inserted(system.drive.path) is None
    assert system.ask(lambda session: session.get(Drive, "tape0").medium["state"]) == "no_medium"
    answer = dashboard.press(load, status=409)
    assert "Put a cartridge in" in answer.text
    found = system.json("audit")[0]
    assert (found["what"], found["outcome"]) == (f"POST {load}", "failed")
    assert {"id": "VAULT1", "pool": "vault"} in [each["details"] for each in system.json("audit")]


def test_a_drive_that_cannot_be_asked_says_why(system: System) -> None:
    """No such drive, no worker, or a run at it."""
    system.insert_blank()
    system.start("tape")
    dashboard = Dashboard(system)
    dashboard.get("/drives/none/eject", status=404)
    dashboard.get("/drives/tape0/burn", status=404)
    form = dashboard.form("/drives/tape0/eject")
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: system.json("runs", "show", str(run_id))["state"] == "RUNNING", "the run")
    answer = dashboard.session.post(f"{dashboard.url}/drives/tape0/eject", data=form, timeout=60)
    assert (answer.status_code, f"Run {run_id} works at drive tape0" in answer.text) == (409, True)
    assert 'href="/drives/tape0/eject"' not in dashboard.get("/drives")
    system.cli("runs", "cancel", str(run_id))
    system.wait_for_state(run_id, "CANCELLED", "FAILED")
    system.kill("tape")

    def long_ago(session: object) -> None:
        session.get(Drive, "tape0").last_seen_at -= timedelta(hours=1)  # type: ignore[attr-defined]

    system.ask(long_ago)
    assert re.search("tapeline worker tape", dashboard.get("/drives/tape0/eject", status=409))
    assert shelf.inserted(system.drive.path)
