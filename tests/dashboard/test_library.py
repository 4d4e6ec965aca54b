"""The page Library: a picture of what is where, and buttons that ask once and move once."""

from __future__ import annotations

import re
from pathlib import Path

from tape.virtual import library
from tests.dashboard.dashboard import Dashboard
from tests.e2e.tapes.test_library import Library
from tests.system import System


def slots(page: str) -> dict[str, str]:
    """What each slot is called on the page."""
    return dict(re.findall(r'data-slot="(\d+)" data-what="(\w+)"', page))


def test_a_tape_is_loaded_and_put_away_from_the_page(system: System, short_path: Path) -> None:
    """The page asks once; the drive's worker moves; the page shows where everything is and who moved it. What
    was asked about another cartridge moves nothing."""
    lib = Library(system, short_path)
    lib.put("TP0001L9", 2)
    lib.put("TP0002L9", 3)
    system.start("tape")
    dashboard = Dashboard(system)
    system.cli("library", "inventory")
    page = dashboard.get("/library?schedule=monthly")
    assert slots(page)["2"] == "new"
    assert 'data-slot="2"' in page
    assert "tl-slot-format" in page
    load = "/library/lib0/load?place=2&target=0"
    assert "TP0001L9" in dashboard.get(load)
    dashboard.press(load)
    system.wait_for(lambda: lib.where()["TP0001L9"] == "drive 0", "the tape to be loaded")
    system.wait_for(lambda: slots(dashboard.get("/library"))["2"] == "empty", "the page to show it")
    # Somebody exchanges the cartridges between the question and the answer.
    form = dashboard.form("/library/lib0/export?place=3")
    library.put(lib.path, 3, None)
    library.put(lib.path, 4, "TP0002L9")
    dashboard.session.post(dashboard.url + "/library/lib0/export?place=3", data=form, timeout=20)
    system.wait_for(lambda: "nothing was moved" in dashboard.get("/library"), "the page to tell why")
    assert lib.where()["TP0002L9"] == "slot 4"
    # The page of a tape on a drive that a library feeds leads to the library, not to the drive.
    assert 'href="/drives/tape0/eject"' not in dashboard.get("/drives")
    dashboard.press("/library/lib0/unload?place=0")
    system.wait_for(lambda: lib.where()["TP0001L9"] == "slot 2", "the tape to be put away")
    assert "tapeline" in dashboard.get("/library")


def test_the_page_of_schedules_lists_the_tapes_that_come_by_themselves(
    system: System, short_path: Path
) -> None:
    """Each with its slot; without one the run is among those that need preparation."""
    lib = Library(system, short_path)
    lib.put("TP0001L9", 4)
    system.cli("library", "inventory")
    dashboard = Dashboard(system)
    page = dashboard.get("/schedules")
    [brought] = re.findall(r'<table[^>]+id="brought">(.+?)</table>', page, re.DOTALL)
    cells = [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.+?</td>", brought, re.DOTALL)]
    assert cells[1:4] == ["monthly", "tape0", "4"]
    library.put(lib.path, 4, None)
    system.cli("library", "inventory")
    page = dashboard.get("/schedules")
    assert 'id="brought"' not in page
    assert "put a blank tape into library lib0" in page


def test_a_button_without_a_worker_says_so(system: System, short_path: Path) -> None:
    """Nobody would move anything: the page says what to start."""
    lib = Library(system, short_path)
    lib.put("TP0001L9", 2)
    system.cli("library", "inventory")
    dashboard = Dashboard(system)
    answer = dashboard.press("/library/lib0/import", status=409)
    assert "worker" in answer.text
    dashboard.get("/library/lib0/load?place=5&target=0", status=400)
    dashboard.get("/library/nonsense/import", status=404)
