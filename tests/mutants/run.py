"""Mutation testing: ``make mutants``, or some files of it: ``make mutants ARGS=policy/times/period.py``.

mutmut writes the mutants, each with one thing changed in one function; ``warm.py`` runs the near tests that
pass through it. What it found is kept in ``build/mutants``: a run that was stopped, or came to the end
of its time, goes on there.
What an operator reads (``M(...)``) is not mutated: the catalogue's tests see to it. Decorated functions and
what stands outside functions are not either: mutmut cannot.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from tests.mutants.explained import change, explained
from tests.mutants.near import GROUPS, Group

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "mutants"
PACKAGES = ("backup", "celery_app", "cli", "dashboard", "db", "docs", "embedded", "notify", "policy", "tape")
COPIED = (*PACKAGES, "tasks", "tests", "docker", "systemd")
PLAIN = ("setup.cfg", "pyproject.toml", "Makefile", "README.md", "CHANGELOG.md")
STATUS: dict[int | None, str] = {
    0: "survived",
    1: "killed",
    3: "killed",
    5: "untested",
    33: "untested",
    24: "hung",
    36: "hung",
}
STATUS |= {-24: "hung", 152: "hung", 255: "hung", None: "open", 2: "open"}
DIFFS = """
import json, sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
json.dump({n: get_diff_for_mutant(n, path=file) for n, file in json.load(sys.stdin).items()}, sys.stdout)
"""
STOP_SECONDS = 60.0
LIVED = {"survived", "untested"}
NOT_TRIED = [code for code, status in STATUS.items() if status == "open"]
TRIED_AGAIN = [code for code, status in STATUS.items() if status == "open" or status in LIVED]


def main() -> int:
    """Returns 1 where a mutant survives that nobody has explained, or where the time was over."""
    asked = _asked()
    found = [_mutated(group, files, asked) for group in GROUPS if (files := _chosen(group, asked.files))]
    if not found:
        sys.stderr.write("None of these files is mutated; tests/mutants/near.py names those that are.\n")
        return 2
    return int(not all(found))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("files", nargs="*", help="all that near.py names, if none is given")
    parser.add_argument("--minutes", type=float, default=60.0, help="for each group of files; then it stops")
    parser.add_argument(
        "--tests", type=int, default=1000, help="the nearest ones that a mutant is tried with"
    )
    parser.add_argument("--functions", nargs="*", default=[], help="only those of these names")
    parser.add_argument("--again", action="store_true", help="also what has survived before, for new tests")
    parser.add_argument("--report", action="store_true", help="only what is known from before")
    return parser.parse_args()


def _chosen(group: Group, asked: list[str]) -> list[str]:
    files = [
        path.relative_to(ROOT).as_posix()
        for pattern in group.files
        for path in sorted(ROOT.glob(pattern))
        if path.name != "__init__.py"
    ]
    return [file for file in files if not asked or any(fnmatch(file, pattern) for pattern in asked)]


def _mutated(group: Group, files: list[str], asked: argparse.Namespace) -> bool:
    folder = FOLDER / group.name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"Another run works in {folder}: wait for it.") from None
        return _alone(folder, group, files, asked)


def _alone(folder: Path, group: Group, files: list[str], asked: argparse.Namespace) -> bool:
    if not asked.report:
        _copy(folder)
        _configure(folder, group)
        _run(folder, asked, group, files)
    return _report(folder, files)


def _copy(folder: Path) -> None:
    """The tree as it is now; what has not changed keeps its time, and so what is known of it."""
    for name in COPIED:
        kept = folder / name
        for path in sorted((ROOT / name).rglob("*")):
            to = folder / path.relative_to(ROOT)
            if path.is_dir() or "__pycache__" in path.parts:
                continue
            if not to.exists() or to.read_bytes() != path.read_bytes():
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, to)
        for path in sorted(kept.rglob("*")):
            if path.is_file() and not (ROOT / path.relative_to(folder)).exists():
                path.unlink()
                (folder / "mutants" / path.relative_to(folder)).unlink(missing_ok=True)
    for name in PLAIN:
        shutil.copy2(ROOT / name, folder / name)


def _configure(folder: Path, group: Group) -> None:
    lists = {
        "source_paths": group.packages,
        "also_copy": [name for name in (*COPIED, *PLAIN) if name not in group.packages],
        "only_mutate": list(group.files),
        "pytest_add_cli_args_test_selection": list(group.tests),
        "pytest_add_cli_args": ["-p", "no:cacheprovider"],
        "timeout_constant": ["30"],
    }
    text = "".join(
        f"{key} =\n" + "".join(f"    {value}\n" for value in values)
        if len(values) > 1
        else f"{key} = {values[0]}\n"
        for key, values in lists.items()
    )
    with (folder / "setup.cfg").open("a") as file:
        file.write(f"\n[mutmut]\n{text}")


def _run(folder: Path, asked: argparse.Namespace, group: Group, files: list[str]) -> None:
    tried = TRIED_AGAIN if asked.again else NOT_TRIED
    order = {"files": files, "tests": list(group.tests), "tried": tried, "most": asked.tests}
    order["functions"] = asked.functions
    log = folder / "log"
    with log.open("ab") as output, _memory() as quick:
        process = subprocess.Popen(
            [sys.executable, ROOT / "tests" / "mutants" / "warm.py", json.dumps(order)],
            cwd=folder,
            env={**os.environ, "TMPDIR": quick},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = process.wait(asked.minutes * 60)
        except subprocess.TimeoutExpired:
            code = 0
            sys.stdout.write(
                f"Stopped after {asked.minutes:g} minutes; the same command goes on from here.\n"
            )
        finally:
            _end(process)
    if code:
        raise SystemExit(f"The trial of the mutants ended with {code}: see {log}")


@contextmanager
def _memory() -> Iterator[str]:
    """A folder for the servers' files, in memory where there is such a place."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None, prefix="tl-") as name:
        # The servers' own account passes through it.
        Path(name).chmod(0o755)
        yield name


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let it note what it has found; then it and its children have to go."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _report(folder: Path, files: list[str]) -> bool:
    """A line for each file, then each survivor that nobody has explained."""
    found = {file: dict(_results(folder, file)) for file in files}
    lived = {name: file for file, each in found.items() for name in each if each[name] in LIVED}
    why, changes = explained(), _changes(folder, lived)
    unexplained = [name for name in lived if (_where(name), changes[name]) not in why]
    for file, each in found.items():
        explained_here = {name for name in each if name in changes and name not in unexplained}
        count = Counter("explained" if name in explained_here else each[name] for name in each)
        told = ", ".join(f"{count[status]} {status}" for status in sorted(count))
        sys.stdout.write(f"{file}: {len(each)} mutants: {told}\n")
    for name in unexplained:
        sys.stdout.write(f"\n{_where(name)}\n{changes[name]}\n")
    return not unexplained and not any("open" in each.values() for each in found.values())


def _results(folder: Path, file: str) -> Iterator[tuple[str, str]]:
    meta = folder / "mutants" / f"{file}.meta"
    known = json.loads(meta.read_text())["exit_code_by_key"] if meta.exists() else {}
    for name, code in known.items():
        yield name, STATUS.get(code, f"ended with {code}")


def _where(name: str) -> str:
    """``policy.tapes.label.to_ask_for`` of ``policy.tapes.label.x_to_ask_for__mutmut_3``."""
    module, _, function = name.rpartition("__mutmut_")[0].rpartition(".")
    function = function.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    return f"{module}.{function}"


def _changes(folder: Path, names: dict[str, str]) -> dict[str, str]:
    shown = subprocess.run(
        [sys.executable, "-c", DIFFS],
        cwd=folder,
        input=json.dumps(names),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {name: change(diff) for name, diff in json.loads(shown.stdout).items()}


if __name__ == "__main__":
    sys.exit(main())
