"""Writing to and reading from a volume."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.errors import TapelineError
from tape.drive import TapeFile, Volume
from tape.errors import DriveError, TapeFull, WriteProtected
from tests.drives.rig import Rig


def test_written_files_are_read_back(rig: Rig) -> None:
    """A file is read back as it was written, in this mount and in the next one."""
    rig.insert_formatted()
    data = os.urandom(300_000)
    with rig.drive.mount() as volume:
        file = volume.create("sets/1/data")
        file.write(data[:100_000])
        file.write(memoryview(bytearray(data[100_000:])))
        file.close()
        file.close()
        with volume.open("sets/1/data") as reader:
            assert reader.read() == data
    with rig.drive.mount(read_only=True) as volume, volume.open("sets/1/data") as reader:
        reader.seek(200_000)
        assert reader.read(1000) == data[200_000:201_000]
        assert volume.size("sets/1/data") == 300_000


def test_names_and_sizes(rig: Rig) -> None:
    """A folder's names come sorted; what is not there has no names and no size, and cannot be opened."""
    rig.insert_formatted()
    with rig.drive.mount() as volume:
        for name in ("b", "a", "folder/c", "资料.tar"):
            volume.create(name).close()
        assert volume.names() == ["a", "b", "folder", "资料.tar"]
        assert volume.names("folder") == ["c"]
        assert volume.names("nothing") == []
        assert volume.size("a") == 0
        assert (volume.size("nothing"), volume.size("folder")) == (None, None)
        with pytest.raises(FileNotFoundError):
            volume.open("nothing")


def test_a_name_is_given_once(rig: Rig) -> None:
    """A name that is taken is not given again, and its file stays as it is."""
    rig.insert_formatted()
    rig.store("file", b"first")
    with rig.drive.mount() as volume:
        with pytest.raises(FileExistsError):
            volume.create("file")
        assert volume.size("file") == 5


def test_what_is_removed_is_gone(rig: Rig) -> None:
    """A file, sealed before or not, and then its folder; its name is free again. What is not there is no
    error, and a folder with something in it stays."""
    rig.insert_formatted()
    rig.store("set/sealed", b"first")
    with rig.drive.mount() as volume:
        volume.create("set/new").close()
        with pytest.raises(DriveError):
            volume.remove("set")
        for name in ("set/new", "set/sealed", "set/nothing"):
            volume.remove(name)
        volume.create("set/sealed").close()
        volume.seal()
        volume.remove("set/sealed")
        volume.remove("set")
        volume.create("other").close()
    with rig.drive.mount(read_only=True) as volume:
        assert volume.names() == ["other"]
        with pytest.raises(WriteProtected):
            volume.remove("other")


@pytest.mark.parametrize("name", ["../outside", "/absolute", "a/../../outside", "", "nul\0"])
def test_names_stay_on_the_volume(rig: Rig, name: str) -> None:
    """A name that leads out of the volume is refused."""
    rig.insert_formatted()
    with rig.drive.mount() as volume:
        for verb in (volume.create, volume.open, volume.size):
            with pytest.raises(DriveError):
                verb(name)


def test_medium_and_root(rig: Rig) -> None:
    """A volume knows what was in the drive when it was mounted, and shows itself as a folder."""
    rig.insert_formatted()
    rig.store("folder/file", b"plain")
    with rig.drive.mount(read_only=True) as volume:
        assert volume.medium.identity == rig.drive.look().identity
        assert (volume.root / "folder" / "file").read_bytes() == b"plain"


def test_read_only_mount(rig: Rig) -> None:
    """A volume mounted read-only refuses to be written, and sealing it changes nothing."""
    rig.insert_formatted()
    before = rig.drive.look()
    with rig.drive.mount(read_only=True) as volume:
        with pytest.raises(WriteProtected):
            volume.create("file")
        volume.seal()
    assert rig.drive.look() == before


def test_an_unmounted_volume_is_not_written(rig: Rig) -> None:
    """A volume that is no longer mounted is neither written nor sealed."""
    rig.insert_formatted()
    with rig.drive.mount() as volume:
        pass
    with pytest.raises(TapelineError, match="no longer mounted"):
        volume.create("file")
    with pytest.raises(TapelineError, match="no longer mounted"):
        volume.seal()


def test_room_shrinks(rig: Rig) -> None:
    """What is written takes room for good: at once, or where it is buffered, once it is on the tape."""
    rig.insert_formatted()
    with rig.drive.mount() as volume:
        before = volume.free()
        file = volume.create("file")
        file.write(b"x" * 100_000)
        assert not rig.counts_at_once or volume.free() <= before - 100_000
        file.close()
        volume.seal()
        left = volume.free()
        assert left <= before - 100_000
    assert abs((rig.drive.look().free or 0) - left) < rig.grain


def test_the_tape_gets_full(rig: Rig) -> None:
    """At the end of the tape the write fails, the part that fitted stays, and earlier files are whole."""
    rig.insert_formatted()
    rig.store("first", b"x" * 1000)
    with rig.drive.mount() as volume:
        file = volume.create("second")
        with pytest.raises(TapeFull) as full:
            fill(file, rig.capacity)
        assert full.value.remedy
        file.close()
        assert volume.free() <= rig.rest_when_full
        assert 0 < (volume.size("second") or 0) < rig.capacity
        with volume.open("first") as reader:
            assert reader.read() == b"x" * 1000
        volume.seal()
    with rig.drive.mount() as volume:
        assert volume.names() == ["first", "second"]
        # It may be buffered: then the end of the file says it.
        with pytest.raises(TapeFull):
            write_whole(volume, "third", b"z" * 100_000)


def write_whole(volume: Volume, name: str, data: bytes) -> None:
    file = volume.create(name)
    file.write(data)
    file.close()


def fill(file: TapeFile, capacity: int) -> None:
    for _ in range(capacity // 100_000 + 1):
        file.write(b"y" * 100_000)


def test_a_file_left_open_counts_as_it_is(rig: Rig) -> None:
    """An unmount ends the files that were left open."""
    rig.insert_formatted()
    with rig.drive.mount() as volume:
        volume.create("file").write(b"half")
    with rig.drive.mount(read_only=True) as volume:
        assert volume.size("file") == 4


def test_files_between_seals(rig: Rig) -> None:
    """Files that were written between seals, and after the last one, are all there after an unmount."""
    rig.insert_formatted()
    with rig.drive.mount() as volume:
        write_all(volume, [b"one", b"", b"three"], [True, False, True])
    check_all(rig, [b"one", b"", b"three"])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chunks=st.lists(st.binary(max_size=5000), max_size=8),
    sealed=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_any_files_in_any_order_of_seals(virtual: Rig, chunks: list[bytes], sealed: list[bool]) -> None:
    """Whatever is written and whenever it is sealed, after an unmount every file is there and whole."""
    virtual.insert_formatted()
    with virtual.drive.mount() as volume:
        write_all(volume, chunks, sealed)
    check_all(virtual, chunks)


def write_all(volume: Volume, chunks: list[bytes], sealed: list[bool]) -> None:
    for number, chunk in enumerate(chunks):
        file = volume.create(f"folder/{number}")
        file.write(chunk)
        file.close()
        if sealed[number]:
            volume.seal()


def check_all(rig: Rig, chunks: list[bytes]) -> None:
    with rig.drive.mount(read_only=True) as volume:
        for number, chunk in enumerate(chunks):
            with volume.open(f"folder/{number}") as reader:
                assert reader.read() == chunk
