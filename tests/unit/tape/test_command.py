"""Starting programs."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from policy.errors import Consequence, TapelineError
from tape.errors import CommandNotFound, CommandNotStarted, CommandTimeout, DriveError
from tape.programs import command

NOBODY = 65534


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def wait_until(condition: object, limit: float = 10.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_program_runs_to_its_end() -> None:
    """The return code, the time and the output come back, whatever the return code is."""
    done = command.run(python("print('said'); raise SystemExit(7)"), limit=10)
    assert (done.return_code, done.output) == (7, "said\n")
    assert done.argv[0] == sys.executable
    assert 0 < done.seconds < 10


def test_both_outputs_in_order() -> None:
    """Standard output and standard error come together, in the order in which they were written."""
    code = "import os\nfor n in range(50): os.write(1 + n % 2, b'%d\\n' % n)"
    assert command.run(python(code), limit=10).output.split() == [str(n) for n in range(50)]


def test_lines_as_they_come(tmp_path: Path) -> None:
    """Each line is told while the program still runs, also the last one without an end."""
    heard: list[str] = []
    gate = tmp_path / "gate"
    code = (
        "import sys, time, os\nprint('one', flush=True)\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
        "print('two\\r\\nthree\\rfour'); sys.stdout.write('five')"
    )

    def hear(line: str) -> None:
        heard.append(line)
        gate.touch()

    done = command.run(python(code), limit=10, on_output=hear)
    assert heard == ["one", "two", "three", "four", "five"]
    assert done.output == "one\ntwo\nthree\nfour\nfive"


def test_no_shell() -> None:
    """Arguments arrive as they are: no shell looks at them."""
    odd = ["a b", "$HOME", "*", ";", "`id`", "'", '"', "\n", ""]
    done = command.run([*python("import sys; print(sys.argv[1:])"), *odd], limit=10)
    assert done.output == f"{odd}\n"


def test_nothing_comes_from_the_terminal() -> None:
    """A program that asks for input gets the end of it at once."""
    assert command.run(python("print(repr(open(0).read()))"), limit=10).output == "''\n"


def test_the_time_limit() -> None:
    """At the limit the program is ended and reaped, and what it had said is kept."""
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with pytest.raises(CommandTimeout) as late:
        command.run(python(code), limit=1.5)
    assert late.value.remedy
    assert late.value.argv[0] == sys.executable
    assert late.value.seconds >= 1.5
    assert not psutil.pid_exists(int(late.value.output))


def test_a_deaf_program_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that does not listen when asked to end is killed, and its children with it."""
    monkeypatch.setattr(command, "TERMINATE_SECONDS", 0.2)
    code = (
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\nif child: print(os.getpid(), child, flush=True)\ntime.sleep(60)"
    )
    with pytest.raises(CommandTimeout) as late:
        command.run(python(code), limit=1.5)
    pids = [int(pid) for pid in late.value.output.split()]
    assert len(pids) == 2
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_a_return_code_at_the_limit_is_used() -> None:
    """A program that has ended by the time of the limit has ended, even if nobody had looked yet."""

    def dawdle(_line: str) -> None:
        time.sleep(0.6)

    done = command.run(python("print('x'); raise SystemExit(3)"), limit=0.5, on_output=dawdle)
    assert done.return_code == 3
    assert done.seconds > 0.5


