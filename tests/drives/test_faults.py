"""What goes wrong at a drive, and what is true afterwards."""

from __future__ import annotations

import pytest

from tape.drive import MediumState, Volume, WriteLock
from tape.errors import (
    LabelReadTimeout,
    NoDeepRecovery,
    NotMountable,
    SealFailed,
    TapeFull,
    TapeReadError,
    TapeWriteError,
    WriteProtected,
)
from tests.drives.rig import LtfsRig, Rig


def write(volume: Volume, name: str, data: bytes = b"data") -> None:
    file = volume.create(name)
    file.write(data)
    file.close()


@pytest.mark.needs("breaks")
def test_full_on_write(rig: Rig) -> None:
    """The tape may end anywhere in a write: the part before it stays, and nothing more goes on the tape."""
    rig.insert_formatted()
    rig.plan({"at": "write", "after_bytes": 1500, "error": "full"})
    with rig.drive.mount() as volume:
        write(volume, "first", b"x" * 1000)
        file = volume.create("second")
        with pytest.raises(TapeFull):
            file.write(b"y" * 1000)
        file.close()
        assert (volume.size("first"), volume.size("second")) == (1000, 500)
        assert volume.free() == 0
    with rig.drive.mount() as volume:
        assert volume.names() == ["first", "second"]
        assert volume.free() == 0


@pytest.mark.needs("breaks")
def test_full_on_close(rig: Rig) -> None:
    """The tape may end at the close of a file, which is then shorter than what was acknowledged."""
    rig.insert_formatted()
    rig.plan({"at": "close", "nth": 2, "error": "full"})
    with rig.drive.mount() as volume:
        write(volume, "first", b"x" * 1_000_000)
        file = volume.create("second")
        file.write(b"y" * 1_000_000)
        with pytest.raises(TapeFull):
            file.close()
        file.close()
        size = volume.size("second")
        assert size is not None
        assert size < 1_000_000
        assert volume.size("first") == 1_000_000


@pytest.mark.needs("breaks")
def test_full_on_seal(rig: Rig) -> None:
    """The tape may end while the index is written; what was sealed before stays, and a later seal may do."""
    rig.insert_formatted()
    with rig.drive.mount() as volume:
        write(volume, "first")
        volume.seal()
        rig.plan({"at": "seal", "error": "full"})
        with pytest.raises(TapeFull):
            write_and_seal(volume, "second")
        assert volume.free() == 0
        volume.seal()
    with rig.drive.mount(read_only=True) as volume:
        assert volume.names() == ["first", "second"]


@pytest.mark.needs("breaks")
def test_full_on_the_seal_of_the_unmount(rig: Rig) -> None:
    """Where the index cannot be written at the unmount either, leaving the mount says so."""
    if rig.seals_at_close:
        pytest.skip("the index is written at the close of each file, and leaving a mount writes none")
    rig.insert_formatted()
    rig.plan({"at": "seal", "error": "full", "times": 2})
    mount = rig.drive.mount()
    write(mount.__enter__(), "file")
    with pytest.raises(TapeFull):
        mount.__exit__(None, None, None)
    with rig.drive.mount() as volume:
        assert volume.names() == []


@pytest.mark.parametrize("error", ["eio", "erofs"])
@pytest.mark.parametrize("at", ["write", "close", "seal"])
@pytest.mark.needs("breaks")
def test_a_write_error_is_for_ever(rig: Rig, at: str, error: str) -> None:
    """After a write error the volume is read-only for ever, and only what was sealed counts."""
    rig.insert_formatted()
    rig.plan({"at": at, "nth": 2, "error": error})
    with pytest.raises(SealFailed, match="index"):
        write_until_it_breaks(rig, at)
    refusal = TapeWriteError if rig.tells_why_read_only else WriteProtected
    medium = rig.drive.look()
    assert medium.lock is (WriteLock.WRITE_ERROR if rig.tells_why_read_only else WriteLock.NONE)
    assert medium.write_protected is not rig.tells_why_read_only
    with pytest.raises(refusal, match="read-only"):
        rig.drive.relabel("TP20261102")
    for _ in range(2):
        with pytest.raises(refusal, match="read-only"), rig.drive.mount():
            raise AssertionError("mounted")
        with rig.drive.mount(read_only=True) as volume:
            assert "sealed" in volume.names()
    if rig.tells_health:
        assert rig.drive.health().write_errors == 1
        assert rig.drive.health().tape_alerts


def write_until_it_breaks(rig: Rig, at: str) -> None:
    with rig.drive.mount() as volume:
        write(volume, "sealed", b"kept")
        volume.seal()
        with pytest.raises(TapeWriteError) as failed:
            write_and_seal(volume, "lost")
        if not rig.seals_at_close:
            assert isinstance(failed.value, SealFailed) == (at == "seal")
        with pytest.raises(TapeWriteError):
            volume.create("more")
        with pytest.raises(SealFailed):
            volume.seal()
        with volume.open("sealed") as file:
            assert file.read() == b"kept"


