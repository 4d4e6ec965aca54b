"""The supervisor, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from embedded.errors import AlreadyUp, StateFolderUnusable
from embedded.logs import rotate
from embedded.program import Program, ProgramEvent, ProgramEventKind
from embedded.supervisor import Supervisor
from tape.errors import CommandNotFound

OBEDIENT = """
    import signal, sys

    def end(*_):
        with open(sys.argv[2], "a") as file:
            file.write(sys.argv[1] + "\\n")
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    while True:
        signal.pause()
"""

DEAF = """
    import signal, subprocess, sys

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "600"])
    print("child", child.pid, flush=True)
    while True:
        signal.pause()
"""

WAITS_FOR_THE_OTHER = """
    import signal, sys, time
    from pathlib import Path

    def end(*_):
        Path(sys.argv[1]).touch()
        while not Path(sys.argv[2]).exists():
            time.sleep(0.01)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    while True:
        signal.pause()
"""

UP = """
    import sys
    from pathlib import Path
    from embedded.program import Program
    from embedded.supervisor import Supervisor

    state, program, order = sys.argv[1:]
    programs = [Program(name, [sys.executable, program, name, order]) for name in ("first", "second")]
    Supervisor(Path(state), programs).run(lambda event: print(event.name, event.kind, flush=True))
