"""The drive of a Windows host for tests: a folder for the letter, and stand-ins for the tool's programs.

What they do is told by files beside them: ``status`` is the drive's state, ``refuse`` a return code and a
text to print instead of doing anything, ``code`` a return code to end with, ``hang`` a time to take.
``calls`` has each command line. On Windows they are compiled from ``ltfscmd.c``, elsewhere a Python script.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

NAMES = ("LtfsCmdDrives", "LtfsCmdFormat", "LtfsCmdLoad", "LtfsCmdEject", "LtfsCmdCheck")
READER_NAME = "LtfsRead"
LABEL = ".windows-label"
SOURCE = Path(__file__).with_name("ltfscmd.c")

SCRIPT = """#!{python} -IS
import pathlib, shutil, sys, time
tools, root = pathlib.Path({tools!r}), pathlib.Path({root!r})
name = pathlib.Path(sys.argv[0]).stem
with (tools / "calls").open("a") as calls:
    calls.write("\\t".join([name, *sys.argv[1:]]) + "\\n")
def read(file, otherwise=""):
    path = tools / file
    return path.read_text() if path.exists() else otherwise
time.sleep(float(read("hang", "0")))
refuse = read("refuse")
if refuse and name != "LtfsCmdDrives":
    code, text = refuse.split("\\n", 1)
    print(text)
    sys.exit(int(code))
status = read("status").strip()
if name == "LtfsCmdDrives":
    print("Assigned Address   Serial     Status")
    print(read("letter", "O").strip() + "        00.05.00  1068000123 " + status)
elif name == "LtfsCmdFormat":
    for path in root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    label = next(word[3:] for word in sys.argv if word.startswith("/N:"))
    (root / ".windows-label").write_text(label + "\\n")
    (tools / "status").write_text("LTFS_MEDIA")
    print("LTFS15013I Volume UUID is: 3248e492-19de-4516-b98a-1a27d011b6b3.")
    print("LTFS15024I Medium formatted successfully.")
elif name == "LtfsCmdEject":
    (tools / "status").write_text("NO_MEDIA")
elif name == "LtfsCmdLoad" and (tools / "waiting").exists():
    (tools / "status").write_text(read("waiting"))
sys.exit(int(read("code", "0")))
"""

READER = """#!{python} -IS
import json, pathlib, shutil
root = pathlib.Path({root!r})
label = root / ".windows-label"
if not root.is_dir():
    raise SystemExit(2)
used = shutil.disk_usage(root)
empty = not [path for path in root.iterdir() if path != label]
print(json.dumps({{"label": label.read_text().strip() if label.exists() else "", "file_system": "LTFS",
    "empty": empty, "capacity": used.total, "free": used.free}}))
"""


def install(tools: Path, root: Path) -> None:
    """Put the stand-ins into the tool's folder."""
    tools.mkdir(parents=True)
    (tools / "status").write_text("LTFS_UNFORMATTED")
    if sys.platform == "win32":
        _compiled(tools)
        (tools / "root").write_text(str(root))
        return
    for name in NAMES:
        _write(tools / f"{name}.exe", SCRIPT.format(python=sys.executable, tools=str(tools), root=str(root)))
    _write(tools / f"{READER_NAME}.exe", READER.format(python=sys.executable, root=str(root)))


def calls(tools: Path) -> list[list[str]]:
    """The command lines so far."""
    return [line.split("\t") for line in (tools / "calls").read_text().splitlines()]


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _compiled(tools: Path) -> None:
    """The programs that ``make test-windows`` compiled for this run."""
    program = os.environ["LTFS_TEST_PROGRAM"]
    for name in (*NAMES, READER_NAME):
        shutil.copy(program, tools / f"{name}.exe")
