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

TAPELINE = "from cli.main import main; main()"
"""What tapeline.exe runs."""
SERVICE = ("worker", "--drive", "tape0")
FILES = 3000


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


class Host:
    """A Windows host with a drive; its worker is a service, with the command line of docs/services.md."""

    def __init__(self, system: System, database_url: str, broker_url: str) -> None:
        url = make_url(database_url)
        self._system = system
        self._database = Door(f"{url.query['host']}/.s.PGSQL.{url.port or 5432}")
        self._broker = Door(broker_url.removeprefix("redis+socket://").split("?")[0])
        self._keeper = Keeper(wine.FOLDER / "letter", capacity=64 * 1024 * 1024)
        self._stop = system.folder / "stop"
        self._service: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._readers: list[threading.Thread] = []
        self.tools = system.folder / "tools"
        self.tools.mkdir()
        programs.compiled(self.tools, wine.FOLDER / "ltfscmd.exe", self._keeper.port)
        for verb in ("@prepare", "@blank"):
            programs.ask(self.tools, self._keeper.port, verb)
        drive = {
            "driver": "ltfs_windows",
            "letter": "O",
            "tools": wine.windows(self.tools),
            "commands": {"read": ["LtfsRead.exe"]},
            "label_limit_seconds": 60,
        }
        self._environment = {
            name: value for name, value in system.environment.items() if name.startswith("TAPELINE_")
        } | {
            "TAPELINE_DATABASE_URL": f"postgresql+psycopg2://{url.username}@127.0.0.1:{self._database.port}"
            f"/{url.database}",
            "TAPELINE_BROKER_URL": f"redis://127.0.0.1:{self._broker.port}/0",
            "TAPELINE_STATE_DIR": wine.windows(system.folder / "windows"),
            "TAPELINE_DRIVES": json.dumps({"tape0": drive}),
        }

    def start(self) -> None:
        """Start the service, and wait until its worker is ready."""
        self._stop.unlink(missing_ok=True)
        started = self._system.log("tape").count(b" ready.")
        self._service = subprocess.Popen(
            wine.python(
                "-m",
                "tests.windows.service",
                wine.windows(self._stop),
                wine.windows(wine.PYTHON),
                "-u",
                "-c",
                TAPELINE,
                *SERVICE,
            ),
            env=wine.environment(**self._environment),
            cwd=wine.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._started.append(self._service)
        reader = threading.Thread(target=self._log, args=(self._service,), daemon=True)
        reader.start()
        self._readers.append(reader)
        self._system.wait_for(
            lambda: self._system.log("tape").count(b" ready.") > started,
            "the worker under wine",
            patience=120,
        )

    def _log(self, service: subprocess.Popen[bytes]) -> None:
        assert service.stdout
        with (self._system.folder / "tape.log").open("ab", buffering=0) as log, service.stdout:
            for line in service.stdout:
                log.write(line)

    def say_erasable(self) -> None:
        """What an operator types at this host: nothing on the tape in the drive is needed. Nothing proves
        here that a blank one is new."""
        words = ("tape", "erasable", "--drive", "tape0", "--confirm", "tape0")
        said = subprocess.run(
            wine.python("-c", TAPELINE, *words),
            env=wine.environment(**self._environment),
            cwd=wine.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        assert said.returncode == 0, said.stdout.decode(errors="replace")

    def stop(self) -> None:
        """Stop the service as its manager does, with Ctrl-C; Celery ends well, with 1."""
        assert self._service
        self._stop.touch()
        self._service.wait(90)
        self._system.wait_for(
            lambda: b"exit code 1" in self._system.log("tape").split(b"Warm shutdown")[-1], "its end"
        )

    def close(self) -> None:
        """End what still runs, and leave nothing mounted. What wine starts is nobody's child."""
        ours = [process for process in psutil.process_iter() if self._is_ours(process)]
        for process in ours:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(ours, timeout=20)
        for service in self._started:
            service.wait(20)
        for reader in self._readers:
            reader.join(20)
        self._database.close()
        self._broker.close()
        programs.ask(self.tools, self._keeper.port, "@close")
        self._keeper.close()

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            state = process.environ().get("TAPELINE_STATE_DIR")
        except psutil.Error:
            return False
        return state == self._environment["TAPELINE_STATE_DIR"]


@pytest.fixture
def host(system: System, database_url: str, broker_url: str) -> Iterator[Host]:
    found = Host(system, database_url, broker_url)
    try:
        found.start()
        yield found
    finally:
        found.close()


def a_source() -> Path:
    """``C:\\data``, new and empty."""
    source = wine.FOLDER / "prefix" / "drive_c" / "data"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    return source


def test_a_service_that_is_stopped_in_the_middle_of_a_backup(system: System, host: Host) -> None:
    """Ctrl-C: the worker seals what it has and ends; the next one goes on from there."""
    source = a_source()
    for number in range(FILES):
        (source / f"{number:05}").write_bytes(bytes([number % 256]) * 5000)
    system.schedule("monthly", Path("C:\\data"), template={"compression": "none"})
    system.start("control")
    host.say_erasable()
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: list((wine.FOLDER / "letter").glob("sets/*/data-*")), "the first archive", 120)
    host.stop()
    assert system.json("runs", "show", str(run_id))["state"] == "RUNNING"
    [sealed] = system.json("sets", "list")
    assert (sealed["archives"], 0 < sealed["files"] < FILES) == (1, True), sealed

    host.start()
    run = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    story = system.cli("runs", "show", str(run_id)).stdout
    assert run["state"] == "SUCCEEDED", story
    assert "died" not in story
    [done] = system.json("sets", "list")
    assert (done["state"], done["files"]) == ("complete", FILES + 1)


def test_the_chain_with_a_worker_of_windows(system: System, host: Host) -> None:
    """A tape of which somebody at the drive has said that nothing on it is needed, and no other, is formatted
    by LtfsCmdFormat.exe, labelled, filled, catalogued, and restored."""
    source = a_source()
    (source / "资料").mkdir(parents=True)
    (source / "资料" / "一.txt").write_text("内容")
    (source / "big").write_bytes(bytes(range(256)) * 20_000)
    system.schedule("monthly", Path("C:\\data"))
    system.start("control")
    refused = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert (refused["state"], programs.formats(host.tools)) == ("FAILED", [])
    assert "tapeline tape erasable" in refused["reason"]["id"]

    host.say_erasable()
    run_id = system.run_schedule("monthly")
    run = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    story = system.cli("runs", "show", str(run_id)).stdout
    assert run["state"] == "SUCCEEDED", story
    sys.stdout.write(story)  # docs/drives.md shows it: pytest -rP
    assert "/N:TP" in story
    assert "Label read back: TP" in story
    [call] = programs.formats(host.tools)
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