"""


class Heard(list[ProgramEvent]):
    """The events, in order."""

    def kinds(self, name: str) -> list[ProgramEventKind]:
        return [event.kind for event in self if event.name == name]

    def pid(self, name: str) -> int:
        found = [event.pid for event in self if event.name == name and event.kind is ProgramEventKind.STARTED]
        assert found[-1] is not None
        return found[-1]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def obedient(script: Callable[[str, str], Path]) -> Path:
    return script("obedient.py", OBEDIENT)


@pytest.fixture
def order(place: Path) -> Path:
    """The file where each program writes its name as it ends."""
    path = place / "order"
    path.touch()
    return path


@pytest.fixture
def programs(obedient: Path, order: Path) -> list[Program]:
    names = ("first", "second", "third")
    return [Program(name, [sys.executable, str(obedient), name, str(order)]) for name in names]


@pytest.fixture
def folder(place: Path) -> Path:
    return place / "state"


@pytest.fixture
def up(
    folder: Path, obedient: Path, order: Path, script: Callable[[str, str], Path]
) -> Iterator[subprocess.Popen[str]]:
    """A supervisor of two programs as a process of its own, the leader of its group as under a shell."""
    argv = [sys.executable, str(script("up.py", UP)), str(folder), str(obedient), str(order)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        yield process
        process.kill()
    with Supervisor(folder, []).started(lambda event: None):
        pass


def ready(folder: Path, *names: str) -> bool:
    logs = [folder / "log" / f"{name}.log" for name in names]
    return all(log.exists() and "ready" in log.read_text() for log in logs)


def noted(folder: Path, name: str) -> int:
    return int(json.loads((folder / "up" / f"{name}.json").read_text())["pid"])


def test_programs_are_stopped_in_the_opposite_order(
    folder: Path, programs: list[Program], order: Path, heard: Heard, wait_until: Callable[..., None]
) -> None:
    """The last one started is the first one stopped, each with time to end by itself."""
    with Supervisor(folder, programs).started(heard.append):
        wait_until(lambda: ready(folder, "first", "second", "third"))

    assert order.read_text().split() == ["third", "second", "first"]
    assert heard.kinds("first") == [
        ProgramEventKind.STARTED,
        ProgramEventKind.STOPPING,
        ProgramEventKind.STOPPED,
    ]
    assert list((folder / "up").iterdir()) == []


def test_those_that_end_together_have_one_limit(
    folder: Path, place: Path, programs: list[Program], script: Callable[[str, str], Path], heard: Heard,
    wait_until: Callable[..., None],
) -> None:  # fmt: skip
    """Each is asked before the first is waited for: here the one ends when the other was asked, too."""
    waiting = str(script("waiting.py", WAITS_FOR_THE_OTHER))
    a, b = str(place / "a"), str(place / "b")
    drives = [
        Program("one", [sys.executable, waiting, a, b], stop_limit=20.0, together="drives"),
        Program("two", [sys.executable, waiting, b, a], stop_limit=20.0, together="drives"),
    ]
    with Supervisor(folder, [programs[0], *drives, programs[1]]).started(heard.append):
        wait_until(lambda: ready(folder, "first", "one", "two", "second"))

    for name in ("one", "two"):
        assert heard.kinds(name) == [
            ProgramEventKind.STARTED,
            ProgramEventKind.STOPPING,
            ProgramEventKind.STOPPED,
        ]
    ends = [event.name for event in heard if event.kind is ProgramEventKind.STOPPED]
    assert ends == ["second", "two", "one", "first"]


def test_program_that_died_is_started_again(
    folder: Path, programs: list[Program], heard: Heard, wait_until: Callable[..., None]
) -> None:
    """One that was killed comes back as another process, and both are told."""
    with Supervisor(folder, programs[:1]).started(heard.append):
        before = heard.pid("first")
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: heard.kinds("first").count(ProgramEventKind.STARTED) == 2)
        assert heard.pid("first") != before
        assert noted(folder, "first") == heard.pid("first")

    assert heard.kinds("first")[:3] == [
        ProgramEventKind.STARTED,
        ProgramEventKind.DIED,
        ProgramEventKind.STARTED,
    ]


def test_each_failure_in_a_row_doubles_the_delay(
    folder: Path, heard: Heard, wait_until: Callable[..., None]
) -> None:
    """A program that ends at once is tried again after 1 s, then 2 s, with its return code told."""
    failing = Program("failing", [sys.executable, "-c", "raise SystemExit(3)"])
    with Supervisor(folder, [failing]).started(heard.append):
        wait_until(lambda: heard.kinds("failing").count(ProgramEventKind.DIED) == 3)

    died = [event.text.params for event in heard if event.kind is ProgramEventKind.DIED]
    assert [params["delay"] for params in died[:3]] == [1, 2, 4]
    assert died[0]["code"] == 3


def test_program_that_cannot_be_started_again_is_tried_on(
    folder: Path, place: Path, heard: Heard, wait_until: Callable[..., None]
) -> None:
    """A program that vanished, as during an upgrade, comes back when its file does."""
    path, away = place / "program", place / "away"
    path.write_text("#!/bin/sh\nexec sleep 600\n")
    path.chmod(0o755)
    with Supervisor(folder, [Program("fickle", [str(path)])]).started(heard.append):
        path.rename(away)
        os.kill(heard.pid("fickle"), signal.SIGKILL)
        wait_until(lambda: heard.kinds("fickle").count(ProgramEventKind.DIED) == 2)
        away.rename(path)
        wait_until(lambda: heard.kinds("fickle")[-1] is ProgramEventKind.STARTED)

    assert "not installed" in str(heard[2].text)


def test_deaf_program_is_killed_with_its_group(
    folder: Path, script: Callable[[str, str], Path], heard: Heard, wait_until: Callable[..., None]
) -> None:
    """One that does not end within its limit is killed, and so are its children."""
    deaf = Program("deaf", [sys.executable, str(script("deaf.py", DEAF))], stop_limit=0.3)
    log = folder / "log" / "deaf.log"
    with Supervisor(folder, [deaf]).started(heard.append):
        wait_until(lambda: log.exists() and log.read_text().startswith("child"))

    assert heard.kinds("deaf")[-1] is ProgramEventKind.KILLED
    child = int(log.read_text().split()[1])
    wait_until(lambda: not _runs(child))


def test_what_is_left_behind_is_waited_for_a_minute_at_most(
    folder: Path, programs: list[Program], wait_until: Callable[..., None]
) -> None:
    """Nothing else runs until then, however long a stop in order may take."""
    patient = replace(programs[0], stop_limit=10_000.0)
    with Supervisor(folder, [patient]).started(lambda event: None):
        [note] = (folder / "up").glob("*.json")
        assert json.loads(note.read_text())["stop_limit"] == 60


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_program_gets_its_environment(folder: Path, wait_until: Callable[..., None]) -> None:
    """What a program is given in its environment reaches it."""
    code = "import os, signal; print(os.environ['COLOUR'], flush=True); signal.pause()"
    program = Program("painter", [sys.executable, "-c", code], env={"COLOUR": "blue"})
    with Supervisor(folder, [program]).started(lambda event: None):
        wait_until(lambda: (folder / "log" / "painter.log").read_text() == "blue\n")


def test_program_that_cannot_be_noted_does_not_run_on(
    folder: Path, programs: list[Program], heard: Heard
) -> None:
    """A program that the next supervisor could not find again is ended, and the error names the folder."""
    (folder / "up" / "first.new").mkdir(parents=True)

    with (
        pytest.raises(StateFolderUnusable, match="TAPELINE_STATE_DIR"),
        Supervisor(folder, programs[:1]).started(heard.append),
    ):
        pytest.fail("it must not come up")

    stopping = next(event for event in heard if event.kind is ProgramEventKind.STOPPING)
    assert stopping.pid is not None
    assert not _runs(stopping.pid)


def test_program_that_is_not_there_stops_the_others(
    folder: Path, programs: list[Program], heard: Heard
) -> None:
    """When one cannot be started at first, those before it are stopped and the error passes through."""
    missing = Program("missing", ["/nowhere/program"])
    with pytest.raises(CommandNotFound), Supervisor(folder, [programs[0], missing]).started(heard.append):
        pytest.fail("it must not come up")

    assert heard.kinds("first")[-1] is ProgramEventKind.STOPPED


def test_second_supervisor_is_refused(folder: Path, programs: list[Program]) -> None:
    """Two never share a state folder; the error names the process that holds it."""
    with ExitStack() as stack:
        stack.enter_context(Supervisor(folder, programs[:1]).started(lambda event: None))
        with (
            pytest.raises(AlreadyUp, match=rf"Process {os.getpid()} .*TAPELINE_STATE_DIR"),
            Supervisor(folder, []).started(lambda event: None),
        ):
            pytest.fail("it must not come up")
        stack.close()
        stack.enter_context(Supervisor(folder, []).started(lambda event: None))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_stops_all_in_order(
    up: subprocess.Popen[str],
    folder: Path,
    order: Path,
    number: signal.Signals,
    wait_until: Callable[..., None],
) -> None:
    """A signal to the supervisor's whole group, as a terminal sends it, lets it stop the programs itself."""
    wait_until(lambda: ready(folder, "first", "second"))

    os.killpg(up.pid, number)
    output, _ = up.communicate(timeout=30)

    assert up.returncode == 0
    assert order.read_text().split() == ["second", "first"]
    assert output.splitlines()[-2:] == ["first stopping", "first stopped"]


