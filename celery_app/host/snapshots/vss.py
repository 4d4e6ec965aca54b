"""Shadow copies of Windows volumes (VSS), by PowerShell's own classes.

Windows gives a shadow copy its name only when it exists. So the script that makes it writes that name into a
file of ours at once. What dies between the two leaves a shadow copy that looks like a stranger's: it is not
removed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backup.source.place import SourcePlace
from celery_app.host.snapshots.kind import (
    PlannedSnapshot,
    Programs,
    Snapshot,
    SnapshotFailed,
    gone,
    last_line,
    need,
    text_of,
    wrong_file_system,
)
from policy.message import M

_VOLUME = re.compile(rb"/([A-Za-z]):(?:/|\Z)")
_ID = re.compile(r"\{[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}")
_SHELL = ("powershell.exe", "-NoLogo", "-NoProfile", "-NonInteractive", "-Command")

# https://learn.microsoft.com/previous-versions/windows/desktop/vsswmi/create-method-in-class-win32-shadowcopy
_MAKE = """
$ErrorActionPreference = 'Stop'
$made = Invoke-CimMethod -ClassName Win32_ShadowCopy -MethodName Create `
    -Arguments @{{ Volume = '{volume}'; Context = 'ClientAccessible' }}
if ($made.ReturnValue -ne 0) {{ Write-Output "Win32_ShadowCopy.Create: $($made.ReturnValue)"; exit 1 }}
Set-Content -LiteralPath '{file}' -Value $made.ShadowID -Encoding ASCII
"""
_FIND = """
$ErrorActionPreference = 'Stop'
$found = Get-CimInstance -ClassName Win32_ShadowCopy -Filter "ID = '{id}'"
if ($found) {{ Write-Output $found.DeviceObject }} else {{ Write-Output 'none' }}
"""
_REMOVE = """
$ErrorActionPreference = 'Stop'
Get-CimInstance -ClassName Win32_ShadowCopy -Filter "ID = '{id}'" | Remove-CimInstance
"""


class Vss:
    """``snapshot = "vss"``."""

    def check(self) -> None:
        need("vss", "powershell.exe")

    def plan(self, source: str, at: SourcePlace, options: Mapping[str, Any]) -> PlannedSnapshot:
        del options
        found = _VOLUME.match(at.path)
        # Only Windows has paths that begin with a volume's letter.
        if found is None:
            raise wrong_file_system(source, "vss", at)
        self.check()
        volume = f"{found[1].decode().upper()}:\\"
        rest = text_of(at.path[found.end() :])
        return PlannedSnapshot(source, "vss", text_of(at.path), volume, rest, volume)

    def make(self, snapshot: Snapshot, programs: Programs) -> None:
        file = _file(snapshot)
        assert re.fullmatch(r"[A-Z]:\\", snapshot.plan.origin), "it becomes part of a script"
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        programs.run(*_SHELL, _MAKE.format(volume=snapshot.plan.origin, file=_quoted(file)))

    def open(self, snapshot: Snapshot, programs: Programs) -> str:
        device = _device(snapshot, programs)
        if device is None:
            raise gone(snapshot)
        folder = snapshot.folder
        if not folder.exists():
            # Only cmd's own command makes a link to a device that ends with a backslash.
            programs.run("cmd.exe", "/d", "/c", "mklink", "/d", str(folder), device + "\\")
        return "/" + folder.as_posix()

    def live(self, snapshot: Snapshot, programs: Programs) -> tuple[str, ...]:
        del snapshot, programs
        return ()

    def whole(self, snapshot: Snapshot, programs: Programs) -> None:
        # Windows deletes a shadow copy whose storage is full.
        if _device(snapshot, programs) is None:
            raise gone(snapshot)

    def remove(self, snapshot: Snapshot, programs: Programs) -> bool:
        folder = snapshot.folder
        if folder.is_symlink():
            _unlink(folder)
        name = _name(snapshot)
        is_there = name is not None and _device(snapshot, programs) is not None
        if is_there:
            programs.run(*_SHELL, _REMOVE.format(id=name))
        _file(snapshot).unlink(missing_ok=True)
        return is_there


def _unlink(link: Path) -> None:
    """Windows removes a link to a folder as a folder."""
    try:
        link.rmdir()
    except NotADirectoryError:
        link.unlink()


def _file(snapshot: Snapshot) -> Path:
    """Where the script writes the name that Windows has given."""
    return snapshot.folder.with_suffix(".id")


def _quoted(file: Path) -> str:
    return str(file).replace("'", "''")


def _name(snapshot: Snapshot) -> str | None:
    """What Windows calls it; None: it was never made, or nobody knows. Raises SnapshotFailed."""
    try:
        name = _file(snapshot).read_text("ascii").strip()
    except FileNotFoundError:
        return None
    if not _ID.fullmatch(name):
        raise SnapshotFailed(
            M("{file} has no name of a shadow copy.", file=str(_file(snapshot))),
            M("List the shadow copies: vssadmin list shadows"),
        )
    return name


def _device(snapshot: Snapshot, programs: Programs) -> str | None:
    """The device of a shadow copy; None: there is none of its name."""
    name = _name(snapshot)
    if name is None:
        return None
    found = last_line(programs.run(*_SHELL, _FIND.format(id=name)))
    return None if found == "none" else found
