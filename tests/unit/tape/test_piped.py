"""A program whose output is data: all of it, in constant memory, and its messages apart."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tape.errors import CommandNotFound, CommandTimeout
from tape.programs import piped as module
from tape.programs.piped import OutputLeftOpen, Piped, piped


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def whole(running: Piped) -> bytes:
    return b"".join(iter(lambda: running.read(70_000), b""))


def test_all_of_it_and_no_message() -> None:
    program = "import sys; sys.stdout.buffer.write(bytes(9_999_100)); print('oh', file=sys.stderr)"
    with piped(python(program), limit=60) as running:
        assert whole(running) == bytes(9_999_100)
        assert running.read(1) == b""
        done = running.finish()
    assert (done.return_code, done.output) == (0, "oh\n")


def test_it_may_print_nothing_and_fail() -> None:
    with piped(python("import sys; sys.exit('no such database')"), limit=60) as running:
        assert whole(running) == b""
        done = running.finish()
    assert (done.return_code, done.output) == (1, "no such database\n")


def test_nothing_is_read_ahead_of_who_reads() -> None:
    """A program waits for its reader: no more than a few blocks are in memory."""
    program = "import os\nwhile True: os.write(1, bytes(65536)); os.write(2, b'.')"
    with piped(python(program), limit=60) as running:
        running.read(1)
        time.sleep(1.0)
        running._messages.follow()
        # Besides the blocks in memory, what is in the pipe and what each side has in its hands.
        assert 1 <= len(running._messages.text) <= module.AHEAD + 4


@pytest.mark.parametrize("program", ["import time; time.sleep(60)", "while True: print('x' * 1000)"])
def test_its_limit_is_that_of_the_whole(program: str) -> None:
    """Silent or not, it is ended."""
    with pytest.raises(CommandTimeout), piped(python(program), limit=1) as running:
        whole(running)


def test_a_program_that_does_not_end_after_its_output() -> None:
    program = "import os, time; os.write(1, b'data'); os.close(1); time.sleep(60)"
    with piped(python(program), limit=2) as running:
        assert whole(running) == b"data"
        with pytest.raises(CommandTimeout):
            running.finish()


def test_output_that_another_process_keeps_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows whether it is whole."""
    monkeypatch.setattr(module, "LEFT_OPEN_SECONDS", 0.5)
    program = "import subprocess, sys; subprocess.Popen(['sleep', '30']); print('data')"
    with pytest.raises(OutputLeftOpen), piped(python(program), limit=60) as running:
        whole(running)


def test_who_stops_reading_ends_it(tmp_path: Path) -> None:
    """With every process of its group."""
    program = (
        f"import os\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\nwhile True: print('x')"
    )

    class Cancelled(Exception):
        pass

    def watch() -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise Cancelled

    with pytest.raises(Cancelled), piped(python(program), limit=60, watch=watch) as running:
        whole(running)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(CommandNotFound), piped(["/no/such/program"], limit=1):
        pass
