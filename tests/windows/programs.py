"""The programs of a Windows host for tests: stand-ins that ask ``hardware`` what to print and to return.

On Windows (under wine) they are compiled from ``ltfscmd.c``, elsewhere a Python script. ``calls`` beside them
has each command line.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

NAMES = ("LtfsCmdDrives", "LtfsCmdFormat", "LtfsCmdLoad", "LtfsCmdEject", "LtfsCmdCheck", "LtfsRead", "label")

SCRIPT = """#!{python} -IS
import socket, sys
with socket.create_connection(("127.0.0.1", {port})) as keeper:
    keeper.sendall(("\\t".join([{tools!r}, {name!r}, *sys.argv[1:]]) + "\\n").encode())
    code, _, text = b"".join(iter(lambda: keeper.recv(65536), b"")).decode().partition("\\n")
sys.stdout.write(text)
sys.exit(int(code))
"""


def install(tools: Path, port: int) -> None:
    """Put the stand-ins into the tool's folder, with an empty drive behind them."""
    tools.mkdir(parents=True)
    if sys.platform == "win32":
        compiled(tools, Path(os.environ["LTFS_TEST_PROGRAM"]), port)
    else:
        for name in NAMES:
            path = tools / f"{name}.exe"
            path.write_text(
                SCRIPT.format(python=sys.executable, port=port, tools=str(tools), name=name), encoding="utf-8"
            )
            path.chmod(0o755)
    ask(tools, port, "@prepare")


def compiled(tools: Path, program: Path, port: int) -> None:
    """The programs that ``make test-windows`` compiled, and whom they ask."""
    for name in NAMES:
        shutil.copy(program, tools / f"{name}.exe")
    (tools / "port").write_text(str(port))


def ask(tools: Path, port: int, *words: str) -> str:
    """Do something at the drive as an operator does it by hand; returns what is said."""
    with socket.create_connection(("127.0.0.1", port)) as keeper:
        keeper.sendall(("\t".join([str(tools), *words]) + "\n").encode())
        answer = b"".join(iter(lambda: keeper.recv(65536), b"")).decode()
    code, _, text = answer.partition("\n")
    assert code == "0", text
    return text


def calls(tools: Path) -> list[list[str]]:
    """The command lines so far."""
    return [line.split("\t") for line in (tools / "calls").read_text().splitlines()]


def formats(tools: Path) -> list[list[str]]:
    """Those of them that format."""
    return [call for call in calls(tools) if call[0] == "LtfsCmdFormat"]
