"""The kinds of snapshots: what they would make, what they start, and how they read the answers."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.source.place import Mount, SourcePlace
from celery_app import settings
from celery_app.host.snapshots import kinds
from celery_app.host.snapshots.btrfs import Btrfs
from celery_app.host.snapshots.kind import (
    PlannedSnapshot,
    Programs,
    Snapshot,
    SnapshotFailed,
    SnapshotLost,
    SnapshotUnusable,
    is_of,
    is_ours,
    named,
)
from celery_app.host.snapshots.lvm import Lvm
from celery_app.host.snapshots.vss import Vss
from celery_app.host.snapshots.zfs import Zfs
from policy.errors import TapelineError
from tests.mounts import mounted, needs_fuse
from tests.snapshots import Programs as StandIns

if sys.platform == "win32":
    pytest.skip("the stand-ins are scripts with a shebang", allow_module_level=True)

NAME = named("0123abcd", 7, 1)
PROGRAMS = Programs()


def at(path: bytes, point: bytes, kind: str, source: str, root: bytes = b"/") -> SourcePlace:
    return SourcePlace(path, Mount(point, kind, source, (8, 1), "rw", root), (), None)


FILES = at(b"/srv/files/data", b"/srv/files", "xfs", "/dev/mapper/vg0-files")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIns]:
    made = StandIns(tmp_path, tmp_path, "lvs", "lvcreate", "lvremove", "mount", "zfs", "umount")
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.setenv("TAPELINE_STATE_DIR", str(tmp_path / "state"))
    settings.SOURCE.forget()
    yield made
    settings.SOURCE.forget()


@pytest.mark.parametrize(
    ("wanted", "size"), [(None, 8388608), ("20%", 8388608), ("100%", 41943040), ("50MB", 50_000_000)]
)
def test_how_much_a_snapshot_of_lvm_keeps(programs: StandIns, wanted: str | None, size: int) -> None:
    options = {"snapshot": "lvm", **({"snapshot_size": wanted} if wanted else {})}
    plan = Lvm().plan("/srv/files/data", FILES, options)
    assert plan == PlannedSnapshot(
        "/srv/files/data", "lvm", "/srv/files/data", "vg0/files", "data", "/srv/files", size
    )


def test_a_folder_of_a_volume_that_is_mounted_elsewhere(programs: StandIns) -> None:
    """A bind mount shows a folder of the volume: the whole volume is mounted for its snapshot."""
    bound = at(b"/srv/data/a", b"/srv/data", "ext4", "/dev/mapper/vg0-files", b"/deep/data")
    assert Lvm().plan("/srv/data/a", bound, {}).inside == "deep/data/a"


def test_a_group_without_space(programs: StandIns) -> None:
    programs.has(free="8000000")
    with pytest.raises(SnapshotUnusable, match=r"vg0 has 8\.0 MB free, and its snapshot needs 8\.4 MB"):
        Lvm().plan("/srv/files", FILES, {})


@pytest.mark.parametrize(
    ("kind", "where", "words"),
    [
        (Btrfs(), FILES, "there is no program btrfs|lies on xfs: there is no snapshot of kind btrfs"),
        (Zfs(), FILES, "lies on xfs: there is no snapshot of kind zfs"),
        (Zfs(), SourcePlace(b"/srv", None, (), None), "lies on -: there is no snapshot"),
        (Vss(), FILES, "lies on xfs: there is no snapshot of kind vss"),
        (Vss(), at(b"/C:/data", b"/", "-", "-"), "there is no program powershell.exe"),
        (Lvm(), SourcePlace(b"/srv", None, (), None), "lies on -: there is no snapshot of kind lvm"),
        (Lvm(), at(b"/srv/\xff", b"/", "ext4", "/dev/sda1"), "is not in UTF-8"),
    ],
)
def test_a_source_that_has_no_such_snapshot(
    programs: StandIns, kind: Any, where: SourcePlace, words: str
) -> None:
    with pytest.raises(TapelineError, match=words) as caught:
        kind.plan("/srv/files", where, {})
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    assert programs.calls == []


def test_a_subvolume_whose_root_is_not_mounted(programs: StandIns) -> None:
    (programs.bin / "btrfs").symlink_to(programs.bin / "lvs")
    with pytest.raises(SnapshotUnusable, match="the root of its subvolume is not mounted at /srv or below"):
        Btrfs().plan("/srv/files", at(b"/srv/files", b"/srv", "btrfs", "/dev/sdb"), {})


def lvm_snapshot() -> Snapshot:
    return Snapshot(
        NAME, PlannedSnapshot("/srv/files", "lvm", "/srv/files", "vg0/files", "", "/srv/files", 8388608)
    )


@pytest.mark.parametrize("state", ["gone", "full", "invalid", "unmounted"])
def test_a_snapshot_of_lvm_that_is_not_whole(programs: StandIns, state: str) -> None:
    if state != "gone":
        (programs.base / "copies" / NAME).mkdir(parents=True)
    is_full = state in ("full", "invalid")
    if is_full:
        programs.flag(state).touch()
    with pytest.raises(SnapshotLost, match="is full" if is_full else "is gone"):
        Lvm().whole(lvm_snapshot(), PROGRAMS, is_mounted=not is_full)


def test_a_volume_of_our_name_and_another_origin(programs: StandIns) -> None:
    """Somebody has made something else of it: it is not removed."""
    (programs.base / "copies" / NAME).mkdir(parents=True)
    programs.has(origin="other")
    with pytest.raises(SnapshotFailed, match="is not a snapshot that this run has made"):
        Lvm().remove(lvm_snapshot(), PROGRAMS)
    assert programs.calls == []
    programs.has(origin="files")
    assert Lvm().remove(lvm_snapshot(), PROGRAMS)
    assert not Lvm().remove(lvm_snapshot(), PROGRAMS), "there is none any more"


def test_zfs(programs: StandIns) -> None:
    """Its life: read in the dataset's hidden folder, found by its name, destroyed once."""
    plan = Zfs().plan("/tank/mail/in", at(b"/tank/mail/in", b"/tank/mail", "zfs", "tank/mail"), {})
    assert (plan.origin, plan.inside) == ("tank/mail", "in")
    snapshot = Snapshot(NAME, plan)
    with pytest.raises(SnapshotLost, match="is gone"):
        Zfs().open(snapshot, PROGRAMS)
    assert not Zfs().remove(snapshot, PROGRAMS)
    Zfs().make(snapshot, PROGRAMS)
    assert Zfs().open(snapshot, PROGRAMS) == f"/tank/mail/.zfs/snapshot/{NAME}"
    assert Zfs().remove(snapshot, PROGRAMS)
    full = f"tank/mail@{NAME}"
    assert programs.calls == [f"zfs snapshot {full}", f"zfs destroy {full}"]


