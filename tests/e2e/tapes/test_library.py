"""A drive with a library: a run fetches its tape, and who dies in a move loses none."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.models import Notification
from db.runs import transitions
from tape.virtual import library, shelf
from tests.system import TIMEOUT, System

MB = 10**6


class Library:
    """An installation whose drive ``tape0`` is fed by a virtual library of six slots and a mail slot."""

    def __init__(self, system: System, folder: Path, *, drives: int = 1, **settings: Any) -> None:
        self.system = system
        self.path = folder / "library"
        self.drives = {f"tape{number}": folder / f"drive{number}" for number in range(drives)}
        self.settings = {
            "driver": "virtual",
            "path": str(self.path),
            "slots": 6,
            "drives": {str(number): f"tape{number}" for number in range(drives)},
            **settings,
        }
        system.environment["TAPELINE_DRIVES"] = json.dumps(
            {name: {"driver": "virtual", "path": str(path)} for name, path in self.drives.items()}
        )
        self.configure()
        folders = dict(enumerate(self.drives.values()))
        library.make(self.path, folders, slots=6, mail_slots=1)

    def configure(self, **settings: Any) -> None:
        self.settings |= settings
        self.system.environment["TAPELINE_CHANGERS"] = json.dumps({"lib0": self.settings})

    def put(self, barcode: str, slot: int, **how: Any) -> Path:
        """Put a new cartridge into a slot; its folder."""
        shelf.new_cartridge(self.path, barcode, **{"capacity": 10**9, **how})
        library.put(self.path, slot, barcode)
        return shelf.folder_of(self.path, barcode)

    def where(self) -> dict[str, str]:
        """The place of each cartridge."""
        found = library.inventory_of(library.read(self.path))
        places = {slot.barcode: f"slot {slot.number}" for slot in found.slots if slot.full}
        return places | {bay.barcode: f"drive {bay.number}" for bay in found.bays if bay.full}

    def end_of(self, run: int) -> dict[str, Any]:
        """The run once it has ended, or waits: moves and prechecks take their time."""
        states = ("SUCCEEDED", "FAILED", "WAITING_FOR_TAPE")

        def state() -> str:
            return str(self.system.ask(lambda session: transitions.get(session, run).state.value))

        self.system.wait_for(lambda: state() in states, f"run {run} to end", 4 * TIMEOUT)
        return dict(self.system.json("runs", "show", str(run)))

    def story(self, run: int) -> str:
        return self.system.cli("runs", "show", str(run)).stdout


@pytest.fixture
def lib(system: System, short_path: Path) -> Library:
    return Library(system, short_path)


def source(folder: Path, size: int = 1000) -> Path:
    path = folder / "source"
    path.mkdir(exist_ok=True)
    (path / "data").write_bytes(bytes(range(256)) * (size // 256 + 1))
    return path


def test_a_run_fetches_a_blank_tape_by_itself(lib: Library, short_path: Path) -> None:
    """The drive is empty and a blank tape is in the library: nobody is asked, and it becomes this month's."""
    lib.put("TP0001L9", 3)
    lib.system.schedule("monthly", source(short_path))
    lib.system.start("control", "tape")
    run = lib.system.run_schedule("monthly")
    ended = lib.end_of(run)
    assert ended["state"] == "SUCCEEDED", lib.story(run)
    assert "loads TP0001L9 from slot 3" in lib.story(run)
    assert lib.where() == {"TP0001L9": "drive 0"}


