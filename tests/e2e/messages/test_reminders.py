"""Reminders before a run, and a drive host that stops answering: said once, in time, by real processes."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.models import BackupSet, BackupTask, Drive, Notification, TapeCartridge
from db.states import BackupType
from policy.tapes.facts import CartridgeState, SetState
from policy.times.period import ScheduleType
from tape.virtual import library, shelf
from tests import earlier
from tests.e2e.tapes.test_library import Library
from tests.faults.catcher import Catcher
from tests.system import System

GB = 10**9


@pytest.fixture
def catcher(system: System) -> Any:
    """A channel that is told of everything, and keeps it."""
    found = Catcher()
    (system.folder / "tapeline.toml").write_text(
        f'[channels.ops]\ntype = "apprise"\nurl = "{found.url}"\nevents = {{ ready = true }}\n'
    )
    yield found
    found.close()


@pytest.fixture
def source(short_path: Path) -> Path:
    folder = short_path / "source"
    folder.mkdir()
    return folder


def titles(catcher: Catcher, word: str) -> list[str]:
    return [message["title"] for message in catcher.messages if word in message["title"]]


def far_away() -> dict[str, Any]:
    """So far from today that nobody is reminded by itself, on the last day of a month neither."""
    return {"day": min((datetime.now(UTC) + timedelta(days=14)).day, 28), "at": "02:00"}


def due_in(system: System, name: str, **how: float) -> None:
    system.change_schedule(name, next_run_time=datetime.now(UTC) + timedelta(**how))


def insert(system: System, barcode: str, label: str | None = None) -> None:
    shelf.new_cartridge(system.drive.path, barcode, capacity=GB)
    shelf.insert(system.drive.path, barcode)
    if label:
        assert system.drive.format(label).return_code == 0


def said(system: System) -> list[Notification]:
    query = select(Notification).where(Notification.about.startswith("schedule:")).order_by(Notification.id)
    return list(system.ask(lambda session: session.scalars(query).all()))


def test_the_wrong_tape_is_said_a_day_before_and_hours_before_and_a_right_one_is_ready(
    system: System, source: Path, catcher: Catcher
) -> None:
    """Once each: which tape to insert, what is in the drive, which known ones would do; with the right tape
    in, word that all is ready, for those who asked for it."""
    insert(system, "A00001L9", "TP20200101")
    system.schedule("monthly", source, tape_policy="rotate", schedule_config=far_away())
    system.schedule("weekly", source, schedule_config=far_away())

    def know_an_expired_one(session: Any) -> None:
        tape = TapeCartridge(
            tape_id="TP20190101", label="TP20190101", generation=1, state=CartridgeState.ACTIVE
        )
        session.add(tape)
        session.flush()
        long_ago = datetime(2019, 1, 1, tzinfo=UTC)
        session.add(
            BackupSet(
                id="old-one",
                cartridge_id=tape.id,
                generation=1,
                type=BackupType.FULL,
                state=SetState.COMPLETE,
                sources=[],
                bytes=1_000_000,
                started_at=long_ago,
                finished_at=long_ago,
                retention_until=long_ago + timedelta(days=365),
                **earlier.known(session, long_ago),
            )
        )

    system.ask(know_an_expired_one)
    due_in(system, "monthly", hours=25)
    system.start("control", "tape")
    system.start_beat()
    system.wait_for(lambda: b"tapeline.remind" in system.log("control"), "a look at what is due")
    assert said(system) == []

    due_in(system, "monthly", hours=23)
    [message] = system.wait_for(
        lambda: titles(catcher, "Insert the right tape") and catcher.messages, "a reminder"
    )
    assert message["title"].endswith(": monthly")
    assert "Insert: a blank tape, one labelled TP" in message["message"]
    assert "Suitable: TP20190101 (erases set old-one, full, 1.0 MB, expired 2020-01-01)" in message["message"]
    assert "In drive tape0: TP20200101, as of " in message["message"]
    assert "tapeline precheck monthly" in message["message"]
    assert [row.event for row in said(system)] == ["reminder"]

    forget_the_drive(system)
    shelf.remove(system.drive.path)
    due_in(system, "monthly", hours=3)
    system.wait_for(lambda: len(titles(catcher, "Insert the right tape")) == 2, "the second reminder")
    assert "There is no tape in drive tape0." in catcher.messages[-1]["message"]

    insert(system, "A00002L9")
    forget_the_drive(system)
    due_in(system, "weekly", hours=20)
    system.wait_for(lambda: titles(catcher, "All is ready"), "word that all is ready")
    assert catcher.messages[-1]["title"].endswith(": weekly")
    assert [row.event for row in said(system)] == ["reminder", "reminder", "ready"]

    # The sign that a channel gets once a month by default.
    due_in(system, "weekly", hours=3)
    system.wait_for(lambda: len(said(system)) == 4, "word shortly before the run")
    assert [row.facts["is_first_of_month"] for row in said(system)[2:]] == [True, False]


def test_a_tape_that_the_library_brings_is_not_asked_for(
    system: System, source: Path, short_path: Path, catcher: Catcher
) -> None:
    """Nobody is reminded while a blank tape is in a slot; without one the reminder names the library."""
    lib = Library(system, short_path)
    lib.put("TP0001L9", 2)
    system.cli("library", "inventory")
    due = datetime.now(UTC) + timedelta(hours=23)
    each_day = {"schedule_type": ScheduleType.DAILY, "schedule_config": {"at": f"{due:%H:%M}"}}
    system.schedule("nightly", source, time_zone="UTC", **each_day)
    system.start("control", "tape")
    system.start_beat()
    system.wait_for(lambda: system.json("drive", "list")[0]["medium_at"], "a look into the drive")

    def looks() -> int:
        return system.log("control").count(b"tapeline.remind")

    before = looks()
    system.wait_for(lambda: looks() > before + 2, "looks at what is due")
    assert said(system) == []

    library.put(lib.path, 2, None)
    system.cli("library", "inventory")
    system.wait_for(lambda: titles(catcher, "Insert the right tape"), "a reminder")
    assert (
        "Neither library lib0 nor drive tape0 has a tape that this run may use."
        in (catcher.messages[-1]["message"])
    )


def test_a_tape_that_an_earlier_run_leaves_is_not_asked_for(
    system: System, source: Path, catcher: Catcher
) -> None:
    """In the night of the 1st the full backup labels the blank tape, and the increment follows on it."""
    system.insert_blank()
    first = (datetime.now(UTC) + timedelta(hours=6)).replace(minute=0)
    later = first + timedelta(minutes=30)
    for name, at, kind in (("full", first, "full"), ("nightly", later, "incremental")):
        system.schedule(
            name,
            source,
            schedule_type=ScheduleType.DAILY,
            schedule_config={"at": f"{at:%H:%M}"},
            time_zone="UTC",
            template={"type": BackupType(kind)},
        )

    def know_last_months_full(session: Any) -> None:
        before = datetime.now(UTC) - timedelta(days=32)
        label = f"TP{before:%Y%m}01"
        tape = TapeCartridge(tape_id=label, label=label, generation=1, state=CartridgeState.ACTIVE)
        session.add(tape)
        session.flush()
        template = session.scalars(select(BackupTask).where(BackupTask.name == "nightly")).one()
        session.add(
            BackupSet(
                id="last-full",
                template_id=template.id,
                template_name="nightly",
                cartridge_id=tape.id,
                generation=1,
                type=BackupType.FULL,
                state=SetState.COMPLETE,
                sources=[],
                bytes=1_000_000,
                started_at=before,
                finished_at=before,
            )
        )

    system.ask(know_last_months_full)
    system.start("control", "tape")
    system.start_beat()
    system.wait_for(lambda: said(system), "word about the full backup's tape")
    looks = system.log("control").count(b"tapeline.remind")
    system.wait_for(lambda: system.log("control").count(b"tapeline.remind") > looks + 4, "more looks")
    found = [(row.event, row.facts["schedule"]) for row in said(system)]
    assert found == [("ready", "full")]

    system.change_schedule("full", enabled=False)
    forget_the_drive(system)
    system.wait_for(lambda: len(said(system)) == 2, "a reminder: nothing brings it")
    assert (said(system)[1].event, said(system)[1].facts["schedule"]) == ("reminder", "nightly")


def forget_the_drive(system: System) -> None:
    """What is known of the drive's content is too old to go by."""

    def forget(session: Any) -> None:
        session.get_one(Drive, "tape0").medium_at = datetime.now(UTC) - timedelta(hours=1)

    system.ask(forget)


def test_a_drive_that_falls_silent_is_said_once_and_so_is_its_return(
    system: System, source: Path, catcher: Catcher
) -> None:
    """One message when its worker has been silent for the setting's time, one when it is back; the drive is
    marked meanwhile."""
    system.environment["TAPELINE_DRIVE_SILENT_SECONDS"] = "20"
    system.schedule("monthly", source, schedule_config=far_away())
    system.start("control", "tape")
    system.start_beat()
    assert not system.json("drive", "list")[0]["silent"]
    system.kill("tape", signal.SIGTERM)
    system.wait_for(lambda: titles(catcher, "does not answer"), "word of the silence", patience=90)
    assert system.json("status")["drives"][0]["silent"]
    assert "SILENT" in system.cli("drive", "list").stdout
    assert "start the worker there: tapeline worker tape" in catcher.messages[-1]["message"]
    assert "Next run on it: monthly, " in catcher.messages[-1]["message"]
    system.start("tape")
    system.wait_for(lambda: titles(catcher, "answers again"), "word of its return")
    assert len(catcher.messages) == 2
    assert not system.json("drive", "status", "tape0")[0]["silent"]