def test_a_grandchild_with_the_output_open() -> None:
    """A program that leaves a child behind, holding its output, has ended when it has ended itself."""
    code = (
        "import os, time\nchild = os.fork()\nif child: print(child, flush=True); os._exit(0)\ntime.sleep(60)"
    )
    done = command.run(python(code), limit=30)
    child = int(done.output)
    try:
        assert done.return_code == 0
        assert done.seconds < 15
        assert is_alive(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_program_outlives_its_starter(tmp_path: Path) -> None:
    """A program whose starter was killed goes on to its end, although nobody hears it any more."""
    end = tmp_path / "end"
    pid = tmp_path / "pid"
    inner = (
        "import os, pathlib, time\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(os.getppid()))\n"
        f"while os.getppid() == int(pathlib.Path({str(pid)!r}).read_text()): time.sleep(0.01)\n"
        "for n in range(1000): print(n, flush=True)\n"
        f"pathlib.Path({str(end)!r}).touch()"
    )
    outer = f"from tape.programs import command; command.run({python(inner)!r}, limit=60)"
    starter = command.spawn(
        [sys.executable, "-c", outer], log=tmp_path / "log", cwd=Path(__file__).parents[3]
    )
    wait_until(lambda: pid.exists() and pid.read_text())
    starter.kill()
    assert starter.wait(10) == -signal.SIGKILL
    wait_until(end.exists)


def test_a_listener_that_fails_ends_the_program() -> None:
    """If the listener raises, the program is ended and the error goes through."""
    pids: list[int] = []

    def listen(line: str) -> None:
        pids.append(int(line))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command.run(
            python("import os, time; print(os.getpid(), flush=True); time.sleep(60)"),
            limit=30,
            on_output=listen,
        )
    assert not psutil.pid_exists(pids[0])


def test_a_code_page() -> None:
    """Output is decoded by the code page that is given."""
    code = "import sys; sys.stdout.buffer.write('卷名 : TP20261101'.encode('gbk'))"
    assert command.run(python(code), limit=10, encoding="cp936").output == "卷名 : TP20261101"


def test_what_cannot_be_decoded() -> None:
    """Bytes that are no text are replaced, and the rest is kept."""
    code = "import sys; sys.stdout.buffer.write(b'a\\xffb\\n')"
    heard: list[str] = []
    done = command.run(python(code), limit=10, on_output=heard.append)
    assert done.output == "a\N{REPLACEMENT CHARACTER}b\n"
    assert heard == ["a\N{REPLACEMENT CHARACTER}b"]


def test_the_end_of_a_long_output_is_kept() -> None:
    """Of an output without end only the last mebibyte is kept."""
    code = "import sys\nfor n in range(300_000): sys.stdout.write('%09d\\n' % n)"
    done = command.run(python(code), limit=60)
    assert len(done.output) == 1024 * 1024
    assert done.output.endswith("000299999\n")


def test_long_output_does_not_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of an output without end is emptied now and then, and its end is still heard."""
    monkeypatch.setattr("tape.programs.output.DISK_BYTES", 10_000)
    code = (
        "import os, sys, time\nfor n in range(20): print('x' * 5000, flush=True); time.sleep(0.02)\n"
        "time.sleep(0.3); print(os.fstat(1).st_size)"
    )
    done = command.run(python(code), limit=30)
    assert int(done.output.split()[-1]) < 60_000


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program"])
def test_a_program_that_is_not_there(program: str) -> None:
    """A missing program is named, with what to do."""
    with pytest.raises(CommandNotFound, match=f"{program} is not installed") as missing:
        command.run([program], limit=1)
    assert missing.value.remedy


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    """A file that may not be run, or is no program, is named with the reason."""
    path = tmp_path / "text"
    path.write_text("not a program")
    with pytest.raises(CommandNotFound, match="cannot be started"):
        command.run([str(path)], limit=1)
    path.chmod(0o755)
    with pytest.raises(DriveError, match="cannot be started"):
        command.run([str(path)], limit=1)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux starts no file that is open for writing")
def test_a_program_that_cannot_be_started_just_now(tmp_path: Path) -> None:
    """What passes by itself is told apart from what has to be mended: a run waits for it."""
    path = tmp_path / "program"
    path.write_text("#!/bin/sh\necho done\n")
    path.chmod(0o755)
    with path.open("a"), pytest.raises(CommandNotStarted, match="just now") as failed:
        command.run([str(path)], limit=5)
    assert failed.value.consequence is Consequence.RETRY
    assert command.run([str(path)], limit=5).output == "done\n"


def test_a_missing_folder_is_not_a_missing_program(tmp_path: Path) -> None:
    """If the folder to run in is missing, the error names the folder."""
    with pytest.raises(DriveError, match="absent") as missing:
        command.run([sys.executable], limit=1, cwd=tmp_path / "absent")
    assert not isinstance(missing.value, CommandNotFound)


def test_an_argument_that_cannot_be(tmp_path: Path) -> None:
    """An argument that no program can be given is an error for an operator, not a crash."""
    with pytest.raises(TapelineError):
        command.run([sys.executable, "nul\0"], limit=1)


def test_environment_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program gets the environment of its starter, what is added, and English messages."""
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.setenv("INHERITED", "yes")
    code = "import os; print(*(os.environ[n] for n in ('INHERITED', 'ADDED', 'LANG', 'LC_ALL')), os.getcwd())"
    done = command.run(python(code), limit=10, cwd=tmp_path, env={"ADDED": "too"})
    assert done.output.split() == ["yes", "too", "C.UTF-8", "C.UTF-8", str(tmp_path)]


def test_descriptors_are_inherited_only_on_request(tmp_path: Path) -> None:
    """A program has exactly the descriptors open that it was to inherit."""
    with (tmp_path / "a").open("w") as given, (tmp_path / "b").open("w") as kept:
        code = (
            "import os, sys\nfor n in map(int, sys.argv[1:]):\n"
            "  try: os.fstat(n); print('open')\n  except OSError: print('closed')"
        )
        argv = [*python(code), str(given.fileno()), str(kept.fileno())]
        assert command.run(argv, limit=10, inherit=[given.fileno()]).output.split() == ["open", "closed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user() -> None:
    """A program can run as another user, without any of root's groups."""
    code = "import os; print(os.getuid(), os.getgid(), os.getgroups())"
    done = command.run(["/usr/bin/env", "python3", "-c", code], limit=10, user=NOBODY, group=NOBODY)
    assert done.output == f"{NOBODY} {NOBODY} []\n"


def test_a_program_that_stays(tmp_path: Path) -> None:
    """A spawned program lives until it is asked to end; its output is appended to the log."""
    log = tmp_path / "log"
    log.write_text("before\n")
    process = command.spawn(python("import time; print('up', flush=True); time.sleep(60)"), log=log)
    wait_until(lambda: log.read_text() == "before\nup\n")
    assert process.poll() is None
    assert process.wait(0.05) is None
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM
    assert process.poll() == -signal.SIGTERM


def test_a_kill_ends_the_group(tmp_path: Path) -> None:
    """Killing a spawned program ends the processes that it started, and nobody else."""
    log = tmp_path / "log"
    code = "import os, time\nchild = os.fork()\nif child: print(child, flush=True)\ntime.sleep(60)"
    process = command.spawn(python(code), log=log)
    wait_until(lambda: log.read_text().endswith("\n"))
    child = int(log.read_text())
    assert os.getpgid(child) == process.pid != os.getpgid(0)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    wait_until(lambda: not is_alive(child))
    process.kill()


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    """A log in a folder that is not there is an error that names it."""
    with pytest.raises(DriveError, match="absent"):
        command.spawn([sys.executable], log=tmp_path / "absent" / "log")
