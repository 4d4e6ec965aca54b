"""``tapeline sets show`` and ``tapeline --version``."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from tests.system import System


def test_a_set_is_shown_with_all_about_it(system: System, short_path: Path) -> None:
    """Its tapes, its archives, and for an increment the sets that it needs."""
    source = short_path / "source"
    source.mkdir()
    (source / "file").write_text("content" * 100)
    system.schedule("monthly", source)
    system.insert_blank()
    system.start("control", "tape")
    first = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")["set_id"]
    (source / "other").write_text("more")
    run_id = int(system.json("schedule", "run", "monthly", "--type", "incremental")["run"])
    second = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["set_id"]
    found = system.json("sets", "show", second)
    assert (found["id"], found["follows"], found["run"]) == (second, [first], run_id)
    assert [archive["tape"] for archive in found["contents"]] == found["tapes"]
    shown = system.cli("sets", "show", second).stdout
    for text in (second, first, found["tapes"][0], str(source), "incremental, complete"):
        assert text in shown
    assert "no backup set" in system.cli("sets", "show", "nothing", code=2).stderr


def test_the_version_is_shown(system: System) -> None:
    assert system.cli("--version").stdout == f"tapeline {version('tapeline')}\n"
