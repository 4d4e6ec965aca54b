"""The child that reads a drive letter for the driver of LTFS on Windows."""

from __future__ import annotations

import sys

import pytest

from tape.ltfs_windows import reader
from tape.ltfs_windows.setup import Commands
from tape.programs import command, command_line


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has drive letters")
def test_the_reader_starts_and_finds_no_letter_here() -> None:
    """Python itself ends with the same code where it does not find the file: it prints why, the reader
    nothing."""
    done = command.run(command_line.fill(Commands().read, root="O:\\"), limit=60)
    assert (done.return_code, done.output) == (reader.NO_VOLUME, "")
