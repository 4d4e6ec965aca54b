"""Reads a drive letter, as a child process: Windows may take for ever to answer about a dead mount.

    python -m tape.ltfs_windows.reader O:\\

Prints one line of JSON: label, file_system, empty, capacity, free. Return code 2 if there is no volume.
Standard library only, so that it starts at once.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

NO_VOLUME = 2
WINDOWS_OWN = frozenset({"System Volume Information", "$RECYCLE.BIN", ".windows-label", ".windows-serial"})
"""Files that Windows, or wine, creates on a volume automatically."""

if sys.platform == "win32":
    import ctypes

    def information(root: str) -> tuple[str, str] | None:
        """Label and file system by GetVolumeInformationW, which does not depend on a language."""
        label, system = ctypes.create_unicode_buffer(261), ctypes.create_unicode_buffer(261)
        done = ctypes.windll.kernel32.GetVolumeInformationW(
            ctypes.c_wchar_p(root), label, 261, None, None, None, system, 261
        )
        return (label.value, system.value) if done else None

else:

    def information(_root: str) -> tuple[str, str] | None:
        """Only Windows has drive letters."""
        return None


def main() -> int:
    root = sys.argv[1]
    volume = information(root)
    if volume is None:
        return NO_VOLUME
    try:
        usage = shutil.disk_usage(root)
        empty = not {path.name for path in Path(root).iterdir()} - WINDOWS_OWN
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return NO_VOLUME
    label, system = volume
    report = {
        "label": label,
        "file_system": system,
        "empty": empty,
        "capacity": usage.total,
        "free": usage.free,
    }
    sys.stdout.write(f"{json.dumps(report)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
