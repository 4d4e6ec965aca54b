"""``tapeline`` without its second of loading: one process has loaded it, and each command is a fork of that.

What runs is the program's own ``main`` in a process of its own, with the caller's folder, environment and
files. The guide has a hundred commands; loading the program for each would take longer than all that they do.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

CLIENT = """\
#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(asked).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(asked)
    os._exit(int.from_bytes(server.recv(1), "big"))
"""


def make_client(folder: Path, address: Path) -> None:
    """Put a program ``tapeline`` into a folder that asks the server at this address."""
    folder.mkdir(parents=True)
    client = folder / "tapeline"
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)


def serve(address: str) -> None:
    """Answer until the process that started this one closes its end of our standard input."""
    import celery  # noqa: F401 - this is what takes a second

    import cli.main  # noqa: F401 - and this
    from celery_app import settings

    # What is remembered here would hold for every command, whatever its caller's environment says.
    assert settings.SOURCE._first is None

    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Thread(target=lambda: os._exit(sys.stdin.read() != ""), daemon=True).start()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        client, _ = server.accept()
        if os.fork() == 0:
            server.close()
            _answer(client)
        client.close()


def _answer(client: socket.socket) -> None:
    """In the fork: run the command in a fork of its own, and tell how it ended."""
    head, files, _, _ = socket.recv_fds(client, 4, 3)
    asked = b""
    while len(asked) < int.from_bytes(head, "big"):
        asked += client.recv(1 << 16)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        _run(*json.loads(asked), files)
    _, status = os.waitpid(child, 0)
    client.sendall(bytes([os.waitstatus_to_exitcode(status) % 256]))
    os._exit(0)


def _run(argv: list[str], folder: str, environment: dict[str, str], files: list[int]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
    # Anew: whether one can seek in it was asked when it was made.
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    sys.modules["__main__"].__package__ = ""  # the program is named by how it was called
    from cli.main import main

    code = 1
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