def test_the_wrong_tape_goes_back_and_the_right_one_comes(lib: Library, short_path: Path) -> None:
    """A tape with another program's data in the drive is put into a slot that is named; of two in the
    library, the one that has no volume of somebody else is used. None is tried twice."""
    lib.put("FOREIGN1", 1, foreign=True)
    lib.put("FOREIGN2", 2, foreign=True)
    lib.put("TP0001L9", 5)
    shelf.insert(lib.drives["tape0"], "FOREIGN1")
    lib.system.schedule("monthly", source(short_path))
    lib.system.start("control", "tape")
    run = lib.system.run_schedule("monthly")
    ended = lib.end_of(run)
    story = lib.story(run)
    assert ended["state"] == "SUCCEEDED", story
    assert story.count("loads FOREIGN2") == 1
    assert "loads FOREIGN1" not in story
    assert lib.where()["TP0001L9"] == "drive 0"
    assert {lib.where()[name] for name in ("FOREIGN1", "FOREIGN2")} == {"slot 1", "slot 2"}


def test_a_set_fills_five_tapes_of_the_library(lib: Library, short_path: Path) -> None:
    """Each full tape goes back, the next blank one comes, until the backup is done: nobody is there."""
    for number in range(1, 7):
        lib.put(f"TP000{number}L9", number, capacity=8 * MB)
    plain = {"compression": "none", "archive_bytes": 2 * MB}
    lib.system.schedule("monthly", source(short_path, 33 * MB), template=plain)
    lib.system.start("control", "tape")
    run = lib.system.run_schedule("monthly")
    ended = lib.end_of(run)
    assert ended["state"] == "SUCCEEDED", lib.story(run)
    [stored] = lib.system.json("sets", "list")
    assert len(stored["tapes"]) == 5
    assert sorted(lib.where()) == [f"TP000{number}L9" for number in range(1, 7)]


def test_a_barcode_that_lies_is_found_before_anything_is_written(lib: Library, short_path: Path) -> None:
    """Its cartridge comes out again and is marked; the run uses another one."""
    lib.put("TP0001L9", 1)
    lib.put("TP0002L9", 2)
    library.set_sticker(lib.path, "TP0001L9", "TP0009L9")
    lib.system.schedule("monthly", source(short_path))
    lib.system.start("control", "tape")
    run = lib.system.run_schedule("monthly")
    ended = lib.end_of(run)
    story = lib.story(run)
    assert ended["state"] == "SUCCEEDED", story
    assert "The barcode TP0009L9 does not belong to the tape in the drive" in story
    assert lib.where() == {"TP0009L9": "slot 1", "TP0002L9": "drive 0"}
    assert not list((lib.path / "cartridges" / "TP0001L9").glob("volume/*"))


def test_an_empty_library_asks_for_a_tape_and_goes_on_when_it_comes(lib: Library, short_path: Path) -> None:
    """The run waits as without a library, and asks for a blank tape in the library; once one is in the mail
    slot, it goes on by itself."""
    lib.system.schedule("monthly", source(short_path), wait_for_tape_seconds=600)
    lib.system.start("control", "tape")
    lib.system.start_beat()
    run = lib.system.run_schedule("monthly")
    lib.system.wait_for_state(run, "WAITING_FOR_TAPE")
    lib.put("TP0001L9", 7)
    ended = lib.system.wait_for_state(run, "SUCCEEDED", "FAILED")
    assert ended["state"] == "SUCCEEDED", lib.story(run)
    assert "The library has a tape for it: TP0001L9 in slot 7" in lib.story(run)


@pytest.mark.parametrize("verb", ["unload", "load"])
def test_a_worker_killed_in_a_move_loses_no_tape(lib: Library, short_path: Path, verb: str) -> None:
    """The next worker finds the move that was cut off, reads a new inventory, and the run goes on by
    itself."""
    lib.put("FOREIGN1", 1, foreign=True)
    lib.put("TP0001L9", 2)
    shelf.insert(lib.drives["tape0"], "FOREIGN1")
    lib.configure(move_seconds=2)
    lib.system.schedule("monthly", source(short_path))
    lib.system.start("control", "tape")
    lib.system.start_beat()
    run = lib.system.run_schedule("monthly")
    target = {"unload": "slot", "load": "drive"}[verb]

    def is_moving() -> bool:
        moving = library.read(lib.path).moving
        return moving is not None and moving.target[0] == target

    lib.system.wait_for(is_moving, f"the robot to {verb}")
    lib.system.kill("tape")
    lib.system.start("tape")
    ended = lib.end_of(run)
    assert ended["state"] == "SUCCEEDED", lib.story(run)
    assert lib.where() == {"FOREIGN1": "slot 1", "TP0001L9": "drive 0"}
    moves = lib.system.json("library", "list")[0]["moves"]
    assert any("It was cut off" in (move["outcome"] or "") for move in moves)


