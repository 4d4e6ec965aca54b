"""How long things take: in turns, several rounds, the median; and control of the kernel's caches."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

Timed = Callable[[], float]
"""Does something once; returns its seconds."""
DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def in_turns(things: Mapping[str, Timed], rounds: int, before: Callable[[], None]) -> dict[str, float]:
    """The median seconds of each, all of them once in every round, so that disturbances of the machine affect
    all."""
    by_name: dict[str, list[float]] = {name: [] for name in things}
    for number in range(rounds):
        for name, thing in things.items():
            before()
            by_name[name].append(thing())
            say(f"  round {number + 1}: {name}: {by_name[name][-1]:.2f} s")
    return {name: statistics.median(seconds) for name, seconds in by_name.items()}


def say(line: str) -> None:
    """Progress, for the person who waits."""
    print(line, file=sys.stderr, flush=True)


def can_drop_caches() -> bool:
    """Whether this process may drop the kernel's caches."""
    return os.access(DROP_CACHES, os.W_OK)


def cold() -> None:
    """Nothing of the data is in memory."""
    os.sync()
    DROP_CACHES.write_text("3")


def warm(*folders: Path) -> Callable[[], None]:
    """All of the data is in memory, and nothing is left to be written."""

    def read() -> None:
        for folder in folders:
            for path in folder.rglob("*"):
                if path.is_file():
                    with path.open("rb", buffering=0) as file:
                        while file.read(1 << 20):
                            pass
        os.sync()

    return read


def command(
    argv: Sequence[str | Path], *, written: Path | None = None, env: Mapping[str, str] | None = None
) -> float:
    """The seconds of a program until its output is on the disk, as after a seal."""
    started = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    if written is not None:
        sync(written)
    return time.perf_counter() - started


def sync(path: Path) -> None:
    """Wait until a file, or all files of a folder, are on the disk."""
    for file in [path] if path.is_file() else [inside for inside in path.rglob("*") if inside.is_file()]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def job(kind: str, **facts: Any) -> dict[str, Any]:
    """Have ``benchmarks.job`` do something in a process of its own; returns its measurements, and the memory
    of the largest process that it started (``helper_mib``)."""
    argv = [sys.executable, "-m", "benchmarks.job", kind, json.dumps(facts)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        helper = 0.0
        while process.poll() is None:
            helper = max(helper, _peak_of_children(process.pid))
            time.sleep(0.1)
        assert process.stdout is not None
        output = process.stdout.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return {**json.loads(output), "helper_mib": helper}


def _peak_of_children(pid: int) -> float:
    """MiB of the largest child at its peak. For ended children, the kernel's figure includes the memory of
    their parent when it started them."""
    peak = 0.0
    with suppress(OSError):  # they come and go
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            status = Path(f"/proc/{child}/status").read_text()
            held = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
            peak = max(peak, int(held.split()[1]) / 1024)
    return peak


def empty(folder: Path) -> Path:
    """The folder, new and empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
