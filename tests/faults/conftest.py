"""One installation after another: a test gets the one that the test before has left sound, or a new one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import proof
from tests.faults.fragile import FragileSystem

HERE = Path(__file__).parent


class Cupboard:
    """Holds the installation that is in use."""

    def __init__(self) -> None:
        self._system: FragileSystem | None = None

    def take(self) -> FragileSystem:
        """A sound installation, all its processes at work."""
        if self._system is None:
            folder = Path(tempfile.mkdtemp(prefix="tl-"))
            folder.chmod(0o755)
            self._system = FragileSystem(folder)
            self._system.open()
        return self._system

    def empty(self) -> None:
        """End the installation."""
        if self._system is not None:
            system, self._system = self._system, None
            system.close()
            shutil.rmtree(system.folder)


_cupboard = Cupboard()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The whole table takes minutes, so it has a target of its own: ``make faults``."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("faults")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """What a case proves becomes a line of the table that the report ends with."""
    proof.proved.clear()
    result = yield
    if proof.proved and item.path.is_relative_to(HERE):
        case = item.name.removeprefix("test_").replace("_", " ").replace("|", "/")
        item.user_properties.append(("fault", proof.row(case, proof.proved)))
    return result


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """The installation ends with the last of these tests, whatever comes after them."""
    if nextitem is None or not nextitem.path.is_relative_to(HERE):
        _cupboard.empty()


@pytest.fixture
def system() -> Iterator[FragileSystem]:
    """An installation at work. One that a fault has left otherwise is not handed on."""
    found = _cupboard.take()
    yield found
    if not found.clear():
        _cupboard.empty()
