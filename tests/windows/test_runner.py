"""The command runner where programs are started and ended in Windows' own way."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tape.errors import CommandTimeout
from tape.programs import command

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="Windows alone has jobs")

ROOT = Path(__file__).parents[2]
SLEEPER = "import sys, time; open(sys.argv[1], 'w').write('up'); time.sleep(120)"
PARENT = (
    "import subprocess, sys, time\n"
    f"child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}, sys.argv[1]])\n"
    "print(child.pid, flush=True)\n"
)


def wait_until(condition: Callable[[], bool], limit: float = 30) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_program_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """A worker that is killed takes its format program along: the lock that it held is free from then on."""
    told = tmp_path / "told"
    code = (
        "import sys\nfrom tape.programs import command\n"
        f"command.run([sys.executable, '-c', {PARENT + 'time.sleep(120)'!r}, {str(told)!r}], limit=100,"
        f" on_output=lambda line: open({str(tmp_path / 'child')!r}, 'w').write(line))"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    wait_until(lambda: told.exists() and (tmp_path / "child").exists())
    wait_until(lambda: bool((tmp_path / "child").read_text()))
    grandchild = int((tmp_path / "child").read_text())
    assert psutil.pid_exists(grandchild)
    starter.kill()
    starter.wait()
    wait_until(lambda: not psutil.pid_exists(grandchild))


def test_what_a_program_leaves_behind_goes_on(tmp_path: Path) -> None:
    """A program that has ended by itself is over, and a child of it that holds its output is let go."""
    done = command.run([sys.executable, "-c", PARENT, str(tmp_path / "told")], limit=60)
    child = psutil.Process(int(done.output))
    assert done.return_code == 0
    assert child.is_running()
    child.kill()


def test_the_limit_ends_all_of_it(tmp_path: Path) -> None:
    """At the limit a program is ended with the children that it has."""
    words = [sys.executable, "-c", PARENT + "time.sleep(120)", str(tmp_path / "told")]
    with pytest.raises(CommandTimeout) as late:
        command.run(words, limit=8)
    wait_until(lambda: not psutil.pid_exists(int(late.value.output)))


def test_the_consoles_code_page() -> None:
    """What a program prints is read in the code page of the console, where no other is set."""
    code = "import sys; sys.stdout.buffer.write('Größe'.encode('oem'))"
    assert command.run([sys.executable, "-c", code], limit=60).output == "Größe"


def test_odd_words_arrive() -> None:
    """Windows has one line for all words: each comes out as it went in."""
    odd = ["a b", '"quoted"', "%PATH%", "back\\slash\\", "&", "磁带"]
    code = "import sys; sys.stdout.buffer.write(ascii(sys.argv[1:]).encode())"
    assert command.run([sys.executable, "-c", code, *odd], limit=60).output == ascii(odd)
