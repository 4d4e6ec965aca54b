"""Formatting a cartridge."""

from __future__ import annotations

import pytest

from tape.drive import MediumState
from tape.errors import TapeChanged
from tape.judge import format_cartridge
from tests.drives.rig import Rig
from tests.drives.test_look import has_all_its_room


def test_format_of_a_blank_cartridge(rig: Rig) -> None:
    """A format gives the label, the serial, a new volume without files, and the program's run."""
    rig.insert_blank()
    lines: list[str] = []
    run = rig.drive.format("TP20261101", serial="TP1101", on_output=lines.append)
    medium = rig.drive.look()
    assert run.return_code == 0
    assert any("TP20261101" in word for word in run.command)
    assert run.seconds > 0
    assert run.output.splitlines() == lines
    assert "LTFS15024I" in run.output
    if rig.tells_volume:
        assert f"Volume UUID is: {medium.volume_uuid}" in run.output
        assert medium.serial == "TP1101"
    assert (medium.state, medium.label, medium.empty) == (MediumState.FORMATTED, "TP20261101", True)
    assert has_all_its_room(rig)


def test_format_again(rig: Rig) -> None:
    """Formatting again removes every file, gives all room back and makes a new volume."""
    rig.insert_formatted("TP20261101")
    rig.store("folder/file", b"x" * 1000)
    before = rig.drive.look()
    outcome = format_cartridge(rig.drive, "TP20261201")
    assert outcome.ok
    after = rig.drive.look()
    assert (after.volume_uuid != before.volume_uuid) == rig.tells_volume
    assert after.medium_serial == before.medium_serial
    assert (after.label, after.empty) == ("TP20261201", True)
    assert has_all_its_room(rig)
    with rig.drive.mount() as volume:
        assert volume.names() == []


def test_another_tape_than_the_one_that_was_looked_at(rig: Rig) -> None:
    """What was exchanged between the look and the format is left as it is."""
    rig.insert_formatted("TP20261001")
    seen = rig.drive.look()
    rig.insert_formatted("TP20261002")
    rig.store("file", b"kept")
    with pytest.raises(TapeChanged, match="TP20261002"):
        rig.drive.format("TP20261101", only=seen)
    with rig.drive.mount(read_only=True) as volume, volume.open("file") as file:
        assert (volume.medium.label, file.read()) == ("TP20261002", b"kept")
    assert rig.drive.format("TP20261101", only=rig.drive.look()).return_code == 0


@pytest.mark.parametrize(
    ("label", "serial", "line"),
    [
        ("TP20261101", "TP110", "LTFS15029E"),
        ("TP20261101", "tp1101", "LTFS15030E"),
        ("TP/2026", "TP1101", "LTFS15031E"),
        ("T" * 256, "TP1101", "LTFS15031E"),
    ],
)
def test_a_name_or_serial_that_breaks_the_rule(rig: Rig, label: str, serial: str, line: str) -> None:
    """The format program refuses a bad name or serial and touches nothing."""
    rig.insert_formatted()
    rig.store("file", b"kept")
    before = rig.drive.look()
    run = rig.drive.format(label, serial=serial)
    assert run.return_code == 16
    assert line in run.output
    assert rig.drive.look() == before
