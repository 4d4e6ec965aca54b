"""What is backed up comes back as it was, whatever it is; also with plain tar and zstd."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.backup.rig import Rig

FRAME = 4096

names = st.binary(min_size=1, max_size=255).map(
    lambda raw: raw.replace(b"\0", b"0").replace(b"/", b"-")
).filter(lambda raw: raw not in (b".", b".."))  # fmt: skip
borders = st.sampled_from([0, 1, 511, 512, 513, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, (1 << 20) + 1])
contents = st.tuples(st.binary(min_size=1, max_size=64), borders).map(
    lambda made: (made[0] * (made[1] // len(made[0]) + 1))[: made[1]]
)
times = st.integers(min_value=-(1 << 31) * 10**9, max_value=(1 << 33) * 10**9)
nodes = st.one_of(
    st.tuples(st.just("file"), contents, st.sampled_from([0o600, 0o644, 0o755, 0o444, 0o2755]), times),
    st.tuples(st.just("sparse"), st.lists(st.integers(0, 40), max_size=4), st.integers(1, 50), times),
    st.tuples(st.just("symlink"), st.binary(min_size=1, max_size=300).filter(lambda raw: 0 not in raw)),
    st.tuples(st.just("hardlink")),
    st.tuples(st.just("fifo")),
)
trees = st.recursive(
    nodes, lambda children: st.dictionaries(names, children, max_size=6), max_leaves=20
).filter(lambda made: isinstance(made, dict))  # fmt: skip


def grow(folder: bytes, tree: dict[bytes, Any], files: list[bytes]) -> None:
    """Make a tree; hard links go to the file made last."""
    for name, node in tree.items():
        path = folder + b"/" + name
        if isinstance(node, dict):
            os.mkdir(path)  # noqa: PTH102 - a Path cannot hold bytes
            grow(path, node, files)
            os.utime(path, ns=(0, 1_234_567_890_123_456_789))
        elif node[0] == "symlink":
            os.symlink(node[1], path)  # noqa: PTH211 - as above
        elif node[0] == "fifo":
            os.mkfifo(path)
        elif node[0] == "hardlink" and files:
            os.link(files[-1], path)
        elif node[0] in ("file", "sparse"):
            make_file(path, node)
            files.append(path)


def make_file(path: bytes, node: tuple[Any, ...]) -> None:
    with open(path, "wb") as file:  # noqa: PTH123 - a Path cannot hold bytes
        if node[0] == "file":
            file.write(node[1])
        else:
            for block in node[1]:
                file.seek(block * 8192)
                file.write(b"data" * 1024)
            file.truncate(node[2] * 8192 + 77)
    os.chmod(path, node[2] if node[0] == "file" else 0o640)  # noqa: PTH101 - as above
    os.utime(path, ns=(0, node[3]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tree=trees,
    compression=st.sampled_from(["zstd", "none"]),
    archive_bytes=st.sampled_from([70_000, 3 * FRAME, 1 << 30]),
)
def test_any_tree_comes_back_as_it_was(
    new_rig: Callable[[], Any], tree: dict[bytes, Any], compression: str, archive_bytes: int
) -> None:
    """Names of any bytes, sizes around the borders of frames, links, holes, times: nothing is lost."""
    rig = new_rig()
    grow(os.fsencode(rig.source), tree, [])
    summary = rig.back_up(compression=compression, archive_bytes=archive_bytes, frame_bytes=FRAME)
    report = rig.restore()
    assert rig.differences() == []
    assert (report.failures, report.incomplete, rig.log.warnings) == ([], [], [])
    assert (summary.files, summary.size) == rig.log.plan == rig.log.steps[-1]
    assert (report.files, report.size) == rig.log.plan


def sample(folder: Path) -> None:
    """Some of everything."""
    grow(
        os.fsencode(folder),
        {
            b"plain": ("file", b"x" * 5000, 0o644, 1_000_000_000_123_456_789),
            "中文名字".encode(): ("file", b"", 0o600, 10**18),
            b"bad \xff\n": ("file", b"y" * FRAME, 0o755, 1),
            b"n" * 255: ("file", b"z", 0o644, 7),
            b"deep": {b"a" * 120: {b"b" * 120: ("file", b"deep", 0o644, 1_500_000_001)}},
            b"holes": ("sparse", [5, 20, 21], 100, 10**18 + 1),
            b"hole alone": ("sparse", [], 100, 10**18 + 1),
            b"link": ("symlink", b"../\xfe" + b"t" * 200),
            b"pipe": ("fifo",),
            b"zz hard": ("hardlink",),
        },
        [],
    )
    os.utime(folder, ns=(0, 999_999_999_999_999_999))


def system_tools() -> None:
    missing = [tool for tool in ("tar", "zstd", "bash", "sha256sum") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)}")


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-ec", command], cwd=folder, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    ("compression", "archive_bytes"), [("zstd", 1 << 30), ("zstd", 9000), ("none", 9000)]
)
def test_the_readme_restores_a_set_with_tar_and_zstd(rig: Any, compression: str, archive_bytes: int) -> None:
    """The command that stands on the tape gives back everything, metadata included, without a word."""
    system_tools()
    sample(rig.source)
    summary = rig.back_up(compression=compression, archive_bytes=archive_bytes, frame_bytes=FRAME)
    rig.target.mkdir()
    archives = " ".join(archive.name for archive in summary.archives)
    found = re.search(r"(zstd -dc) data.*\.\.\. \|\n *(tar -xipf .*) -C /restore/here", _readme(rig))
    assert found is not None
    unpack = found[1] if compression == "zstd" else "cat"
    done = shell(f"{unpack} {archives} | {found[2]} -C {rig.target}", rig.file(""))
    assert (done.returncode, done.stderr) == (0, b"")
    assert rig.differences() == []


def _readme(rig: Any) -> str:
    return str((rig.volume.root / "README.txt").read_text())


def test_the_sums_of_the_archives_are_those_of_sha256sum(rig: Any) -> None:
    """Size and SHA-256 of each archive are those of its file on the volume."""
    system_tools()
    sample(rig.source)
    for archive in rig.back_up(archive_bytes=9000, frame_bytes=FRAME).archives:
        told = shell(f"sha256sum {archive.name}; zstd -tq {archive.name}", rig.file(""))
        assert told.stdout.split()[0].decode() == archive.sha256
        assert (told.returncode, rig.file(archive.name).stat().st_size) == (0, archive.bytes)


def test_a_frame_alone_holds_its_members(rig: Any) -> None:
    """From the offset of a frame, plain zstd and tar read the member at its place."""
    system_tools()
    for number in range(20):
        (rig.source / f"f{number:02}").write_bytes(bytes([number]) * 3000)
    rig.back_up(frame_bytes=8192)
    entry = rig.entries()["f13"]
    place = entry.place
    assert place.frame > 0
    command = (
        f"tail -c +{place.frame + 1} data-000001.tar.zst | zstd -dc | tail -c +{place.skip + 1}"
        f" | tar -xOf - --occurrence=1 {entry.path[1:]} | cat"
    )
    assert shell(command, rig.file("")).stdout == bytes([13]) * 3000
    command = (
        f"zstd -dc data-000001.tar.zst | tail -c +{place.offset + place.head + 1} | head -c {place.length}"
    )
    got = subprocess.run(["bash", "-c", command], cwd=rig.file(""), capture_output=True, check=True)
    assert got.stdout == bytes([13]) * 3000


def test_extended_attributes_come_back(rig: Any) -> None:
    """Attributes with any bytes in their values, and signs that tar has to escape in their names."""
    system_tools()
    file = rig.source / "file"
    file.write_text("x")
    try:
        os.setxattr(file, "user.a=b%41", b"\0\xff=\n")
    except OSError as error:
        pytest.skip(f"this file system has no extended attributes: {error}")
    os.setxattr(rig.source, "user.文", b"folder")
    rig.back_up()
    assert rig.restore().incomplete == []
    assert os.getxattr(rig.restored("file"), "user.a=b%41") == b"\0\xff=\n"
    assert rig.differences() == []
    shutil.rmtree(rig.target)
    rig.target.mkdir()
    shell(f"zstd -dc data-*.zst | tar -xpf - --xattrs -C {rig.target}", rig.file(""))
    assert rig.differences() == []


def test_a_hard_link_across_archives_is_one_file(rig: Any) -> None:
    """A link whose first name lies in an earlier archive is the same file after a restore."""
    (rig.source / "a").write_bytes(os.urandom(9000))
    (rig.source / "m").write_bytes(os.urandom(9000))
    os.link(rig.source / "a", rig.source / "z")
    summary = rig.back_up(archive_bytes=10_000)
    assert len(summary.archives) > 2
    assert summary.size == 18_000
    assert rig.restore().failures == []
    assert rig.restored("a").samefile(rig.restored("z"))
    assert rig.differences() == []


def test_a_hole_of_a_terabyte_costs_nothing(rig: Any) -> None:
    """A sparse file is kept as its data, and restored with its holes."""
    with (rig.source / "image").open("wb") as file:
        file.seek(1 << 40)
        file.write(b"end")
    summary = rig.back_up(compression="none")
    assert summary.written < 100_000
    rig.restore()
    assert rig.restored("image").stat().st_size == (1 << 40) + 3
    assert rig.restored("image").stat().st_blocks * 512 < 1 << 20


def test_access_lists_come_back(rig: Rig) -> None:
    """POSIX ACLs are extended attributes of the system: who may read a file is kept with it, also what new
    files in a folder get."""
    file, folder = rig.source / "file", rig.source / "folder"
    file.write_text("for one more user")
    folder.mkdir()
    # linux/posix_acl_xattr.h: version 2; tag, permissions and id of owner, user 1234, group, mask and others.
    entries = [(0x01, 6, -1), (0x02, 4, 1234), (0x04, 0, -1), (0x10, 4, -1), (0x20, 0, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    names = {file: "system.posix_acl_access", folder: "system.posix_acl_default"}
    try:
        for path, name in names.items():
            os.setxattr(path, name, acl)
    except OSError:
        pytest.skip("this file system has no access lists")
    rig.back_up()
    rig.restore()
    for path, name in names.items():
        assert os.getxattr(rig.restored(path.name), name) == acl
    assert not rig.log.warnings
