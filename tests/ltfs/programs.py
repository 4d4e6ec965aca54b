"""Makes the stand-ins executable, as the programs that a drive host has installed."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = {
    "mkltfs": "mkltfs.main",
    "ltfs": "ltfs.main",
    "ltfsck": "ltfsck.main",
    **{name: f"sg.{name}" for name in ("sg_turs", "sg_modes", "sg_read_attr", "sg_logs", "sg_raw")},
}
NEED_PACKAGES = {"ltfs", "ltfsck"}


def missing() -> str | None:
    """Why the stand-in for ltfs cannot mount here, or None if it can."""
    if sys.platform != "linux":
        return "no Linux"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse that this user may open"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "no fusermount3 (Debian: apt install fuse3)"
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as error:
        return f"no FUSE library: {error} (Debian: apt install libfuse3-3)"
    return None


def install(folder: Path) -> dict[str, str]:
    """Write the stand-ins into a folder; returns the path of each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in NAMES.items():
        module, function = target.split(".")
        options = "-P" if name in NEED_PACKAGES else "-IS"
        script = folder / name
        script.write_text(
            f"#!{sys.executable} {options}\n"
            f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            f"from tests.ltfs.{module} import {function}\nsys.exit({function}())\n"
        )
        script.chmod(0o755)
    return {name: str(folder / name) for name in NAMES}