def test_a_drive_that_asks_for_it_is_cleaned_after_the_run(lib: Library, short_path: Path) -> None:
    """The run is announced with the warning; then the cleaning cartridge comes, cleans, is counted, and goes
    back. It is never fetched as a tape."""
    lib.configure(clean_seconds=0.2)
    lib.put("CLNU01L1", 1, cleaning=50)
    lib.put("TP0001L9", 2)
    shelf.set_dirty(lib.drives["tape0"])
    lib.system.schedule("monthly", source(short_path))
    lib.system.start("control", "tape")
    run = lib.system.run_schedule("monthly")
    assert lib.end_of(run)["state"] == "SUCCEEDED", lib.story(run)
    story = lib.system.wait_for(lambda: "was cleaned" in (told := lib.story(run)) and told, "the cleaning")
    assert "The drive reports for tape" in story
    assert "loads CLNU01L1" not in story
    assert lib.where() == {"CLNU01L1": "slot 1", "TP0001L9": "slot 2"}
    [found] = lib.system.json("library", "list")
    assert found["cleaners"]["CLNU01L1"]["uses"] == 1
    assert "TapeAlert" not in str(lib.system.json("status")["alerts"])


def test_a_drive_is_cleaned_after_so_many_hours(lib: Library, short_path: Path) -> None:
    """Although it does not ask for it; the run itself is a plain success."""
    lib.configure(clean_seconds=0.2, clean_after_hours=1e-9)
    lib.put("CLNU01L1", 1, cleaning=50)
    lib.put("TP0001L9", 2)
    lib.system.schedule("monthly", source(short_path))
    lib.system.start("control", "tape")
    run = lib.system.run_schedule("monthly")
    assert lib.end_of(run)["state"] == "SUCCEEDED", lib.story(run)
    lib.system.wait_for(lambda: "was cleaned with CLNU01L1" in lib.story(run), "the cleaning")
    assert "since it was cleaned" in lib.story(run)
    events = lib.system.ask(lambda session: set(session.scalars(select(Notification.event))))
    assert "warnings" not in events


def test_without_a_cleaning_cartridge_somebody_is_told(lib: Library, short_path: Path) -> None:
    """The warning stays among what needs somebody; the run itself has succeeded, with a warning."""
    lib.put("CLNU01L1", 1, cleaning=0)
    lib.put("TP0001L9", 2)
    lib.configure(clean_seconds=0.2, clean_with="CLNX*")
    shelf.set_dirty(lib.drives["tape0"])
    lib.system.schedule("monthly", source(short_path))
    lib.system.start("control", "tape")
    run = lib.system.run_schedule("monthly")
    assert lib.end_of(run)["state"] == "SUCCEEDED", lib.story(run)
    lib.system.wait_for(lambda: "has no cleaning cartridge" in lib.story(run), "the story to tell it")
    assert "Cleaning required" in str(lib.system.json("status")["alerts"])
    events = lib.system.ask(lambda session: set(session.scalars(select(Notification.event))))
    assert {"warnings", "library"} <= events
    assert "success" not in events


def test_after_the_run_its_tapes_are_in_the_mail_slot(lib: Library, short_path: Path) -> None:
    """``after_run = "export"``: the message names what to take out, and no backup fetches it from there."""
    lib.put("TP0001L9", 2)
    lib.system.schedule("monthly", source(short_path), after_run="export")
    lib.system.start("control", "tape")
    run = lib.system.run_schedule("monthly")
    assert lib.end_of(run)["state"] == "SUCCEEDED", lib.story(run)
    lib.system.wait_for(lambda: lib.where()["TP0001L9"] == "slot 7", "the tape to be exported")
    lib.system.wait_for(lambda: "Take out of the mail slot" in lib.story(run), "the story to tell it")
    again = lib.system.run_schedule("monthly")
    assert lib.end_of(again)["state"] == "FAILED"
    assert lib.where()["TP0001L9"] == "slot 7"