def test_btrfs_removes_nothing_but_a_subvolume_of_ours(programs: StandIns, tmp_path: Path) -> None:
    (tmp_path / f".{NAME}").mkdir()
    snapshot = Snapshot(NAME, PlannedSnapshot("/a", "btrfs", "/a", str(tmp_path), "", str(tmp_path)))
    with pytest.raises(SnapshotFailed, match="is not a snapshot that this run has made"):
        Btrfs().remove(snapshot, PROGRAMS)
    assert (tmp_path / f".{NAME}").is_dir()


SHADOW = "{3F2504E0-4F89-41D3-9A0C-0305E82C3301}"
DEVICE = "\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy12"
WINDOWS = """#!{python}
import sys
from pathlib import Path
base, script = Path({base!r}), sys.argv[-1]
with (base / "scripts").open("a") as file:
    file.write(script)
if "mklink" in sys.argv:
    Path(sys.argv[-2]).symlink_to(base)
elif "-MethodName Create" in script:
    if (base / "refuses").exists():
        print("Win32_ShadowCopy.Create: 12")
        sys.exit(1)
    name = script.partition("-LiteralPath '")[2].partition("'")[0]
    Path(name).write_text({shadow!r} + "\\r\\n")
    (base / "exists").touch()
elif "Remove-CimInstance" in script:
    (base / "exists").unlink()
else:
    print({device!r} if (base / "exists").exists() else "none")
"""


@pytest.fixture
def windows(programs: StandIns) -> Path:
    script = programs.base / "windows.py"
    script.write_text(
        WINDOWS.format(python=sys.executable, base=str(programs.base), shadow=SHADOW, device=DEVICE)
    )
    script.chmod(0o755)
    for name in ("powershell.exe", "cmd.exe"):
        (programs.bin / name).symlink_to(script)
    return programs.base


