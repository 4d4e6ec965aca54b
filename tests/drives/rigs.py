"""The drives that the conformance suite tests, by driver."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.drives.rig import EmulatedRig, FileRig, LtfsRig, Rig, VirtualRig, why_no_emulation
from tests.drives.windows_rig import WindowsRig
from tests.ltfs import programs


def _why_no_mount() -> str | None:
    return None if sys.platform == "win32" else programs.missing()


RIGS: dict[str, tuple[type[Rig], Callable[[], str | None]]] = {
    "virtual": (VirtualRig, lambda: None),
    "ltfs": (LtfsRig, programs.missing),
    "ltfs_file": (FileRig, programs.missing),
    "ltfs_emulated": (EmulatedRig, why_no_emulation),
    "ltfs_windows": (WindowsRig, _why_no_mount),
}
"""Each driver, and why it cannot be tested on this machine, or None if it can."""
