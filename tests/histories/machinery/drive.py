"""The drive of a history: the virtual one, a point at each verb, its format program in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tape.drive import Medium, Volume
from tape.programs.command import Completed
from tape.virtual import drive, format_program
from tape.virtual.drive import VirtualDrive
from tape.virtual.volume import VirtualVolume
from tests.histories.machinery.points import Killed, Points, Process

_label = format_program._label


MAX_WAIT = 5
"""How often others wait for a format program that has outlived its worker, at the most."""


class WatchedDrive(VirtualDrive):
    """A drive whose worker may be struck whenever it uses it."""

    points: Points

    def look(self) -> Medium:
        self.points.at("look")
        medium = super().look()
        self.points.at("looked")
        return medium

    @contextmanager
    def mount(self, *, read_only: bool = False) -> Iterator[Volume]:
        self.points.at("mount")
        with super().mount(read_only=read_only) as volume:
            yield volume
            self.points.at("unmount")
        self.points.at("unmounted")


class WatchedVolume(VirtualVolume):
    """A volume whose worker may be struck before a file is begun, and before and after a seal."""

    points: Points

    def create(self, name: str) -> Any:
        self.points.at(f"create {Path(name).name}")
        return super().create(name)

    def seal(self) -> None:
        self.points.at("seal")
        super().seal()
        self.points.at("sealed")


@dataclass
class Orphan:
    """A format program that has outlived its worker: it holds the drive's locks until it ends."""

    goes_on: Callable[[], object]
    descriptors: list[int]

    def end(self, *, killed: bool) -> None:
        """Let it do the rest of its work, or kill it, as when its host loses power."""
        if not killed:
            self.goes_on()
        for descriptor in self.descriptors:
            os.close(descriptor)


class Formatter:
    """Stands where the drive starts programs; ``begins`` hears of each format before it touches a tape."""

    begins: Callable[[Path, str], None]

    def __init__(self, points: Points) -> None:
        self._points = points
        self.orphan: Orphan | None = None
        self._waited = 0
        self.survives = False
        """Whether the program outlives a worker that is killed while it works."""

    def install(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(drive, "command", self)
        patch.setattr(format_program, "_label", self._label)

    def run(
        self,
        argv: Sequence[str],
        *,
        limit: float,
        env: Mapping[str, str],
        on_output: Any,
        inherit: Sequence[int],
    ) -> Completed:
        options = list(argv[argv.index("tape.virtual.format_program") + 1 :])
        asked = _parsed(options)
        self.begins(asked.device, asked.name)
        self._descriptors = list(inherit)
        try:
            self._points.at("format begun")
        except Killed:
            self._outlive(lambda: _main(options))
            raise
        return Completed(tuple(argv), _main(options), 0.0, "")

    def _label(self, device: Path, name: str, serial: str | None) -> None:
        try:
            self._points.at("wiped")
        except Killed:
            self._outlive(lambda: _label(device, name, serial))
            raise
        _label(device, name, serial)
        self._points.at("labelled")

    def _outlive(self, rest: Callable[[], object]) -> None:
        if self.survives:
            self.orphan = Orphan(rest, [os.dup(number) for number in self._descriptors])

    def wait(self) -> None:
        """Somebody waits for the drive; the program comes to its end before the patience of many."""
        self._waited += 1
        if self._waited % MAX_WAIT == 0:
            self.end_orphan()

    def end_orphan(self, *, killed: bool = False) -> None:
        """Let the program that has outlived its worker come to its end, if there is one."""
        if self.orphan:
            orphan, self.orphan = self.orphan, None
            with self._points.work(Process()):
                orphan.end(killed=killed)


def _parsed(options: list[str]) -> Any:
    with _arguments(options):
        return format_program._asked()


def _main(options: list[str]) -> int:
    with _arguments(options), Path(os.devnull).open("w") as nowhere:
        before, sys.stderr = sys.stderr, nowhere
        try:
            return format_program.main()
        finally:
            sys.stderr = before


@contextmanager
def _arguments(options: list[str]) -> Iterator[None]:
    before, sys.argv = sys.argv, ["virtual_format", *options]
    try:
        yield
    finally:
        sys.argv = before