def test_programs_left_behind_are_ended_first(
    *,
    up: subprocess.Popen[str],
    folder: Path,
    order: Path,
    programs: list[Program],
    heard: Heard,
    wait_until: Callable[..., None],
) -> None:
    """After kill -9 of the supervisor, the next one first ends what it left, in the opposite order."""
    wait_until(lambda: ready(folder, "first", "second"))
    left = [noted(folder, "second"), noted(folder, "first")]
    up.kill()
    up.wait(10)
    assert all(_runs(pid) for pid in left)

    with Supervisor(folder, programs[2:]).started(heard.append):
        assert [event.pid for event in heard if event.kind is ProgramEventKind.LEFT_BEHIND] == left
        assert heard[-1].kind is ProgramEventKind.STARTED
        assert not any(_runs(pid) for pid in left)

    assert order.read_text().split()[:2] == ["second", "first"]


def test_deaf_program_left_behind_is_killed(
    folder: Path, script: Callable[[str, str], Path], heard: Heard, wait_until: Callable[..., None]
) -> None:
    """One that was left behind and does not end within its limit is killed with its group."""
    argv = [sys.executable, str(script("deaf.py", DEAF))]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as deaf:
        assert deaf.stdout is not None
        child = int(deaf.stdout.readline().split()[1])
        _note(folder, deaf.pid, psutil.Process(deaf.pid).create_time())
        with Supervisor(folder, []).started(heard.append):
            assert not _runs(deaf.pid)
        wait_until(lambda: not _runs(child))

    assert "killed" in str(heard[0].text)


def test_stranger_with_a_noted_pid_is_left_alone(folder: Path, heard: Heard) -> None:
    """A pid that was given to another program since is not touched, and the note leaves."""
    with subprocess.Popen(["sleep", "600"]) as stranger:
        _note(folder, stranger.pid, psutil.Process(stranger.pid).create_time() - 60)
        with Supervisor(folder, []).started(heard.append):
            assert stranger.poll() is None
        stranger.kill()

    assert heard == []
    assert list((folder / "up").iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_broken_note_is_passed_over(folder: Path, heard: Heard, text: str) -> None:
    """A note that says nothing names no process to end."""
    (folder / "up").mkdir(parents=True)
    (folder / "up" / "odd.json").write_text(text)

    with Supervisor(folder, []).started(heard.append):
        assert heard == []


def _note(folder: Path, pid: int, create_time: float) -> None:
    (folder / "up").mkdir(parents=True)
    note = {"name": "old", "order": 0, "pid": pid, "create_time": create_time, "stop_limit": 0.3}
    (folder / "up" / "old.json").write_text(json.dumps(note))


def test_full_log_is_turned_over(folder: Path, programs: list[Program]) -> None:
    """A log that has reached its size begins anew, and three older ones are kept."""
    log = folder / "log.txt"
    folder.mkdir()
    for number in range(6):
        log.write_text(f"{number}" * 10)
        rotate(log, limit=10)
    log.write_text("short")
    rotate(log, limit=10)

    texts = {path.name: path.read_text()[0] for path in folder.iterdir()}
    assert texts == {"log.txt": "s", "log.txt.1": "5", "log.txt.2": "4", "log.txt.3": "3"}
