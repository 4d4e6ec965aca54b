"""Stand-ins for the programs of LVM and ZFS whose snapshots are real copies; a real btrfs on a loop device.

The kernel of many machines has no device mapper and no ZFS. The stand-ins print what the real programs print.
The report of ``lvs`` is that of LVM 2.03.16, captured of volumes on a loop device that were never activated.
The attributes of active and of full snapshots follow lvs(8), the errors of ``zfs`` its source (OpenZFS 2.1).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backup.source.place import whereabouts

SCRIPT = """#!{python}
import json, os, shutil, subprocess, sys, time
from pathlib import Path
program, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
base = Path({base!r})
facts = json.loads((base / "facts.json").read_text())
with (base / "calls").open("a") as file:
    file.write(" ".join([program, *arguments]) + "\\n")

def copy(name, inside):
    target = base / "copies" / name / inside
    target.parent.mkdir(parents=True)
    subprocess.run(["cp", "-a", "--", facts["source"], str(target)], check=True)
    hold("made")
    if (base / "changes").exists():
        # What programs do to the source while it is backed up.
        for path in sorted(Path(facts["source"]).rglob("*")):
            if path.is_file() and not path.is_symlink():
                path.write_text("overwritten meanwhile")
        (Path(facts["source"]) / "new").write_text("made meanwhile")

def hold(moment):
    while (base / ("hold-" + moment)).exists():
        (base / ("at-" + moment)).touch()
        time.sleep(0.05)

def row(name, attributes, origin="", used=""):
    return {{"vg_name": "vg0", "lv_name": name, "lv_attr": attributes, "lv_size": "41943040",
             "vg_free": facts["free"], "origin": origin, "pool_lv": "", "data_percent": used}}

if program == "lvs":
    print("  WARNING: Device for PV was not found.", file=sys.stderr)
    found = []
    select = [each for each in arguments if each.startswith("lv_name=")]
    if select:
        name = select[0].removeprefix("lv_name=")
        if (base / "copies" / name).exists():
            full = (base / "full").exists() or (base / "invalid").exists()
            attributes = "swi-I-s---" if full else "swi-aos---"
            used = "" if (base / "invalid").exists() else "100.00" if full else "1.25"
            found = [row(name, attributes, facts["origin"], used)]
    elif facts["is_volume"]:
        found = [row("files", "owi-aos---")]
    else:
        print('  Volume group "%s" not found' % arguments[-1], file=sys.stderr)
        print("  Cannot process volume group %s" % arguments[-1], file=sys.stderr)
    print(json.dumps({{"report": [{{"lv": found}}]}}))
    sys.exit(0 if found or select else 5)
if program == "lvcreate":
    if (base / "refuses").exists():
        print('  Volume group "vg0" has insufficient free space (0 extents): 3 required.', file=sys.stderr)
        sys.exit(5)
    copy(arguments[arguments.index("--name") + 1], facts["inside"])
    print('  Logical volume "%s" created.' % arguments[arguments.index("--name") + 1])
if program == "mount":
    name = arguments[-2].rpartition("/")[2]
    sys.exit(subprocess.run(["/bin/mount", "--bind", str(base / "copies" / name), arguments[-1]]).returncode)
if program == "lvremove":
    hold("removed")
    if (base / "busy").exists():
        print("  Logical volume %s contains a filesystem in use." % arguments[-1], file=sys.stderr)
        sys.exit(5)
    shutil.rmtree(base / "copies" / arguments[-1].rpartition("/")[2])
if program == "zfs":
    full = arguments[-1]
    place = base / "zfs" / full.partition("@")[2]
    if arguments[0] == "snapshot":
        place.mkdir(parents=True)
    elif not place.exists():
        print("cannot open '%s': dataset does not exist" % full, file=sys.stderr)
        sys.exit(1)
    elif arguments[0] == "destroy":
        place.rmdir()
    else:
        print(full)
"""


class Programs:
    """Stand-ins in a folder that comes first in the PATH."""

    def __init__(self, base: Path, source: Path, *names: str) -> None:
        self.base = base / "programs"
        self.bin = self.base / "bin"
        self.bin.mkdir(parents=True)
        script = self.base / "script.py"
        script.write_text(SCRIPT.format(python=sys.executable, base=str(self.base)))
        script.chmod(0o755)
        for name in names:
            (self.bin / name).symlink_to(script)
        at = whereabouts(str(source))
        assert at.mount is not None
        inside = Path(os.fsdecode(at.mount.root)) / os.fsdecode(at.path)[
            len(os.fsdecode(at.mount.point)) :
        ].lstrip("/")
        self.facts: dict[str, Any] = {
            "source": str(source),
            "inside": str(inside).lstrip("/"),
            "free": "142606336",
            "origin": "files",
            "is_volume": True,
        }
        self.has()

    def has(self, **facts: Any) -> None:
        self.facts |= facts
        (self.base / "facts.json").write_text(json.dumps(self.facts))

    @property
    def path(self) -> str:
        """For the environment of a worker."""
        return f"{self.bin}:{os.environ['PATH']}"

    @property
    def calls(self) -> list[str]:
        """What was started that changes something."""
        calls = self.base / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        return [line for line in lines if not line.startswith(("lvs", "zfs list"))]

    @property
    def copies(self) -> list[Path]:
        """The snapshots that are there."""
        folder = self.base / "copies"
        return sorted(folder.iterdir()) if folder.exists() else []

    def flag(self, name: str) -> Path:
        return self.base / name


def can_mount() -> bool:
    """Whether this user may mount here: root of a container often may not."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    folder = Path("/tmp") / f"tapeline-mount-{os.getpid()}"
    folder.mkdir()
    try:
        done = subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)
        return done.returncode == 0
    finally:
        folder.rmdir()


needs_mounts = pytest.mark.skipif(not can_mount(), reason="needs a root that may mount")


@contextmanager
def btrfs(base: Path) -> Iterator[Path]:
    """A real btrfs on a loop device, mounted; skips the test where the kernel or the tools have none."""
    if shutil.which("mkfs.btrfs") is None or not can_mount():
        pytest.skip("needs btrfs-progs, and a root that may mount")
    image, point = base / "btrfs.img", base / "btrfs"
    with image.open("wb") as file:
        file.truncate(300 << 20)
    subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True, capture_output=True)
    point.mkdir()
    if subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=False).returncode != 0:
        pytest.skip("the kernel has no btrfs or no loop devices")
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)