def test_a_person_moves_tapes_by_commands(lib: Library, short_path: Path) -> None:
    """Each shows its move with --dry-run, and moves nothing in a script without --yes."""
    lib.put("TP0001L9", 2)
    lib.put("TP0002L9", 7)
    assert lib.system.json("library", "inventory")["slots"][1]["barcode"] == "TP0001L9"
    shown = lib.system.json("library", "load", "TP0001L9", "--dry-run")
    assert shown["moved"] is False
    assert "--yes" in lib.system.cli("library", "load", "TP0001L9", code=2).stderr
    assert lib.where()["TP0001L9"] == "slot 2"
    assert lib.system.json("library", "load", "TP0001L9", "--yes")["moved"] is True
    assert lib.where()["TP0001L9"] == "drive 0"
    refused = lib.system.cli("library", "export", "TP0001L9", code=2).stderr
    assert "TP0001L9 is in drive tape0. Put it into a slot first: tapeline library unload" in refused
    lib.system.cli("library", "import", "--yes")
    assert lib.where()["TP0002L9"] == "slot 1"
    lib.system.cli("library", "unload", "--slot", "5", "--yes")
    lib.system.cli("library", "export", "5", "--yes")
    assert lib.where() == {"TP0001L9": "slot 7", "TP0002L9": "slot 1"}
    for words, says in (
        (("load", "NONSENSE"), "NONSENSE"),
        (("load", "3"), "3"),
        (("unload",), "empty"),
        (("load", "1", "--drive", "tape9"), "tape9"),
        (("export", "TP0002L9"), "mail slot"),
        (("inventory", "--library", "lib9"), "lib9"),
    ):
        [line] = lib.system.cli("library", *words, code=2).stderr.strip().splitlines()
        assert says in line
    printed = lib.system.cli("library", "list").stdout
    assert "mail slot 7" in printed
    assert [move["verb"] for move in lib.system.json("library", "list")[0]["moves"]] == [
        "export", "unload", "move", "load",
    ]  # fmt: skip


def test_the_doctor_names_the_library(lib: Library) -> None:
    """What it has, and that its drive is the one that it says."""
    checks = {each["check"]: each for each in lib.system.json("doctor")}
    assert "6 slots, 1 mail slots, 1 drives" in checks["Library lib0"]["detail"]
    assert checks["Drive 0 of lib0"]["ok"]


def test_the_doctor_keeps_an_opened_door_in_mind(lib: Library) -> None:
    """The changer reports the door once: whoever asks first must not be the last to know."""
    lib.system.cli("library", "inventory")
    with library.edit(lib.path) as found:
        found.disturbed = True
    lib.system.json("doctor")
    [known] = lib.system.json("library", "list")
    assert known["old"]
    lib.system.cli("library", "inventory")
    [known] = lib.system.json("library", "list")
    assert not known["old"]


def test_a_restore_fetches_its_tapes_in_order(lib: Library, short_path: Path) -> None:
    """Of a set on several tapes, with the last one in the drive: each comes by itself, once."""
    for number in range(1, 5):
        lib.put(f"TP000{number}L9", number, capacity=8 * MB)
    plain = {"compression": "none", "archive_bytes": 2 * MB}
    lib.system.schedule("monthly", source(short_path, 14 * MB), template=plain)
    lib.system.start("control", "tape")
    assert lib.end_of(lib.system.run_schedule("monthly"))["state"] == "SUCCEEDED"
    [stored] = lib.system.json("sets", "list")
    assert len(stored["tapes"]) > 1
    target = short_path / "restored"
    started = lib.system.json("sets", "restore", stored["id"], "--to", str(target), "--no-wait")
    run = int(started["run"])
    assert lib.end_of(run)["state"] == "SUCCEEDED", lib.story(run)
    restored = next(target.rglob("data"))
    assert restored.read_bytes() == (short_path / "source" / "data").read_bytes()