def write_and_seal(volume: Volume, name: str) -> None:
    write(volume, name)
    volume.seal()


@pytest.mark.needs("breaks")
def test_an_error_goes_through_the_unmount(rig: Rig) -> None:
    """The error that ended the work is what leaving the mount raises, not one about the index."""
    rig.insert_formatted()
    rig.plan({"at": "write", "error": "eio"})
    with pytest.raises(TapeWriteError) as failed, rig.drive.mount() as volume:
        write(volume, "file")
    assert not isinstance(failed.value, SealFailed)


@pytest.mark.needs("tells_why_read_only")
@pytest.mark.needs("breaks")
def test_a_format_makes_a_broken_volume_new(rig: Rig) -> None:
    """Read-only for ever is the volume: a format makes another one."""
    rig.insert_formatted()
    rig.plan({"at": "write", "error": "eio"})
    with pytest.raises(TapeWriteError):
        rig.store("file")
    assert rig.drive.format("TP20261102").return_code == 0
    rig.store("file")
    assert rig.drive.look().empty is False


@pytest.mark.needs("breaks")
def test_a_read_error_costs_one_read(rig: Rig) -> None:
    """A place that cannot be read raises TapeReadError, is counted, and the tape goes on."""
    rig.insert_formatted()
    rig.store("file", b"x" * 1000)
    rig.plan({"at": "read", "after_bytes": 500, "error": "eio"})
    with rig.drive.mount(read_only=True) as volume:
        with volume.open("file") as file, pytest.raises(TapeReadError) as failed:
            file.read()
        assert failed.value.remedy
        if rig.reads_again:
            rig.plan()
        with volume.open("file") as file:
            assert file.read() == b"x" * 1000
    if rig.tells_health:
        assert rig.drive.health().read_errors == 1


@pytest.mark.needs("breaks")
def test_a_label_that_takes_too_long(rig: Rig) -> None:
    """A label that cannot be read within its limit raises LabelReadTimeout, and the next look may do."""
    rig.insert_formatted()
    rig.plan({"at": "look", "error": "hang", "seconds": 60})
    with pytest.raises(LabelReadTimeout):
        rig.drive.look()
    assert rig.drive.look().label == "TP20261101"


@pytest.mark.needs("breaks")
def test_a_slow_label(rig: Rig) -> None:
    """A label that is slow, but within its limit, is read."""
    rig.insert_formatted()
    rig.plan({"at": "look", "error": "slow", "seconds": 0.05})
    assert rig.drive.look().label == "TP20261101"


@pytest.mark.needs("breaks")
def test_an_unreadable_cartridge(rig: Rig) -> None:
    """A cartridge that cannot be read is neither blank nor mountable, as often as the plan says."""
    rig.insert_formatted()
    rig.plan(
        {"at": "look", "error": "unreadable", "times": 2}, {"at": "mount", "error": "unreadable", "times": 1}
    )
    for _ in range(2):
        medium = rig.drive.look()
        assert (medium.state, medium.label) == (MediumState.UNREADABLE, None)
    with pytest.raises(NotMountable), rig.drive.mount():
        raise AssertionError("mounted")
    assert rig.drive.look().state is MediumState.FORMATTED
    with rig.drive.mount():
        pass


@pytest.mark.needs("breaks")
def test_a_plan_given_while_mounted(rig: Rig) -> None:
    """A fault plan may be given while the volume is written, and ends when it has come."""
    rig.insert_formatted()
    with rig.drive.mount() as volume:
        write(volume, "before")
        rig.plan({"at": "close", "error": "full"})
        with pytest.raises(TapeFull):
            write(volume, "after")


@pytest.mark.needs("recovers_deeply")
def test_the_end_of_the_data_is_not_marked(rig: Rig) -> None:
    """LTFS's own advice reaches the operator, and brings back all that was sealed."""
    rig.insert_formatted()
    rig.store("file", b"kept")
    rig.lose_the_end()
    assert rig.drive.look().state in {MediumState.FORMATTED, MediumState.INCONSISTENT}
    for attempt in (rig.drive.check, lambda: rig.drive.mount().__enter__()):
        with pytest.raises(NotMountable, match="LTFS17146E EOD") as refused:
            attempt()
        assert "drive check tape --deep" in str(refused.value.remedy)
    lines: list[str] = []
    rig.drive.check(deep=True, on_output=lines.append)
    assert any("LTFS17138I" in line for line in lines)
    with rig.drive.mount() as volume, volume.open("file") as file:
        assert file.read() == b"kept"


def test_a_drive_without_a_deep_recovery_says_so(rig: Rig) -> None:
    """What was asked for is not done half."""
    if isinstance(rig, LtfsRig):
        pytest.skip("it has one")
    rig.insert_formatted()
    with pytest.raises(NoDeepRecovery):
        rig.drive.check(deep=True)
