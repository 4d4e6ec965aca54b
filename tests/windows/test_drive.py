"""The driver of LTFS on Windows, by its programs, its messages and the label."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tape.drive import MediumState
from tape.errors import (
    DriveBusy,
    DriveError,
    DriveMisconfigured,
    FormatFailed,
    NoMedium,
    NotMountable,
)
from tape.judge import format_cartridge
from tape.ltfs_windows.drive import WindowsDrive
from tape.ltfs_windows.label import Label, of_vol
from tape.ltfs_windows.setup import Commands
from tape.programs import command, command_line
from tests.drives.windows_rig import WindowsRig as Rig
from tests.windows import programs as windows_programs
from tests.windows import wine


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("NO_MEDIA", MediumState.NO_MEDIUM),
        ("LTFS_UNFORMATTED", MediumState.FOREIGN),
        ("NO_LTFS_MEDIA", MediumState.UNREADABLE),
        ("LTFS_INCONSISTENT", MediumState.INCONSISTENT),
    ],
)
def test_what_is_no_volume_is_never_blank(rig: Rig, status: str, state: MediumState) -> None:
    """None of them is proved to be new; each has a remedy of its own."""
    rig.drive.format("TP20251101")
    rig.say("status", status)
    assert rig.drive.look().state is state


@pytest.mark.parametrize("status", ["MEDIA_NOT_READY", "NOT_MOUNTED", "RESET"])
def test_a_drive_on_its_way_is_busy(rig: Rig, status: str) -> None:
    """What will pass is no statement about the tape."""
    rig.say("status", status)
    with pytest.raises(DriveBusy, match=status):
        rig.drive.look()


def test_a_format(rig: Rig) -> None:
    """The command is the one that operators type, its messages are kept, and the label is read back."""
    outcome = format_cartridge(rig.drive, "TP20251101", serial="251101")
    assert outcome.ok
    assert outcome.warning is None
    assert rig.calls("LtfsCmdFormat") == [["LtfsCmdFormat", "O", "/N:TP20251101", "/S:251101"]]
    assert (outcome.after.label, outcome.after.empty) == ("TP20251101", True)
    assert outcome.run
    assert outcome.run.says_done is True


def test_a_format_without_a_serial(rig: Rig) -> None:
    """A word whose value is not given is left out."""
    assert rig.drive.format("TP20251101").return_code == 0
    assert rig.calls("LtfsCmdFormat") == [["LtfsCmdFormat", "O", "/N:TP20251101"]]


def test_the_return_code_alone_is_not_believed(rig: Rig) -> None:
    """Done by its message and its label, whatever it returned: a success with a warning."""
    rig.say("code", "1")
    outcome = format_cartridge(rig.drive, "TP20251101")
    assert outcome.ok
    assert outcome.warning


def test_nought_without_the_label_is_a_failure(rig: Rig) -> None:
    """A program that says nothing, returns 0 and leaves the old label has failed."""
    rig.drive.format("TP20241015")
    rig.say("refuse", "0\n")
    outcome = format_cartridge(rig.drive, "TP20251101")
    assert not outcome.ok
    assert isinstance(outcome.error, FormatFailed)


@pytest.mark.parametrize("line", ["LTFS15047E Medium is already formatted (0).", "LTFS60086E in use"])
def test_a_refusal(rig: Rig, line: str) -> None:
    """A format that says why it did nothing is a failure, and the tape is as it was."""
    rig.drive.format("TP20241015")
    rig.say("refuse", f"16\n{line}")
    outcome = format_cartridge(rig.drive, "TP20251101")
    assert not outcome.ok
    assert outcome.after.label == "TP20241015"


def test_another_command_line(rig: Rig) -> None:
    """Each command line is a template of the settings."""
    commands = replace(rig.setup.commands, format=("LtfsCmdFormat.exe", "{letter}", "/E", "/N:{label}"))
    drive = WindowsDrive("tape", replace(rig.setup, commands=commands))
    drive.format("TP20251101", serial="251101")
    assert rig.calls("LtfsCmdFormat") == [["LtfsCmdFormat", "O", "/E", "/N:TP20251101"]]


@pytest.mark.parametrize("label", ["-x", "a\nb", 'a" /E "', "", "a&b", "%PATH%"])
def test_nothing_is_injected(rig: Rig, label: str) -> None:
    """A label that could be read as more than a label never reaches a program."""
    with pytest.raises(DriveMisconfigured):
        rig.drive.format(label)
    assert not (rig.tools / "calls").exists()


def test_a_command_that_names_what_there_is_not(rig: Rig) -> None:
    """A template with an unknown name is refused, and says which names there are."""
    commands = replace(rig.setup.commands, eject=("LtfsCmdEject.exe", "{adress}"))
    rig.say("status", "LTFS_MEDIA")
    with pytest.raises(DriveMisconfigured, match="adress"):
        WindowsDrive("tape", replace(rig.setup, commands=commands)).eject()


def test_a_seal_command(rig: Rig) -> None:
    """Where the settings name a command that writes the index, each seal runs it."""
    commands = replace(rig.setup.commands, seal=("LtfsCmdCheck.exe", "{letter}"))
    drive = rig.changed(commands=commands)
    drive.format("TP20251101")
    with drive.mount() as volume:
        volume.create("file").close()
        volume.seal()
        assert rig.calls("LtfsCmdCheck") == [["LtfsCmdCheck", "O"]]


def test_an_eject_that_does_nothing(rig: Rig) -> None:
    """The state decides whether a tape came out."""
    rig.drive.format("TP20251101")
    rig.say("refuse", "0\nLTFS60201E busy")
    with pytest.raises(DriveError, match="60201E"):
        rig.drive.eject()


@pytest.mark.parametrize("reader", ["fsutil", "vol"])
def test_other_ways_to_read_the_label(rig: Rig, reader: str, tmp_path: Path) -> None:
    """Where Windows does not answer, fsutil says the label, and where there is none, vol does."""
    rig.say("status", "LTFS_MEDIA")
    text = tmp_path / "text"
    told = {"fsutil": "卷名 : TP20251101\n文件系统名 : LTFS\n", "vol": " 驱动器 O 中的卷是 TP20251101\n"}
    text.write_bytes(told[reader].encode("cp936"))

    words = (
        sys.executable,
        "-c",
        "import sys; sys.stdout.buffer.write(open(sys.argv[1],'rb').read())",
        str(text),
    )
    failing = (sys.executable, "-c", "raise SystemExit(2)")
    commands = Commands(
        read=failing,
        fsutil=words if reader == "fsutil" else ("no-such-program",),
        vol=words if reader == "vol" else ("no-such-program",),
    )
    drive = WindowsDrive("tape", replace(rig.setup, commands=commands, encoding="cp936", file_system="LTFS"))
    assert drive.look().label == "TP20251101"


def test_a_letter_of_another_file_system(rig: Rig) -> None:
    """A letter that shows a disk is no tape, whatever its label."""
    rig.drive.format("TP20251101")
    drive = WindowsDrive("tape", replace(rig.setup, file_system="OTHER"))
    with pytest.raises(DriveError, match=r"letter O is no volume of LTFS"):
        drive.look()


def test_what_stands_in_the_drive_is_loaded(rig: Rig) -> None:
    """Without a tape a load says so; the wrong one is named."""
    rig.drive.format("TP20251101")
    rig.drive.eject()
    rig.drive.eject()
    assert len(rig.calls("LtfsCmdEject")) == 1
    with pytest.raises(NoMedium):
        rig.drive.load()
    rig.say("waiting", "TAPE01L8")
    assert rig.drive.load().label == "TP20251101"
    with pytest.raises(NoMedium, match="TP20251102"):
        rig.drive.load("TP20251102")


def test_a_check(rig: Rig) -> None:
    """The state after LtfsCmdCheck says whether the tape has a volume, not what it returns."""
    rig.drive.format("TP20251101")
    rig.say("code", "1")
    assert "16022I" in rig.drive.check().output
    rig.say("status", "LTFS_INCONSISTENT")
    with pytest.raises(NotMountable):
        rig.drive.check()


def test_a_letter_that_moved(rig: Rig) -> None:
    """When another letter has the drive, the error names it."""
    rig.say("letter", "P")
    with pytest.raises(DriveError, match=r"P \(LTFS_UNFORMATTED\)"):
        rig.drive.look()


def test_a_letter_that_shows_another_volume(rig: Rig) -> None:
    """The label is read before each file that begins: another volume at the letter is not written."""
    rig.drive.format("TP20251101")
    with rig.drive.mount() as volume:
        volume.create("file").close()
        windows_programs.ask(rig.tools, rig.port, "label", "O:", "OTHER1")
        for verb in (lambda: volume.create("more"), volume.seal):
            with pytest.raises(DriveError, match="OTHER1 now, and no longer TP20251101"):
                verb()
        assert volume.names() == ["file"]
        windows_programs.ask(rig.tools, rig.port, "label", "O:", "TP20251101")


def test_a_dead_mount(rig: Rig) -> None:
    """A letter whose mount has died still exists; that nothing is there is noticed before the next file."""
    rig.drive.format("TP20251101")
    with rig.drive.mount() as volume:
        rig.by_hand("power_off")
        for verb in (lambda: volume.create("file"), volume.seal):
            with pytest.raises(DriveError, match="no longer"):
                verb()


@pytest.mark.skipif(sys.platform != "win32", reason="Windows alone has drive letters")
def test_the_label_by_windows_itself() -> None:
    """GetVolumeInformationW says the label; the child that asks says room and whether there are files."""
    words = command_line.fill(Commands().read, root="P:\\", letter="P", label=None, serial=None)
    said = json.loads(command.run(words, limit=60).output)
    assert (said["label"], said["empty"]) == (wine.LABEL, True)
    assert said["capacity"] > said["free"] > 0
    assert command.run([*words[:-1], "Y:\\"], limit=60).return_code == 2


@pytest.mark.skipif(sys.platform != "win32", reason="Windows alone has its own vol")
def test_the_label_by_vol_itself() -> None:
    """The command line that is the last fall-back, with what the system's own vol prints."""
    words = command_line.fill(Commands().vol, letter="P")
    assert of_vol(command.run(words, limit=60).output) == Label(wine.LABEL)
