"""One whole chain with a tape worker of Windows, under wine; servers and control are of this host."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import make_url

from tests.system import System
from tests.windows import programs, wine
from tests.windows.hardware import Keeper

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32" or wine.missing() is not None, reason=str(wine.missing())),
    pytest.mark.timeout(600),
]


class Door:
    """A port on loopback that leads to a socket of this host: wine knows no such sockets."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        for each in [self._listening, *self._open]:
            each.close()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            other = socket.socket(socket.AF_UNIX)
            self._open += [one, other]
            other.connect(self._path)
            for pair in ((one, other), (other, one)):
                threading.Thread(target=_pass, args=pair, daemon=True).start()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # either end may go first
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def system(short_path: Path, database_url: str, broker_url: str) -> Iterator[System]:
    found = System(short_path, database_url, broker_url)
    yield found
    found.close()


@pytest.fixture
def worker(system: System, database_url: str, broker_url: str) -> Iterator[Path]:
    """The tape worker on the Windows host; its tools' folder."""
    url = make_url(database_url)
    database = Door(f"{url.query['host']}/.s.PGSQL.{url.port or 5432}")
    broker = Door(broker_url.removeprefix("redis+socket://").split("?")[0])
    keeper = Keeper(wine.FOLDER / "letter", capacity=64 * 1024 * 1024)
    tools = system.folder / "tools"
    tools.mkdir()
    programs.compiled(tools, wine.FOLDER / "ltfscmd.exe", keeper.port)
    for verb in ("@prepare", "@blank"):
        programs.ask(tools, keeper.port, verb)
    drive = {
        "driver": "ltfs_windows",
        "letter": "O",
        "tools": wine.windows(tools),
        "commands": {"read": ["LtfsRead.exe"]},
    }
    drive |= {"label_limit_seconds": 60}
    environment = {
        name: value for name, value in system.environment.items() if name.startswith("TAPELINE_")
    } | {
        "TAPELINE_DATABASE_URL": f"postgresql+psycopg2://{url.username}@127.0.0.1:{database.port}/{url.database}",
        "TAPELINE_BROKER_URL": f"redis://127.0.0.1:{broker.port}/0",
        "TAPELINE_STATE_DIR": wine.windows(system.folder / "windows"),
        "TAPELINE_DRIVES": json.dumps({"tape0": drive}),
    }
    words = ["worker", "-Q", "tape", "-c", "1", "-P", "threads", "-n", "tape@windows", "-E"]
    with (system.folder / "tape.log").open("wb") as log:
        reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
        process = subprocess.Popen(
            wine.python("-m", "celery", "-A", "celery_app", *words, "--without-mingle", "--without-gossip"),
            env=wine.environment(**environment),
            cwd=wine.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=reader.stdin,
            stderr=subprocess.STDOUT,
        )
    try:
        system.wait_for(lambda: b" ready." in system.log("tape"), "the worker under wine", patience=120)
        yield tools
    finally:
        for child in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait(20)
        assert reader.stdin
        reader.stdin.close()
        reader.wait(20)
        database.close()
        broker.close()
        programs.ask(tools, keeper.port, "@close")
        keeper.close()


def test_the_chain_with_a_worker_of_windows(system: System, worker: Path) -> None:
    """A blank tape is formatted by LtfsCmdFormat.exe, labelled, filled, catalogued, and restored."""
    source = Path(wine.FOLDER / "prefix" / "drive_c" / "data")
    shutil.rmtree(source, ignore_errors=True)
    (source / "资料").mkdir(parents=True)
    (source / "资料" / "一.txt").write_text("内容")
    (source / "big").write_bytes(bytes(range(256)) * 20_000)
    system.schedule("monthly", Path("C:\\data"))
    system.start("control")
    run_id = system.run_schedule("monthly")
    run = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    story = system.cli("runs", "show", str(run_id)).stdout
    assert run["state"] == "SUCCEEDED", story
    sys.stdout.write(story)  # docs/drives.md shows it: pytest -rP
    assert "/N:TP" in story
    assert "Label read back: TP" in story
    [call] = [call for call in programs.calls(worker) if call[0] == "LtfsCmdFormat"]
    assert call[1] == "O"

    archive = next((wine.FOLDER / "letter").glob("sets/*/data-000001.tar.zst"))
    listed = subprocess.run(
        ["tar", "--zstd", "-tf", archive], capture_output=True, text=True, check=True
    ).stdout
    assert "C:/data/big" in listed

    restored = wine.FOLDER / "prefix" / "drive_c" / "restored"
    shutil.rmtree(restored, ignore_errors=True)
    for words, name in (((), "all"), (("C:\\data\\资料",), "some")):
        system.cli("sets", "restore", run["set_id"], *words, "--to", f"C:\\restored\\{name}")
    assert (restored / "all" / "C" / "data" / "big").read_bytes() == (source / "big").read_bytes()
    text = Path("C", "data", "资料", "一.txt")
    assert [path.relative_to(restored / "some") for path in restored.glob("some/**/*.*")] == [text]
    assert (restored / "some" / text).read_text() == "内容"
