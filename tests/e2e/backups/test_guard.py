"""A source that lost its files is no backup: its run is held before it writes, until a person decides."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from db.models import BackupSet, FormatPermit, Notification, ScheduledTask
from policy.message import Message
from tests.invariants import folders_below
from tests.system import System


@pytest.fixture
def source(system: System) -> Path:
    """200 files that are on tape, in ten folders."""
    return backed_up(system)


def backed_up(system: System) -> Path:
    folder = system.folder / "source"
    fill(folder)
    system.insert_blank()
    system.start("control", "tape")
    system.start_beat()
    system.schedule("nightly", folder, tape_policy="rotate", template={"keep_sets": 1})
    system.wait_for_state(system.run_schedule("nightly"), "SUCCEEDED")
    return folder


def fill(folder: Path) -> None:
    for number in range(200):
        path = folder / f"f{number % 10}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content %d" % number)


def formats(system: System) -> int:
    permits = select(func.count()).select_from(FormatPermit).where(FormatPermit.consumed_at.is_not(None))
    return int(system.ask(lambda session: session.scalar(permits)))


def on_tape(system: System) -> set[str]:
    """Every name on every tape."""
    volumes = folders_below(system.state / "drives").values()
    return {str(path) for volume in volumes for path in volume.rglob("*")}


def sets(system: System) -> list[dict[str, Any]]:
    return list(system.json("sets", "list"))


def said(system: System, run: int, event: str) -> str:
    """The doubts that a message of a run names."""
    doubts = message(system, run, event)["doubts"]
    return " ".join(str(Message.from_json(doubt)) for doubt in doubts)


def message(system: System, run: int, event: str) -> dict[str, Any]:
    of_event = select(Notification.facts).where(Notification.run_id == run, Notification.event == event)
    return dict(system.ask(lambda session: session.scalars(of_event).one()))


def test_an_emptied_source_is_held(system: System, source: Path) -> None:
    """Nothing is formatted, written or catalogued before a person has accepted it; he is told the figures.
    The drive is free for others."""
    before, written, permits = sets(system), on_tape(system), formats(system)
    shutil.rmtree(source)
    source.mkdir()
    told = system.cli("precheck", "nightly", "--manual", code=4).stdout
    assert "is empty: it had 10 names" in told
    assert "A run would be held." in told
    run = system.run_schedule("nightly")
    held = system.wait_for_state(run, "HELD")
    assert [each["rule"] for each in held["doubts"]] == ["empty"]
    assert (sets(system), on_tape(system), formats(system)) == (before, written, permits)
    assert held["set_id"] is None
    assert f"tapeline runs accept {run} --why TEXT" in system.cli("runs", "show", str(run)).stdout
    assert "HELD" in system.cli("status", code=4).stdout
    assert "is empty: it had 10 names" in said(system, run, "held")
    other = system.folder / "other"
    other.mkdir()
    system.schedule("other", other)
    system.wait_for_state(system.run_schedule("other"), "SUCCEEDED")


def test_an_emptied_source_is_accepted(system: System, source: Path) -> None:
    """The set says who has accepted what, and is the norm from then on."""
    shutil.rmtree(source)
    source.mkdir()
    run = system.run_schedule("nightly")
    system.wait_for_state(run, "HELD")
    assert "--why is missing or empty" in system.cli("runs", "accept", str(run), "--why", " ", code=2).stderr
    system.cli("runs", "accept", str(run), "--why", "they moved")
    done = system.wait_for_state(run, "SUCCEEDED")
    stored = next(each for each in sets(system) if each["id"] == done["set_id"])
    assert [(each["why"], len(each["doubts"])) for each in stored["accepted"]] == [("they moved", 1)]
    again = system.wait_for_state(system.run_schedule("nightly"), "SUCCEEDED")
    assert next(each for each in sets(system) if each["id"] == again["set_id"])["accepted"] == []


def test_what_only_the_plan_can_see(system: System, source: Path) -> None:
    """The first level is as it was; most files are gone: held before the first byte, without a set. What was
    put right goes on without an acceptance."""
    before = sets(system)
    for path in sorted(source.rglob("file-*"))[:150]:
        path.unlink()
    system.change_schedule("nightly")
    run = system.run_schedule("nightly")
    held = system.wait_for_state(run, "HELD")
    assert held["doubts"][0]["rule"] == "fewer_files"
    assert "50" in str(held["doubts"][0]["message"]["params"])
    assert sets_but_destroyed(system) <= {each["id"] for each in before}
    assert system.ask(lambda session: session.scalars(select(BackupSet.run_id)).all()).count(run) == 0
    assert not list((system.state / "spool").glob("*/plan.zst"))
    fill(source)
    system.cli("runs", "retry", str(run))
    done = system.wait_for_state(run, "SUCCEEDED")
    assert done["accepted"] == []
    assert sets(system)[0]["accepted"] == []


def sets_but_destroyed(system: System) -> set[str]:
    return {each["id"] for each in sets(system)}


def test_an_increment_of_what_was_deleted_or_changed(system: System, source: Path) -> None:
    """An increment is held by the shares of what it follows, with the first names; nothing is recorded as
    deleted. A limit that is switched off lets it go on."""
    for path in sorted(source.rglob("file-*"))[:80]:
        path.unlink()
    run = int(system.json("schedule", "run", "nightly", "--type", "incremental")["run"])
    held = system.wait_for_state(run, "HELD")
    [doubt] = held["doubts"]
    assert (doubt["rule"], doubt["names"][0].rsplit("/", 1)[0]) == ("deleted", f"{source}/f0")
    assert doubt["share"] == 40.0

    def widen(session: Any) -> None:
        row = session.query(ScheduledTask).filter_by(name="nightly").one()
        row.template.guard = {"deleted": "off"}

    system.ask(widen)
    system.cli("runs", "retry", str(run))
    system.wait_for_state(run, "SUCCEEDED")
    for path in source.rglob("file-*"):
        path.write_bytes(b"changed")
    run = int(system.json("schedule", "run", "nightly", "--type", "incremental")["run"])
    assert [each["rule"] for each in system.wait_for_state(run, "HELD")["doubts"]] == ["changed"]
    system.cli("runs", "cancel", str(run))
    system.wait_for_state(run, "CANCELLED")


def test_a_deadline_and_a_source_that_is_gone(system: System) -> None:
    """A run that nobody accepts fails; nothing was written for it. Another list of sources holds nothing."""
    system.environment["TAPELINE_HELD_FAILS_AFTER_SECONDS"] = "2"
    source = backed_up(system)
    other = system.folder / "other"
    other.mkdir()

    def add(session: Any) -> None:
        row = session.query(ScheduledTask).filter_by(name="nightly").one()
        row.template.sources = [str(source), str(other)]

    system.ask(add)
    system.wait_for_state(system.run_schedule("nightly"), "SUCCEEDED")
    written = on_tape(system)
    shutil.rmtree(source)
    run = system.run_schedule("nightly")
    failed = system.wait_for_state(run, "FAILED")
    assert failed["reason"]["id"].startswith("Nobody accepted the sources in time.")
    assert [each["rule"] for each in failed["doubts"]] == ["gone"]
    assert on_tape(system) == written
    assert "was there at the last backup" in said(system, run, "held")
    assert message(system, run, "failed")["remedy"]["params"] == {"run": run}


def test_a_folder_that_must_be_mounted(system: System, source: Path) -> None:
    """Where nothing is mounted the run fails before a tape is touched, in one line."""

    def demand(session: Any) -> None:
        row = session.query(ScheduledTask).filter_by(name="nightly").one()
        row.template.must_be_mounted = [str(source)]

    system.ask(demand)
    failed = system.wait_for_state(system.run_schedule("nightly"), "FAILED")
    assert failed["reason"]["params"]["points"] == str(source)
    assert next(step for step in failed["steps"] if step["state"] == "FAILED")["name"] == "precheck"


def test_limits_that_are_none_are_found_when_a_schedule_is_applied(system: System) -> None:
    """One line each, with the field and the remedy."""
    file = system.folder / "schedules.toml"
    for field, said in (
        (
            'guard = { fewer_files = "half" }',
            'guard.fewer_files: \'half\' is not right here. Write a percentage such as "50%", or "off".',
        ),
        ('guard = { fewer = "50%" }', "guard.fewer: there is no such field. Did you mean 'fewer_files'?"),
        ('guard = "off"', "guard: this must be a table of fields."),
        ('guard = { mount = "yes" }', "guard.mount: 'yes' is not right here. Write true or false."),
        ('must_be_mounted = ["/mnt/elsewhere"]', "must_be_mounted: no source lies in /mnt/elsewhere"),
        ('must_be_mounted = ["relative"]', "backup.must_be_mounted"),
    ):
        file.write_text(
            '[schedules.s]\nwhen = { type = "manual" }\n[schedules.s.backup]\nsources = ["/srv"]\n' + field
        )
        answer = system.cli("schedule", "apply", str(file), "--yes", code=2)
        assert said in answer.stderr, answer.stderr
        assert answer.stderr.count("\n") == 1


def test_sources_that_somebody_encrypts(system: System, source: Path) -> None:
    """Overwritten with noise: held, and no tape is formatted from then on, until the freeze is lifted by its
    name; what waits goes on by itself."""
    for path in source.rglob("file-*"):
        path.write_bytes(b"text " * 1000)
    system.wait_for_state(int(system.json("schedule", "run", "nightly")["run"]), "SUCCEEDED")
    for path in source.rglob("file-*"):
        path.write_bytes(os.urandom(5000))
    run = int(system.json("schedule", "run", "nightly", "--type", "incremental")["run"])
    held = system.wait_for_state(run, "HELD")
    assert sorted(each["rule"] for each in held["doubts"]) == ["changed", "encrypted"]
    [frozen] = system.json("status")["frozen"]
    assert (frozen["name"], frozen["by"]) == (f"run-{run}", None)
    assert "Formats are frozen" in system.cli("status", code=None).stdout
    assert message(system, run, "held")["frozen"]["params"]["name"] == f"run-{run}"
    before = formats(system)
    system.insert_blank("B00001L9")
    other = system.folder / "other"
    other.mkdir()
    system.schedule("other", other, wait_for_tape_seconds=3600)
    waits = system.run_schedule("other")
    waiting = system.wait_for_state(waits, "WAITING_FOR_TAPE")
    assert waiting["next_command"] == f"tapeline unfreeze run-{run} --why TEXT"
    system.cli("runs", "accept", str(run), "--why", "we did it ourselves")
    assert formats(system) == before
    assert "is missing or empty" in system.cli("unfreeze", f"run-{run}", code=2).stderr
    assert "There are: run-" in system.cli("unfreeze", "nobody", "--why", "x", code=2).stderr
    system.cli("unfreeze", f"run-{run}", "--why", "we did it ourselves")
    system.wait_for_state(waits, "SUCCEEDED")
    assert formats(system) == before + 1
    assert system.json("status")["frozen"] == []


def test_frozen_by_hand(system: System) -> None:
    """A name of one's own or a number; each has to be lifted."""
    assert system.json("freeze", "audit", "--why", "an audit")["name"] == "audit"
    second = system.json("freeze", "--why", "files are gone")["name"]
    assert "is missing or empty" in system.cli("freeze", code=2).stderr
    assert "no name for a freeze" in system.cli("freeze", "a b", "--why", "x", code=2).stderr
    assert f"Formats stay frozen: {second}" in system.cli("unfreeze", "audit", "--why", "over").stdout
    assert [each["name"] for each in system.json("status")["frozen"]] == [second]
    assert system.json("unfreeze", second, "--why", "found")["left"] == []
