"""The table of dusk (docs/reliability.md), row by row: what is wrong in the evening is said before night."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.messages.dusk import NEED_LTFS, PGBOUNCER, ROWS, SHARED, Row, pooled
from tests.e2e.messages.evening import Evening
from tests.ltfs import programs

PAGE = (Path(__file__).parents[3] / "docs" / "reliability.md").read_text(encoding="utf-8")
SUCCEEDED, NOTHING, NOT_SAID = "SUCCEEDED", "nothing", "–"
UNCHANGED_SECONDS = 6.0
"""How long a night is looked at in which nothing starts; beat looks each two seconds."""


class Said(NamedTuple):
    """A row of the table: what each of the four says, and the night."""

    doctor: str
    precheck: str
    today: str
    message: str
    night: str

    def is_content(self) -> bool:
        """Whether nobody would do anything this evening."""
        is_quiet = not words(self.today) and self.message in {NOT_SAID, '"All is ready"'}
        return self.doctor == "✓" and self.precheck.startswith("0") and is_quiet


def table() -> dict[str, Said]:
    chapter = PAGE.partition("## The table of dusk")[2].partition("\n## ")[0]
    lines = [line for line in chapter.splitlines() if line.startswith("| ")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: Said(*rest) for first, *rest in cells}


def words(cell: str) -> list[str]:
    """What is quoted in a cell."""
    return re.findall(r'"([^"]+)"', cell)


def test_the_table_and_its_test_have_the_same_rows() -> None:
    assert list(table()) == list(ROWS)


@pytest.mark.parametrize(("evening", "said"), table().items())
def test_no_evening_is_content_before_a_bad_night(evening: str, said: Said) -> None:
    """A night without a backup, or one that nobody learns of, is named by one of the four at least."""
    assert said.night in {SUCCEEDED, NOTHING, "FAILED", "QUEUED", "WAITING_FOR_TAPE"}
    if said.night != SUCCEEDED or evening == "no channel":
        assert not said.is_content()


@pytest.fixture
def evening(
    request: pytest.FixtureRequest, short_path: Path, database_url: str, broker_url: str
) -> Iterator[Evening]:
    name = request.node.callspec.params["names"][0]
    if name in NEED_LTFS and programs.missing():
        pytest.skip(str(programs.missing()))
    with ExitStack() as stack:
        url = database_url
        if name == PGBOUNCER:
            program = shutil.which("pgbouncer") or pytest.skip("pgbouncer is not installed")
            url = stack.enter_context(pooled(database_url, short_path / "pool", program))
        found = Evening(short_path, url, broker_url)
        # As tapeline doctor wants a broker to be.
        found.redis.config_set("appendonly", "yes")
        stack.callback(found.close)
        yield found


def installations() -> list[tuple[str, ...]]:
    """The rows that each has, one after another."""
    return [SHARED, *((name,) for name in table() if name not in SHARED)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("names", installations(), ids=lambda names: re.sub(r"\W+", "_", names[-1]))
def test_an_evening(evening: Evening, names: tuple[str, ...]) -> None:
    """Each of the four says what the table says, and so does the night."""
    for number, name in enumerate(names):
        if number:
            evening.forget()
        sys.stdout.write(f"{name}\n")
        _an_evening(evening, table()[name], ROWS[name])


def _an_evening(evening: Evening, said: Said, row: Row) -> None:
    row.before(evening)
    evening.start()
    told = evening.catcher.messages
    if row.after is not None:
        evening.system.wait_for(lambda: told, "what was well before", 90)
        told.clear()
        row.after(evening)
    for title in words(said.message):
        evening.system.wait_for(lambda title=title: any(title in each["title"] for each in told), title, 90)
    _ask(evening, said)
    row.night(evening)
    _through_the_night(evening, said)


def _ask(evening: Evening, said: Said) -> None:
    mark, found = evening.doctor()
    assert mark == said.doctor[0], found
    assert all(each in found for each in words(said.doctor)), found
    code, shown = evening.precheck()
    assert code == int(said.precheck[0]), shown
    assert all(each in shown for each in words(said.precheck)), shown
    for each in words(said.today):
        # The silence of a worker is noticed after a while.
        evening.system.wait_for(lambda each=each: each in evening.today(), f"{each} on Today")
    if said.today == NOT_SAID:
        assert evening.needs_nobody(), evening.today()
    if said.message == NOT_SAID:
        assert evening.catcher.messages == []


def _through_the_night(evening: Evening, said: Said) -> None:
    if said.night == NOTHING:
        time.sleep(UNCHANGED_SECONDS)
        if evening.queues:
            assert evening.state() is None
        return
    evening.system.wait_for(lambda: evening.state() == said.night, f"the night: {said.night}")
