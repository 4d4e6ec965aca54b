"""The guide's way out of a lost database of which no copy can be read, followed word for word."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from db.schedules import schedules
from db.tapes import cartridges, permits
from policy.tapes.permit import Denial, decide
from tape.virtual import shelf
from tests.guide.chapters import GUIDE, steps
from tests.system import System

BARCODES = {"files": "A00001L9", "mail": "A00002L9"}
LATER = datetime.now(UTC) + timedelta(days=62)
PLAN = """
[schedules.{name}]
when = {{ type = "monthly", day = 1, at = "02:00" }}
tape_policy = "rotate"
[schedules.{name}.backup]
sources = ["{source}"]
keep_sets = 1
"""


def chapter() -> list[str]:
    """What the chapter has its reader type where no copy can be read: import, apply, expire."""
    commands = [step.text for step in steps(GUIDE / "disaster.md") if step.parsed_only]
    first = commands.index("tapeline tape import")
    assert [command.split()[1:3] for command in commands[first:]] == [
        ["tape", "import"], ["schedule", "apply"], ["sets", "expire"], ["sets", "expire"],
    ]  # fmt: skip
    return commands[first:]


def denials(system: System) -> dict[tuple[str, str], set[Denial]]:
    """Why a run of each schedule may not format each tape, two months later."""

    def ask(session: Any) -> dict[tuple[str, str], set[Denial]]:
        found = {}
        for owner, barcode in BARCODES.items():
            shelf.insert(system.drive.path, barcode)
            tape = cartridges.tape_facts(session, system.drive.look().to_json())
            for name in BARCODES:
                row = schedules.get(session, name)
                found[owner, name] = set(decide(permits.facts_for(session, row, tape, LATER)).denials)
        return found

    return dict(system.ask(ask))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("tapes_first", [True, False], ids=["tapes first", "schedules first"])
def test_a_catalogue_made_of_tapes_protects_every_set_as_before(
    system: System, short_path: Path, tapes_first: bool
) -> None:
    """Two schedules in rotation with keep_sets = 1, each with its backup on a tape of its own."""
    plan = short_path / "schedules.toml"
    for name in BARCODES:
        (short_path / name).mkdir()
        (short_path / name / "a").write_text(name)
    plan.write_text("".join(PLAN.format(name=name, source=short_path / name) for name in BARCODES))
    system.start("control", "tape")

    def typed(command: str) -> None:
        words = shlex.split(command)[1:]
        done = system.cli(*[str(plan) if word == "schedules.toml" else word for word in words], code=None)
        assert done.returncode == 0, (command, done)

    import_it, apply_them, look, mark = chapter()
    typed(apply_them)
    for name, barcode in BARCODES.items():
        system.insert_blank(barcode)
        run = int(system.json("schedule", "run", name)["run"])
        assert system.wait_for_state(run, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    before = denials(system)
    assert all(Denial.RETAINED_SETS in found for found in before.values())

    system.forget_everything()

    def import_all() -> None:
        for barcode in BARCODES.values():
            shelf.insert(system.drive.path, barcode)
            typed(import_it)

    for act in (import_all, lambda: typed(apply_them))[:: 1 if tapes_first else -1]:
        act()
    assert all(before[asked] <= found for asked, found in denials(system).items())
    typed(look)
    typed(mark)
    assert denials(system) == before