def test_an_import_fetches_the_tape_that_is_named(lib: Library, short_path: Path) -> None:
    """The one in the drive goes back unread; after the import the set of the other one is known. A tape that
    the library does not have is asked for by its name, and nothing else is read."""
    lib.put("TP0001L9", 1)
    lib.put("TP0002L9", 2)
    lib.system.schedule("monthly", source(short_path), after_run="eject")
    lib.system.start("control", "tape")
    run = lib.system.run_schedule("monthly")
    assert lib.end_of(run)["state"] == "SUCCEEDED", lib.story(run)
    lib.system.wait_for(lambda: lib.where()["TP0001L9"] == "slot 1", "the tape to be put away")
    lib.system.cli("library", "load", "TP0002L9", "--yes")
    started = lib.system.json("tape", "import", "TP0001L9", "--no-wait")
    ended = lib.end_of(int(started["run"]))
    assert ended["state"] == "SUCCEEDED", lib.story(int(started["run"]))
    assert lib.where() == {"TP0001L9": "drive 0", "TP0002L9": "slot 2"}
    assert "loads TP0001L9 from slot 1" in lib.story(int(started["run"]))
    missing = lib.system.json("tape", "import", "TP0009L9", "--no-wait")
    ended = lib.end_of(int(missing["run"]))
    assert ended["state"] == "FAILED"
    assert "Insert tape TP0009L9 to import it" in lib.story(int(missing["run"]))
    assert lib.where()["TP0001L9"] == "drive 0"


def test_whoever_asks_beforehand_learns_that_the_tape_comes_by_itself(lib: Library, short_path: Path) -> None:
    """The precheck and the calendar name the slot; nobody is asked to put a tape in while there is a blank
    one."""
    lib.put("TP0001L9", 2)
    lib.system.schedule("monthly", source(short_path))
    lib.system.start("control", "tape")
    lib.system.cli("library", "inventory")
    done = lib.system.cli("precheck", "monthly", "--manual", code=None)
    assert "The library brings TP0001L9 from slot 2" in " ".join(done.stdout.split()), done
    entry, *later = lib.system.json("calendar", "--days", "70")
    assert entry["slot"] == 2
    assert later[0]["slot"] is None
    library.put(lib.path, 2, None)
    lib.system.cli("library", "inventory")
    assert lib.system.json("calendar", "--days", "70")[0]["slot"] is None
    due = datetime.now(UTC) + timedelta(days=2)
    lib.system.change_schedule("monthly", schedule_config={"day": min(due.day, 28), "at": "02:00"})
    lib.system.cli("schedule", "enable", "monthly")
    printed = " ".join(lib.system.cli("precheck", "monthly", "--manual", code=None).stdout.split())
    assert "library brings" not in printed
    assert "The blank tapes of library lib0 run out: monthly finds none at" in printed


def test_a_cartridge_that_did_not_come_is_not_fetched_again(lib: Library, short_path: Path) -> None:
    """The robot keeps the first one: an inventory shows where it is, and another is fetched."""
    lib.put("TP0001L9", 1)
    lib.put("TP0002L9", 2)
    lib.system.cli("library", "inventory")
    library.set_faults(lib.path, [{"at": "load", "error": "lost"}])
    lib.system.schedule("monthly", source(short_path))
    lib.system.start("control", "tape")
    run = lib.system.run_schedule("monthly")
    assert lib.end_of(run)["state"] == "SUCCEEDED", lib.story(run)
    assert lib.story(run).count("loads TP0001L9") == 1
    assert lib.where() == {"TP0001L9": "slot 1", "TP0002L9": "drive 0"}
