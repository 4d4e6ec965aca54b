"""What a drive says about the cartridge in it."""

from __future__ import annotations

import pytest

from tape.drive import Health, MediumState, WriteLock
from tape.errors import DriveBusy, DriveError, NoMedium, NotMountable, WriteProtected
from tests.drives.rig import Rig


@pytest.mark.needs("tells_empty")
def test_empty_drive_has_no_medium(rig: Rig) -> None:
    """An empty drive says so, and knows nothing else."""
    medium = rig.drive.look()
    assert medium.state is MediumState.NO_MEDIUM
    assert (medium.label, medium.volume_uuid, medium.medium_serial, medium.barcode) == (None,) * 4


@pytest.mark.parametrize("verb", ["mount", "format", "relabel", "load"])
@pytest.mark.needs("tells_empty")
def test_empty_drive_refuses(rig: Rig, verb: str) -> None:
    """What needs a cartridge raises NoMedium in an empty drive, with something to do about it."""
    with pytest.raises(NoMedium) as refused:
        use(rig, verb)
    assert refused.value.remedy


def use(rig: Rig, verb: str) -> None:
    match verb:
        case "mount":
            with rig.drive.mount():
                raise AssertionError("mounted")
        case "format":
            rig.drive.format("TP20261101")
        case "relabel":
            rig.drive.relabel("TP20261102")
        case "load":
            rig.drive.load()
        case "eject":
            rig.drive.eject()


def test_blank_is_proved(rig: Rig) -> None:
    """A cartridge that was never written is blank where that is proved, else one that LTFS cannot read."""
    barcode = rig.insert_blank()
    medium = rig.drive.look()
    assert medium.state is (MediumState.BLANK if rig.proves_blank else MediumState.FOREIGN)
    assert medium.barcode in {barcode, None}
    assert (medium.medium_serial is not None) == rig.tells_cartridge
    assert (medium.label, medium.volume_uuid) == (None, None)


def test_what_another_program_has_written_is_not_blank(rig: Rig) -> None:
    """A tape with an archive of another program is foreign, whatever LTFS calls it, and cannot be mounted."""
    rig.insert_foreign()
    medium = rig.drive.look()
    assert medium.state is MediumState.FOREIGN
    assert medium.drive == rig.drive.name
    for verb in ("mount", "relabel"):
        with pytest.raises(NotMountable):
            use(rig, verb)
    assert rig.drive.look() == medium
    assert rig.drive.format("TP20261101").return_code == 0
    assert rig.drive.look().state is MediumState.FORMATTED


@pytest.mark.needs("told_by_turs")
@pytest.mark.parametrize(
    ("key", "sense", "state"),
    [
        ("Not Ready", "Medium not present - loadable", MediumState.NO_MEDIUM),
        ("Not Ready", "Logical unit not ready, initializing command required", MediumState.NO_MEDIUM),
        ("Not Ready", "Cleaning cartridge installed", MediumState.CLEANING),
        ("Medium Error", "Cannot read medium - incompatible format", MediumState.INCOMPATIBLE),
        ("Medium Error", "Incompatible medium installed", MediumState.INCOMPATIBLE),
    ],
)
def test_what_is_in_the_drive_instead_of_a_tape(rig: Rig, key: str, sense: str, state: MediumState) -> None:
    """A cleaning cartridge, one that does not fit and an empty slot are told from a drive that is busy."""
    rig.insert_formatted()
    rig.answer(key, sense)
    assert rig.drive.look().state is state
    with pytest.raises(NoMedium if state is MediumState.NO_MEDIUM else NotMountable):
        use(rig, "mount")


@pytest.mark.needs("told_by_turs")
def test_a_drive_that_becomes_ready_is_busy(rig: Rig) -> None:
    """What passes by itself is waited for."""
    rig.insert_formatted()
    rig.answer("Not Ready", "Logical unit is in process of becoming ready")
    with pytest.raises(DriveBusy):
        rig.drive.look()


@pytest.mark.needs("locks")
@pytest.mark.parametrize("verb", ["mount", "relabel"])
def test_a_volume_that_a_program_has_locked(rig: Rig, verb: str) -> None:
    """A lock on purpose is no write error: the volume is refused for writing, and reads well."""
    rig.insert_formatted()
    rig.store("file", b"kept")
    rig.lock()
    medium = rig.drive.look()
    assert (medium.lock, medium.write_protected) == (WriteLock.ADVISORY, False)
    with pytest.raises(WriteProtected, match="locked"):
        use(rig, verb)
    with rig.drive.mount(read_only=True) as volume, volume.open("file") as file:
        assert file.read() == b"kept"


def test_label_is_read(rig: Rig) -> None:
    """A formatted cartridge shows its label, serial, volume and that it has no files."""
    rig.insert_formatted("TP20261101")
    medium = rig.drive.look()
    assert medium.state is MediumState.FORMATTED
    assert (medium.label, medium.empty) == ("TP20261101", True)
    assert medium.serial == ("TP1101" if rig.tells_volume else None)
    assert (medium.volume_uuid is not None) == rig.tells_volume
    assert medium.capacity is not None
    assert rig.capacity - rig.overhead <= medium.capacity <= rig.capacity
    assert has_all_its_room(rig)


def has_all_its_room(rig: Rig) -> bool:
    free = rig.drive.look().free
    return free is not None and rig.capacity - rig.overhead <= free <= rig.capacity


def test_identity_is_stable(rig: Rig) -> None:
    """The identity is the same over looks, mounts, writes and being taken out and put in."""
    barcode = rig.insert_formatted()
    identity = rig.drive.look().identity
    rig.store("file")
    assert rig.drive.look().identity == identity
    if rig.moves:
        rig.drive.eject()
        rig.insert(barcode)
        assert rig.drive.load().identity == identity


