"""The six steps on a drive of LTFS: a real worker, a real mount, stand-ins for the programs."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tape.ltfs import mounts
from tape.virtual import shelf
from tape.virtual.shelf import insert, new_cartridge
from tests.drives.rig import describe_emulated, why_no_emulation
from tests.ltfs import programs
from tests.system import System

pytestmark = pytest.mark.skipif(programs.missing() is not None, reason=str(programs.missing()))


CAPACITY = 64 * 1024 * 1024


class Ltfs(System):
    """An installation whose drive is one of LTFS."""

    device: Path


@pytest.fixture
def ltfs(short_path: Path, database_url: str, broker_url: str) -> Iterator[Ltfs]:
    """Stand-ins for the programs and a chip, with a blank cartridge in the drive."""
    hardware = short_path / "sg3"
    hardware.mkdir()
    new_cartridge(hardware, "TAPE01L8", capacity=CAPACITY)
    insert(hardware, "TAPE01L8")
    drive = {"device": str(hardware), "programs": programs.install(short_path / "bin")}
    yield from installed(short_path, database_url, broker_url, drive)


@pytest.fixture(params=["sg", "file", "itself"])
def any_ltfs(
    request: pytest.FixtureRequest, short_path: Path, database_url: str, broker_url: str
) -> Iterator[Ltfs]:
    """Stand-ins with a chip and without one, and LTFS itself where it is installed: a new cartridge is in."""
    if request.param == "sg":
        yield request.getfixturevalue("ltfs")
        return
    drive: dict[str, Any] = {"backend": "file"}
    if request.param == "file":
        new_cartridge(short_path / "sg3", "TAPE01L8", capacity=CAPACITY)
        device = short_path / "sg3" / "cartridges" / "TAPE01L8"
        drive["programs"] = programs.install(short_path / "bin")
    else:
        reason = why_no_emulation()
        if reason:
            pytest.skip(reason)
        device = short_path / "tape"
        device.mkdir()
        describe_emulated(device, 300 * 1024 * 1024)
    for found in installed(short_path, database_url, broker_url, {**drive, "device": str(device)}):
        # No chip proves that it is new: somebody has to say so, once.
        assert "--confirm tape0" in found.cli("tape", "erasable", code=4).stdout
        found.cli("tape", "erasable", "--confirm", "tape0")
        yield found


def installed(folder: Path, database_url: str, broker_url: str, drive: dict[str, Any]) -> Iterator[Ltfs]:
    limits = {"label_limit_seconds": 30, "format_limit_seconds": 60}
    drives = json.dumps({"tape0": {"driver": "ltfs", **limits, **drive}})
    found = Ltfs(folder, database_url, broker_url, TAPELINE_DRIVES=drives)
    found.device = Path(drive["device"])
    yield found
    found.close()
    for process in mounts.processes("ltfs", drive["device"]):
        process.terminate()
        process.wait(20)


def source(system: System, size: int = 3_000_000) -> Path:
    folder = system.folder / "source"
    folder.mkdir()
    (folder / "资料.txt").write_text("内容")
    (folder / "data").write_bytes(bytes(range(256)) * (size // 256))
    return folder


def story(system: System, run_id: int) -> str:
    return system.cli("runs", "show", str(run_id)).stdout


def test_the_chain_on_a_drive_of_ltfs(any_ltfs: Ltfs) -> None:
    """A blank cartridge is formatted and filled, its story told; the next run appends; a restore is whole."""
    folder = source(any_ltfs)
    any_ltfs.schedule("monthly", folder)
    any_ltfs.start("control", "tape")
    first = any_ltfs.run_schedule("monthly")
    assert any_ltfs.wait_for_state(first, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED", story(
        any_ltfs, first
    )
    told = story(any_ltfs, first)
    for line in ("Label before the format", "mkltfs", "return code 0", "Label read back", "Cartridge row"):
        assert line in told
    log = any_ltfs.log("tape").decode() + any_ltfs.log("control").decode()
    lines = [line for line in log.splitlines() if "step=format_tape" in line or "step=update_label" in line]
    # docs/drives.md shows it: pytest -rP
    sys.stdout.write("\n".join([told, *lines]))
    for what in ("Label before the format", "Label asked for", "Command", "LTFS15024I", "Label read back"):
        assert any(what in line and "run=1" in line for line in lines), what
    second = any_ltfs.run_schedule("monthly")
    run = any_ltfs.wait_for_state(second, "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", story(any_ltfs, second)
    assert "appended" in story(any_ltfs, second)
    target = any_ltfs.folder / "restored"
    any_ltfs.cli("sets", "restore", run["set_id"], "--to", str(target))
    assert (target / folder.relative_to("/") / "data").read_bytes() == (folder / "data").read_bytes()
    assert mounts.of(str(any_ltfs.device)) is None


def test_a_mount_that_a_killed_worker_left_behind(any_ltfs: Ltfs) -> None:
    """The next worker finds the volume still mounted, unmounts it, and goes on where it was sealed."""
    folder = source(any_ltfs, 12_000_000)
    any_ltfs.schedule("monthly", folder, template={"archive_bytes": 2_000_000, "compression": "none"})
    device = str(any_ltfs.device)
    any_ltfs.start("control", "tape")
    run_id = any_ltfs.run_schedule("monthly")
    mounted = any_ltfs.wait_for(lambda: mounts.of(device), "the mount")
    any_ltfs.wait_for(lambda: list(mounted.point.glob("sets/*/data-*")), "an archive on the tape")
    child = any_ltfs.child_of("tape")
    psutil.Process(child.pid).kill()
    any_ltfs.kill("tape", signal.SIGKILL)
    assert mounts.of(device) is not None
    any_ltfs.start("tape")
    run = any_ltfs.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", story(any_ltfs, run_id)
    assert "still mounted" in story(any_ltfs, run_id)
    target = any_ltfs.folder / "restored"
    any_ltfs.cli("sets", "restore", run["set_id"], "--to", str(target))
    assert (target / folder.relative_to("/") / "data").read_bytes() == (folder / "data").read_bytes()


def test_ltfs_that_ends_in_the_middle(any_ltfs: Ltfs) -> None:
    """The run goes on from what was sealed, by itself, once; nothing is held against the tape."""
    folder = source(any_ltfs, 40_000_000)
    any_ltfs.schedule("monthly", folder, template={"archive_bytes": 2_000_000, "compression": "none"})
    device = str(any_ltfs.device)
    any_ltfs.start("control", "tape")
    run_id = any_ltfs.run_schedule("monthly")
    mounted = any_ltfs.wait_for(lambda: mounts.of(device), "the mount")
    any_ltfs.wait_for(
        lambda: list(mounted.point.glob("sets/*/data-000002.tar")), "a second archive on the tape"
    )
    for process in mounts.processes("ltfs", device):
        process.kill()
    run = any_ltfs.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", story(any_ltfs, run_id)
    assert "LTFS has ended in the middle" in story(any_ltfs, run_id)
    assert "Trying once more" in story(any_ltfs, run_id)
    [tape] = any_ltfs.json("tape", "list")
    assert tape["state"] == "active"
    target = any_ltfs.folder / "restored"
    any_ltfs.cli("sets", "restore", run["set_id"], "--to", str(target))
    assert (target / folder.relative_to("/") / "data").read_bytes() == (folder / "data").read_bytes()


def test_a_deep_recovery_is_asked_for_twice(ltfs: Ltfs) -> None:
    """LTFS's own advice is what the run and the check say to do; without a confirmation nothing begins."""
    hardware = ltfs.folder / "sg3"
    ltfs.schedule("monthly", source(ltfs))
    ltfs.start("control", "tape")
    assert ltfs.wait_for_state(ltfs.run_schedule("monthly"), "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    with shelf.edit(hardware, "TAPE01L8") as record:
        assert record.volume
        record.volume.end_lost = True
    run_id = ltfs.run_schedule("monthly")
    assert ltfs.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "FAILED"
    told = story(ltfs, run_id)
    assert "LTFS17146E" in told
    assert "--deep" in told
    assert "--deep" in ltfs.cli("drive", "check", code=4).stderr
    label = ltfs.json("tape", "list")[0]["label"]
    assert f"--confirm {label}" in ltfs.cli("drive", "check", "--deep", code=4).stdout
    assert label in ltfs.cli("drive", "check", "--deep", "--confirm", "X", code=2).stderr
    drives = json.loads(ltfs.environment["TAPELINE_DRIVES"])
    short = {"tape0": drives["tape0"] | {"deep_check_limit_seconds": 0.01}}
    ltfs.environment["TAPELINE_DRIVES"] = json.dumps(short)
    assert "0.01 s" in ltfs.cli("drive", "check", "--deep", "--confirm", label, code=1).stderr
    ltfs.environment["TAPELINE_DRIVES"] = json.dumps(drives)
    assert "LTFS17138I" in ltfs.cli("drive", "check", "--deep", "--confirm", label).stdout
    ltfs.cli("runs", "retry", str(run_id))
    assert ltfs.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"


def test_a_drive_on_another_host(ltfs: Ltfs, short_path: Path) -> None:
    """A control host that knows nothing of a drive sends to the queue that its worker registered."""
    here = ltfs.environment
    ltfs.environment = {**here, "TAPELINE_DEFAULT_DRIVE": "elsewhere"}
    ltfs.start("tape.tape0")
    ltfs.environment = {**here, "TAPELINE_DRIVES": "{}", "TAPELINE_STATE_DIR": str(short_path / "control")}
    ltfs.schedule("monthly", source(ltfs))
    ltfs.start("control")
    run_id = ltfs.run_schedule("monthly")
    assert ltfs.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED", story(ltfs, run_id)
    [drive] = ltfs.json("drive", "list")
    assert (drive["name"], drive["driver"], drive["queue"]) == ("tape0", "ltfs", "tape.tape0")


def test_doctor_on_a_drive_host(ltfs: Ltfs) -> None:
    """Programs, device, mounting, index and tape of the drive, each with what to do where it fails."""
    good = {finding["check"]: finding for finding in ltfs.json("doctor")}
    for check in (
        "Programs of tape0",
        "Device of tape0",
        "Mounting for tape0",
        "Index of tape0",
        "Drive tape0",
    ):
        assert good[check]["ok"], good[check]
    drive = json.loads(ltfs.environment["TAPELINE_DRIVES"])["tape0"]
    drive |= {"device": "/dev/none", "sync_type": "unmount", "programs": {"mkltfs": "/none/mkltfs"}}
    ltfs.environment["TAPELINE_DRIVES"] = json.dumps({"tape0": drive})
    bad = {finding["check"]: finding for finding in ltfs.json("doctor")}
    for check in ("Programs of tape0", "Device of tape0", "Index of tape0", "Drive tape0"):
        assert not bad[check]["ok"]
        assert bad[check]["remedy"]
    assert "mkltfs" in bad["Programs of tape0"]["detail"]
