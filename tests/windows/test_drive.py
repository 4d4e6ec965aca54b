"""The driver of LTFS on Windows, by its programs, its messages and the label."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tape.drive import Health, MediumState
from tape.errors import (
    DriveBusy,
    DriveError,
    DriveMisconfigured,
    FormatFailed,
    LabelReadTimeout,
    NoMedium,
    NotMountable,
    WriteProtected,
)
from tape.judge import format_cartridge
from tape.ltfs_windows import WindowsDrive
from tape.ltfs_windows_setup import Commands, WindowsLimits
from tests.windows.conftest import Rig


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("NO_MEDIA", MediumState.NO_MEDIUM),
        ("LTFS_UNFORMATTED", MediumState.BLANK),
        ("NO_LTFS_MEDIA", MediumState.UNREADABLE),
        ("LTFS_INCONSISTENT", MediumState.UNREADABLE),
        ("LTFS_MEDIA", MediumState.FORMATTED),
    ],
)
def test_blank_is_told_from_unreadable(rig: Rig, status: str, state: MediumState) -> None:
    """LTFS_UNFORMATTED alone is blank; a foreign or damaged tape is unreadable."""
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


def test_write_seal_and_read(rig: Rig) -> None:
    """A file is written below the letter, sealed, and read again; the volume is not empty afterwards."""
    rig.drive.format("TP20251101")
    with rig.drive.mount() as volume:
        file = volume.create("sets/1/资料.tar")
        file.write(b"data")
        file.close()
        volume.seal()
        assert volume.names("sets") == ["1"]
    with rig.drive.mount(read_only=True) as volume:
        with volume.open("sets/1/资料.tar") as reader:
            assert reader.read() == b"data"
        with pytest.raises(WriteProtected):
            volume.create("more")
    assert rig.drive.look().empty is False
    with pytest.raises(DriveError, match="no longer mounted"):
        volume.seal()


def test_a_seal_command(rig: Rig) -> None:
    """Where the settings name a command that writes the index, each seal runs it."""
    commands = replace(rig.setup.commands, seal=("LtfsCmdCheck.exe", "{letter}"))
    drive = WindowsDrive("tape", replace(rig.setup, commands=commands))
    drive.format("TP20251101")
    with drive.mount() as volume:
        volume.create("file").close()
        volume.seal()
        assert rig.calls("LtfsCmdCheck") == [["LtfsCmdCheck", "O"]]


def test_a_letter_that_moved(rig: Rig) -> None:
    """When another letter has the drive, the error names it."""
    rig.say("letter", "P")
    with pytest.raises(DriveError, match=r"P \(LTFS_UNFORMATTED\)"):
        rig.drive.look()


@pytest.mark.skipif(sys.platform == "win32", reason="the letter itself cannot be taken away here")
def test_a_volume_that_vanishes(rig: Rig) -> None:
    """A letter whose folder has gone is noticed before the next file begins, and when the label is read."""
    rig.drive.format("TP20251101")
    with rig.drive.mount() as volume:
        moved = rig.root.rename(rig.root.with_name("elsewhere"))
        with pytest.raises(DriveError, match="no longer mounted"):
            volume.create("file")
        with pytest.raises(DriveError):
            rig.drive.look()
        moved.rename(rig.root)


def test_a_read_only_tape(rig: Rig) -> None:
    """LTFS_READ_ONLY can be read, and is neither written, formatted nor relabelled."""
    rig.drive.format("TP20251101")
    rig.say("status", "LTFS_READ_ONLY")
    assert rig.drive.look().write_protected
    with rig.drive.mount(read_only=True) as volume:
        assert volume.names() in ([], [".windows-label"])
    with pytest.raises(WriteProtected), rig.drive.mount():
        raise AssertionError("mounted")
    with pytest.raises(WriteProtected):
        rig.drive.format("TP20251102")


def test_eject_and_load(rig: Rig) -> None:
    """An ejected drive is empty, and says so; what stands in it is loaded."""
    rig.drive.format("TP20251101")
    rig.drive.eject()
    assert rig.drive.look().state is MediumState.NO_MEDIUM
    rig.drive.eject()
    assert len(rig.calls("LtfsCmdEject")) == 1
    for verb in (rig.drive.load, lambda: rig.drive.format("TP20251101")):
        with pytest.raises(NoMedium):
            verb()
    rig.say("waiting", "LTFS_MEDIA")
    assert rig.drive.load().label == "TP20251101"
    with pytest.raises(NoMedium, match="TP20251102"):
        rig.drive.load("TP20251102")


def test_an_eject_that_does_nothing(rig: Rig) -> None:
    """The state decides whether a tape came out."""
    rig.drive.format("TP20251101")
    rig.say("refuse", "0\nLTFS60201E busy")
    with pytest.raises(DriveError, match="60201E"):
        rig.drive.eject()


def test_blank_cannot_be_mounted(rig: Rig) -> None:
    """A blank tape has no volume."""
    with pytest.raises(NotMountable), rig.drive.mount():
        raise AssertionError("mounted")


def test_a_drive_is_held_while_mounted(rig: Rig) -> None:
    """While the volume is written nobody else formats or ejects it."""
    rig.drive.format("TP20251101")
    with rig.drive.mount():
        for verb in (rig.drive.eject, lambda: rig.drive.format("TP20251102")):
            with pytest.raises(DriveBusy):
                verb()


def test_a_label_that_takes_too_long(rig: Rig) -> None:
    """A program that hangs is ended at the limit."""
    rig.say("hang", "30")
    drive = WindowsDrive("tape", replace(rig.setup, limits=WindowsLimits(label=0.5)))
    with pytest.raises(LabelReadTimeout):
        drive.look()


def test_a_check(rig: Rig) -> None:
    """The state after LtfsCmdCheck says whether the tape has a volume."""
    rig.drive.format("TP20251101")
    assert rig.drive.check().return_code == 0
    rig.say("status", "LTFS_INCONSISTENT")
    with pytest.raises(NotMountable):
        rig.drive.check()


def test_health_is_not_known(rig: Rig) -> None:
    """The single drive edition tells nothing, and nothing is made up."""
    assert rig.drive.health() == Health()


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


@pytest.mark.skipif(sys.platform != "win32", reason="Windows alone has drive letters")
def test_the_label_by_windows_itself(rig: Rig) -> None:
    """GetVolumeInformationW says the label and the file system of the letter, and how much room there is."""
    rig.drive.format("TP20251101")
    commands = replace(rig.setup.commands, read=Commands().read)
    medium = WindowsDrive("tape", replace(rig.setup, commands=commands, file_system=None)).look()
    assert medium.state is MediumState.FORMATTED
    assert medium.capacity
    assert medium.empty is True