@pytest.mark.needs("tells_volume")
def test_two_cartridges_differ(rig: Rig) -> None:
    """Two cartridges with the same label have different identities."""
    rig.insert_formatted("TP20261101")
    first = rig.drive.look()
    rig.insert_formatted("TP20261101")
    second = rig.drive.look()
    assert first.label == second.label
    assert first.volume_uuid != second.volume_uuid
    if rig.tells_cartridge:
        assert first.medium_serial != second.medium_serial


def test_empty_until_written(rig: Rig) -> None:
    """A volume is empty until a file was written and the volume unmounted."""
    rig.insert_formatted()
    assert rig.drive.look().empty is True
    rig.store("file", b"x" * 1000)
    medium = rig.drive.look()
    assert medium.empty is False
    assert medium.free is not None
    assert medium.free <= rig.capacity - 1000


def test_relabel_keeps_data(rig: Rig) -> None:
    """Changing the label keeps the volume and its files."""
    rig.insert_formatted("TP20261101")
    rig.store("file", b"kept")
    before = rig.drive.look()
    rig.drive.relabel("TP20261102")
    after = rig.drive.look()
    assert (after.label, after.volume_uuid) == ("TP20261102", before.volume_uuid)
    with rig.drive.mount(read_only=True) as volume, volume.open("file") as file:
        assert file.read() == b"kept"


def test_blank_cannot_be_mounted_or_relabelled(rig: Rig) -> None:
    """A blank cartridge has no volume to mount and no label to change."""
    rig.insert_blank()
    for verb in ("mount", "relabel"):
        with pytest.raises(NotMountable, match=r"blank|no volume"):
            use(rig, verb)


@pytest.mark.needs("moves")
def test_eject_empties_the_drive(rig: Rig) -> None:
    """After an eject the drive is empty; ejecting again changes nothing."""
    rig.insert_formatted()
    rig.drive.eject()
    assert rig.drive.look().state is MediumState.NO_MEDIUM
    rig.drive.eject()
    assert rig.drive.look().state is MediumState.NO_MEDIUM


@pytest.mark.needs("moves")
def test_load_of_an_unknown_cartridge(rig: Rig) -> None:
    """A cartridge that is not there cannot be loaded, and the one that is in stays in."""
    rig.insert_blank()
    before = rig.drive.look()
    with pytest.raises(NoMedium, match="NONE01L8"):
        rig.drive.load("NONE01L8")
    assert rig.drive.look() == before


@pytest.mark.needs("moves")
def test_load_by_label(rig: Rig) -> None:
    """The cartridge in the drive is known by its label; another label is none of it."""
    rig.insert_formatted()
    before = rig.drive.look()
    assert rig.drive.load("TP20261101").identity == before.identity
    with pytest.raises(NoMedium, match="TP20261102"):
        rig.drive.load("TP20261102")
    assert rig.drive.look() == before


@pytest.mark.parametrize("verb", ["mount", "format", "relabel", "eject"])
def test_a_mounted_drive_is_busy(rig: Rig, verb: str) -> None:
    """While a volume is mounted, nobody else mounts, formats, relabels or ejects it."""
    rig.insert_formatted()
    with rig.drive.mount() as volume:
        with pytest.raises(DriveBusy):
            use(rig, verb)
        assert rig.drive.look().label == "TP20261101"
        volume.create("file").close()
    assert rig.drive.look().empty is False


def test_a_mount_ends(rig: Rig) -> None:
    """A volume can be mounted again after it was unmounted, also by an error."""
    rig.insert_formatted()
    with pytest.raises(ZeroDivisionError), rig.drive.mount():
        raise ZeroDivisionError
    with rig.drive.mount():
        pass


@pytest.mark.needs("protects")
@pytest.mark.parametrize("verb", ["mount", "format", "relabel"])
def test_write_protection(rig: Rig, verb: str) -> None:
    """A write-protected cartridge says so, can be read, and is neither written, formatted nor relabelled."""
    rig.insert_formatted()
    rig.store("file", b"kept")
    rig.protect()
    before = rig.drive.look()
    assert before.write_protected == rig.tells_switch
    if rig.tells_switch or verb != "format":
        with pytest.raises(WriteProtected):
            use(rig, verb)
    else:
        assert "LTFS11095E" in rig.drive.format("TP20261102").output
    assert rig.drive.look() == before
    with rig.drive.mount(read_only=True) as volume, volume.open("file") as file:
        assert file.read() == b"kept"


@pytest.mark.needs("tells_health")
def test_health_counts(rig: Rig) -> None:
    """The condition of a cartridge counts what was written to it; an empty drive knows nothing."""
    assert rig.drive.health() == Health()
    rig.insert_formatted()
    rig.store("file", b"x" * 2_000_000)
    health = rig.drive.health()
    assert health.loads == 1
    assert health.written_bytes is not None
    assert health.written_bytes >= 1_000_000
    with rig.drive.mount(read_only=True):
        assert rig.drive.health().write_errors == 0
    assert (health.write_errors, health.read_errors, tuple(health.tape_alerts)) == (0, 0, ())


def test_what_a_drive_does_not_count(rig: Rig) -> None:
    """A drive that counts nothing makes nothing up; one that moves nothing says so."""
    rig.insert_formatted()
    if not rig.tells_health:
        assert rig.drive.health() == Health()
    if not rig.moves:
        for verb in ("load", "eject"):
            with pytest.raises(DriveError, match="cannot move"):
                use(rig, verb)
