"""One process with the tests loaded and the servers running; each mutant is tried in a fork of it.

Started anew for each mutant, the servers and the tables would take ten times as long as the tests.
"""

from __future__ import annotations

import gc
import hashlib
import inspect
import json
import os
import re
import select
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import mutmut.__main__ as generation
import pytest
from _pytest.runner import runtestprotocol
from mutmut.mutation import file_mutation
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.utils import file_utils

SURVIVED, KILLED, UNTESTED, HUNG = 0, 1, 33, 36
EACH_SECONDS = 10.0
"""A test that takes longer is not near: whoever breaks a rule wants to hear of it in seconds."""
ALL_SECONDS = 60.0
"""What a mutant may take of its tests, the short ones first."""
PATIENCE = 30.0
"""Seconds, and ten times what the test takes, after which a mutant hangs."""
STATISTICS = "stats"


@dataclass(frozen=True, slots=True)
class Passed:
    """What a test takes, and the functions that it passes through."""

    of: str
    seconds: float
    functions: list[str]


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    by: str = ""
    """The test that failed or hung."""
    functions: tuple[str, ...] = ()
    why: str = ""


def generate() -> None:
    """Write the mutants of this folder's files; a function that has not changed keeps what is known of it."""
    # What an operator reads; the tests of the catalogue see to it.
    file_mutation.NEVER_MUTATE_FUNCTION_CALLS.add("M")
    set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    file_utils.copy_src_dir()
    file_utils.copy_also_copy_files()
    file_utils.setup_source_paths()
    begun = Path("generating")
    if begun.exists():
        # The last time was cut off, perhaps in the middle of a file, which is newer than its source.
        for path in file_utils.walk_mutatable_files():
            (Path("mutants") / path).unlink(missing_ok=True)
    begun.touch()
    generation.create_mutants(1)
    begun.unlink()


class Warm:
    """A plugin that tries mutants instead of running the tests once."""

    def __init__(self, files: list[str], tried: list[int | None], most: int, wanted: list[str]) -> None:
        self.files = files
        self.wanted = wanted
        self.tried = tried
        self.most = most
        self.broken: list[str] = []
        self.memory = Path("tests-passed.json").absolute()
        self.deeds = Path("tests-killed.json").absolute()
        found = json.loads(self.deeds.read_text()) if self.deeds.exists() else {}
        self.killers = defaultdict(Counter, {name: Counter(tests) for name, tests in found.items()})

    def pytest_collection(self) -> None:
        """Before the tests are loaded: a failure is enough, nobody reads the shortest example of it."""
        # pytest wants to be the first who loads it.
        import hypothesis

        phases = [phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.shrink]
        hypothesis.settings.register_profile("mutants", hypothesis.settings(), phases=phases)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted(f"{session.testsfailed} files of tests cannot be loaded")
        set_mutant_under_test("")
        self.items = {item.nodeid: item for item in session.items}
        self._start_servers(session.items)
        # A fork does not copy what its collector leaves alone.
        gc.collect()
        gc.freeze()
        self.passed = self._passed()
        self.through: defaultdict[str, list[str]] = defaultdict(list)
        for name, each in self.passed.items():
            for function in each.functions:
                self.through[function].append(name)
        for file in self.files:
            self._try_all(Path(f"{file}.meta"))
        if self.broken:
            raise pytest.UsageError(f"These fail without any mutant: {', '.join(self.broken)}")
        return True

    def _start_servers(self, items: list[pytest.Item]) -> None:
        """The fixtures of the session stay as the parent made them; each fork has its own databases."""
        first = next((each for each in items if "database" in getattr(each, "fixturenames", ())), None)
        if first is not None:
            runtestprotocol(first, nextitem=_another(first, items), log=False)

    def _passed(self) -> dict[str, Passed]:
        """What each test takes and passes through: asked once for a test's file and for these functions."""
        known = json.loads(self.memory.read_text()) if self.memory.exists() else {}
        functions = sorted(name for file in self.files for name in _functions(Path(f"{file}.meta")))
        if not known or not set(functions) <= set(known["functions"]):
            known = {"functions": functions, "tests": {}}
        found = {name: self._passed_by(item, known) for name, item in self.items.items()}
        return {name: each for name, each in found.items() if each is not None}

    def _passed_by(self, item: pytest.Item, known: dict[str, Any]) -> Passed | None:
        """None, and the run fails in the end, if the test does: every mutant would seem to be killed."""
        of = hashlib.sha256(item.path.read_bytes()).hexdigest()
        tests = known["tests"]
        if tests.get(item.nodeid, {}).get("of") != of:
            began = time.monotonic()
            ended = self._fork(STATISTICS, [item], lambda _name: 600.0)
            if ended.code:
                self.broken.append(item.nodeid)
                _say(f"FAILS WITHOUT ANY MUTANT: {item.nodeid}\n{ended.why}")
                return None
            took = time.monotonic() - began
            tests[item.nodeid] = {"of": of, "seconds": took, "functions": list(ended.functions)}
            self.memory.write_text(json.dumps(known))
            _say(f"{item.nodeid} {took:.1f}")
        return Passed(**tests[item.nodeid])

    def _try_all(self, file: Path) -> None:
        meta = json.loads(file.read_text())
        codes: dict[str, int | None] = meta["exit_code_by_key"]
        for function, mutants in groupby(codes, key=lambda name: name.partition("__mutmut_")[0]):
            if self.wanted and _named(function) not in self.wanted:
                continue
            for mutant in list(mutants):
                if codes[mutant] not in self.tried:
                    continue
                began = time.monotonic()
                ended = self._try(function, mutant)
                codes[mutant] = ended.code
                file.write_text(json.dumps(meta, indent=4))
                self.deeds.write_text(json.dumps(self.killers))
                _say(f"{mutant} {ended.code} {time.monotonic() - began:.1f} {ended.by}")

    def _try(self, function: str, mutant: str) -> Ended:
        names = list(self._chosen(function))
        if not names:
            return Ended(UNTESTED)
        ended = self._fork(
            mutant,
            [self.items[name] for name in names],
            lambda name: PATIENCE + 10 * self.passed[name].seconds,
        )
        if ended.by:
            self.killers[function][ended.by] += 1
        return ended

    def _chosen(self, function: str) -> Iterator[str]:
        """First what has killed before, then who speaks of the function or its module, then what is short
        and passes through little else. Of one test with many parameters the first two count."""
        kills, left, seen = self.killers[function], ALL_SECONDS, Counter[str]()

        def cost(name: str) -> float:
            return self.passed[name].seconds * len(self.passed[name].functions)

        places: dict[str, tuple[int, int]] = {}
        for name in sorted(self.through[function], key=cost):
            test = name.partition("[")[0]
            places[name] = -kills[name], _distance(self.items[name], function) + seen[test] // 2
            seen[test] += 1
        for name in sorted(places, key=places.__getitem__)[: self.most]:
            seconds = self.passed[name].seconds
            if seconds <= EACH_SECONDS and seconds <= left:
                left -= seconds
                yield name

    def _fork(self, mutant: str, items: list[pytest.Item], limit: Callable[[str], float]) -> Ended:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            with suppress(BaseException):
                self._tell(writing, mutant, items)
            os._exit(2)
        os.close(writing)
        try:
            return _heard(reading, items, limit)
        finally:
            os.close(reading)
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def _tell(self, writing: int, mutant: str, items: list[pytest.Item]) -> None:
        """In the fork: a line for each test that begins, then a last one with the code."""
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        set_mutant_under_test(mutant)
        # What the parent's first test left open of its own file.
        items[0].session._setupstate.teardown_exact(items[0])
        code, why = SURVIVED, ""
        for number, item in enumerate(items):
            os.write(writing, f"{number}\n".encode())
            following = items[number + 1] if number + 1 < len(items) else _another(item, item.session.items)
            reports = runtestprotocol(item, nextitem=following, log=False)
            if failed := [report.longreprtext for report in reports if report.failed]:
                code, why = KILLED, "\n".join(failed)
                break
        told = [code, sorted(state()._stats), why] if mutant == STATISTICS else [code, [], ""]
        os.write(writing, f"={json.dumps(told)}\n".encode())