def test_a_shadow_copy(windows: Path) -> None:
    """Its life, with a stand-in that answers as the scripts of PowerShell do."""
    plan = Vss().plan("C:\\data", at(b"/C:/data", b"/C:/", "-", "-"), {})
    assert (plan.origin, plan.inside) == ("C:\\", "data")
    snapshot = Snapshot(NAME, plan)
    assert not Vss().remove(snapshot, PROGRAMS), "it was never made"
    Vss().make(snapshot, PROGRAMS)
    assert Vss().open(snapshot, PROGRAMS).endswith(f"/snapshots/{NAME}")
    assert snapshot.folder.is_symlink()
    Vss().whole(snapshot, PROGRAMS)
    (windows / "exists").unlink()
    with pytest.raises(SnapshotLost, match="is gone"):
        Vss().whole(snapshot, PROGRAMS)
    (windows / "exists").touch()
    assert Vss().remove(snapshot, PROGRAMS)
    assert not os.path.lexists(snapshot.folder)
    scripts = (windows / "scripts").read_text()
    assert "Volume = 'C:\\'; Context = 'ClientAccessible'" in scripts
    assert f"ID = '{SHADOW}'\" | Remove-CimInstance" in scripts


def test_a_shadow_copy_that_windows_refuses(windows: Path) -> None:
    (windows / "refuses").touch()
    snapshot = Snapshot(NAME, PlannedSnapshot("C:\\", "vss", "/C:", "C:\\", "", "C:\\"))
    with pytest.raises(SnapshotFailed, match=r"Win32_ShadowCopy\.Create: 12"):
        Vss().make(snapshot, PROGRAMS)
    assert not Vss().remove(snapshot, PROGRAMS)


def test_a_file_without_the_name_of_a_shadow_copy(windows: Path) -> None:
    """It would become part of a script."""
    snapshot = Snapshot(NAME, PlannedSnapshot("C:\\", "vss", "/C:", "C:\\", "", "C:\\"))
    snapshot.folder.parent.mkdir(parents=True)
    snapshot.folder.with_suffix(".id").write_text("' | Remove-CimInstance #")
    with pytest.raises(SnapshotFailed, match="has no name of a shadow copy"):
        Vss().remove(snapshot, PROGRAMS)


@pytest.mark.parametrize(
    "name",
    [
        "photos",
        "tapeline",
        "tapeline-0123abcd-7",
        "tapeline-0123abcd-7-1/../x",
        "tapeline-0123ABCD-7-1",
        "",
        f"{NAME}\n",
    ],
)
def test_a_name_that_is_not_ours(name: str) -> None:
    assert not is_ours(name)
    with pytest.raises(SnapshotFailed):
        Snapshot.from_json({**lvm_snapshot().to_json(), "name": name})


def test_the_name_of_another_run_or_of_another_database() -> None:
    assert is_of(NAME, "0123abcd", 7)
    assert not is_of(NAME, "0123abcd", 71)
    assert not is_of(named("0123abcd", 71, 1), "0123abcd", 7)
    assert not is_of(NAME, "0123abce", 7)


def test_a_row_is_read_as_it_was_written() -> None:
    assert Snapshot.from_json({**lvm_snapshot().to_json(), "stuck": True}) == lvm_snapshot()


@needs_fuse
def test_a_source_that_cannot_be_seen_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not there, and one that never answers: the wait for all of them ends. One that is there is
    judged, also after one that is not."""
    monkeypatch.setattr(Zfs, "check", lambda _self: None)
    snapshot = {"snapshot": "zfs"}
    kinds.check_places({str(tmp_path / "none"): snapshot})
    with pytest.raises(SnapshotUnusable, match="there is no snapshot of kind zfs"):
        kinds.check_places({str(tmp_path / "none"): snapshot, str(tmp_path): snapshot})
    monkeypatch.setattr(kinds, "LOOK_SECONDS", 0.5)
    with mounted(tmp_path, "stat") as point:
        began = time.monotonic()
        kinds.check_places({str(point / "hangs"): snapshot})
        assert time.monotonic() - began < 30


def test_the_programs_of_lvm_answer_only_root(
    programs: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For anybody else their complaint says nothing about the source."""
    programs.has(is_volume=False)
    wanted = {str(tmp_path): {"snapshot": "lvm"}}
    with pytest.raises(SnapshotUnusable):
        kinds.check_places(wanted)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    kinds.check_places(wanted)