def _functions(meta: Path) -> set[str]:
    return {name.partition("__mutmut_")[0] for name in json.loads(meta.read_text())["exit_code_by_key"]}


def _named(function: str) -> str:
    """``start`` of ``db.runs.starting.x_start``."""
    return function.rpartition(".")[2].removeprefix("x_").split("ǁ")[-1]


@cache
def _distance(item: pytest.Item, function: str) -> int:
    """How near a test is to a function such as ``db.runs.starting.x_start``: it names it, its module, or
    neither."""
    words = _named(function), function.split(".")[-2]
    text = inspect.getsource(item.function)  # type: ignore[attr-defined]
    named = (place for place, word in enumerate(words) if re.search(rf"\b{word}\b", text))
    return next(named, len(words))


def _say(line: str) -> None:
    """Past what pytest keeps of a test's output."""
    assert sys.__stdout__
    sys.__stdout__.write(f"{line}\n")
    sys.__stdout__.flush()


def _another(item: pytest.Item, items: list[pytest.Item]) -> pytest.Item | None:
    """One of another file, so that nothing of this one's stays."""
    return next((each for each in items if each.path != item.path), None)


def _heard(reading: int, items: list[pytest.Item], limit: Callable[[str], float]) -> Ended:
    text, name = b"", items[0].nodeid
    while select.select([reading], [], [], limit(name))[0]:
        data = os.read(reading, 1 << 20)
        if not data:
            # It ended in the middle of a test.
            return Ended(KILLED, name)
        text += data
        *lines, text = text.split(b"\n")
        for line in lines:
            if line[:1] == b"=":
                code, functions, why = json.loads(line[1:])
                return Ended(code, name if code else "", tuple(functions), why)
            name = items[int(line)].nodeid
    return Ended(HUNG, name)


def main(asked: dict[str, Any]) -> int:
    # Ignored where a shell has started all this in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    generate()
    os.chdir("mutants")
    words = ["-q", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly", "--rootdir=.", "--tb=short"]
    metas = [file for file in asked["files"] if Path(f"{file}.meta").exists()]
    plugin = Warm(metas, asked["tried"], asked["most"], asked["functions"])
    return int(pytest.main([*words, *asked["tests"]], plugins=[plugin]))


if __name__ == "__main__":
    # This file's own folder comes first otherwise.
    sys.path.pop(0)
    sys.exit(main(json.loads(sys.argv[1])))
