"""What ``tapeline precheck`` says beforehand is what a real run then decides, case by case."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select, text, update

from db.models import BackupSet, ChainRun, Notification, RunEvent, ScheduledTask, TapeCartridge, TapePool
from db.states import BackupType
from db.tapes import cartridges
from policy.tapes.facts import CartridgeState, SetState
from tape.virtual import record as virtual_record
from tape.virtual import shelf
from tape.virtual.volume import VOLUME
from tests import earlier
from tests.system import System, label

LONG_AGO = datetime(2019, 1, 1, tzinfo=UTC)
IN_A_YEAR = datetime.now(UTC) + timedelta(days=365)
_numbers = itertools.count(1)


class Case(NamedTuple):
    """A situation, and the state in which a run that starts in it ends or comes to rest."""

    state: str
    arrange: Callable[[Operator], Any] = lambda operator: operator.insert()
    by_hand: bool = True
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed
    template: dict[str, Any] = {}  # noqa: RUF012 - never changed


class Operator:
    """A drive host at work, a shelf of tapes, and an operator at the command line."""

    def __init__(self, system: System, source: Path) -> None:
        self.system, self.source = system, source
        self.name = ""

    def insert(self, label: str | None = None, *, protected: bool = False) -> str:
        """Put a new cartridge into the drive, formatted if a label is given; returns its barcode."""
        path, barcode = self.system.drive.path, f"A{next(_numbers):05}L9"
        self.system.take_out()
        shelf.new_cartridge(path, barcode, capacity=10**9)
        shelf.insert(path, barcode)
        if label:
            assert self.system.drive.format(label).return_code == 0
        shelf.set_write_protected(path, barcode, on=protected)
        return barcode

    def insert_foreign(self, label: str, name: str = "photo.jpg") -> None:
        """A tape with a file that nobody knows."""
        folder = shelf.folder_of(self.system.drive.path, self.insert(label))
        path = folder / VOLUME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
        with virtual_record.editing(folder) as record:
            assert record.volume
            record.volume.files, record.volume.used = {name: 1000}, 1000

    def insert_unreadable(self) -> None:
        folder = shelf.folder_of(self.system.drive.path, self.insert())
        (folder / "cartridge.json").write_text("{damaged")

    def insert_known(self, label: str, kept_until: datetime | None, **row: Any) -> None:
        """A tape that the catalogue knows, with one set on it if ``kept_until`` is given."""
        set_id = f"20190101T000000Z-{next(_numbers):04}"
        if kept_until:
            self.insert_foreign(label, f"sets/{set_id}/data-000001.tar")
        else:
            self.insert(label)
        said = self.system.drive.look().to_json()

        def know(session: Any) -> None:
            known, _ = cartridges.update_label(session, original=None, medium=said)
            for column, value in row.items():
                setattr(known, column, value)
            if kept_until:
                session.add(_old_set(set_id, known, kept_until, **earlier.known(session, LONG_AGO)))

        self.system.ask(know)

    def succeed_before(self) -> None:
        """The month has its backup already."""
        self.insert()
        self.system.change_schedule(self.name, last_success_time=datetime.now(UTC))

    def leave_a_run_waiting(self) -> None:
        """The drive stays empty: with a tape in it the first run would go on by itself, and be over."""
        self.system.take_out()
        self.system.json("schedule", "run", self.name)
        self.rest()

    def back_up_first(self) -> None:
        """A full backup of the schedule, which an increment can follow."""
        self.insert()
        self.system.json("schedule", "run", self.name)
        assert self.rest() == "SUCCEEDED"
        self.system.ask(lambda session: session.execute(text(_MAKE_INCREMENTAL), {"name": self.name}))

    def start(self, *, by_hand: bool) -> None:
        if by_hand:
            self.system.json("schedule", "run", self.name)
        else:
            self.system.wait_for(self._is_planned, f"beat to plan {self.name}")
            self.system.change_schedule(self.name, next_run_time=datetime.now(UTC))

    def _is_planned(self) -> bool:
        planned = select(ScheduledTask.planned_from).where(ScheduledTask.name == self.name)
        return self.system.ask(lambda session: session.scalar(planned)) is not None

    def runs(self) -> list[ChainRun]:
        query = select(ChainRun).where(ChainRun.schedule.has(name=self.name)).order_by(ChainRun.id)
        return list(self.system.ask(lambda session: session.scalars(query).all()))

    def rest(self, *, after: int = 0) -> str:
        """The state in which the newest run comes to rest; ``after``: so many were there before it."""

        def state() -> str | None:
            found = self.runs()[after:]
            is_over = found and found[-1].state.value not in {"QUEUED", "RUNNING"}
            return found[-1].state.value if is_over else None

        return str(self.system.wait_for(state, f"the run of {self.name} to rest"))

    def clear(self) -> None:
        """The next case finds a free drive; one that waits is over."""
        for run in self.runs():
            if run.state.value == "WAITING_FOR_TAPE":
                self.system.cli("runs", "cancel", str(run.id), code=None)
        self.system.change_schedule(self.name, enabled=False)


_MAKE_INCREMENTAL = """
UPDATE backup_tasks SET type = 'incremental' FROM scheduled_tasks
WHERE scheduled_tasks.template_id = backup_tasks.id AND scheduled_tasks.name = :name
"""


def _old_set(set_id: str, on: TapeCartridge, kept_until: datetime, **known: int) -> BackupSet:
    return BackupSet(
        id=set_id,
        cartridge_id=on.id,
        generation=on.generation,
        type=BackupType.FULL,
        state=SetState.COMPLETE,
        sources=[],
        started_at=LONG_AGO,
        finished_at=LONG_AGO,
        retention_until=kept_until,
        **known,
    )


WAIT, DONE, FAIL, SKIP = "WAITING_FOR_TAPE", "SUCCEEDED", "FAILED", "SKIPPED"
ROTATE, POOL = {"tape_policy": "rotate"}, {"tape_policy": "pool:vault"}

TAPES: dict[str, Case] = {
    "a blank tape": Case(DONE, by_hand=False),
    "no tape": Case(WAIT, lambda operator: operator.system.take_out(), by_hand=False),
    "another month": Case(WAIT, lambda operator: operator.insert("TP20190101"), by_hand=False),
    "labelled beforehand": Case(DONE, lambda operator: operator.insert(label())),
    "a foreign tape": Case(WAIT, lambda operator: operator.insert_foreign("PHOTOS")),
    "foreign files under this month's label": Case(WAIT, lambda operator: operator.insert_foreign(label())),
    "write-protected": Case(WAIT, lambda operator: operator.insert(label(), protected=True)),
    "blank, write-protected": Case(WAIT, lambda operator: operator.insert(protected=True)),
    "unreadable": Case(WAIT, Operator.insert_unreadable),
    "unreadable, laxer": Case(WAIT, Operator.insert_unreadable, settings={"unreadable_label": "continue"}),
    "kept": Case(WAIT, lambda operator: operator.insert_known(label(), IN_A_YEAR)),
    "retired": Case(
        WAIT, lambda operator: operator.insert_known(label(), None, state=CartridgeState.RETIRED)
    ),
    "full and kept": Case(
        WAIT, lambda operator: operator.insert_known(label(), IN_A_YEAR, state=CartridgeState.FULL)
    ),
    "rotate, expired": Case(
        DONE, lambda operator: operator.insert_known("TP20190101", LONG_AGO), settings=ROTATE
    ),
    "rotate, kept": Case(
        WAIT, lambda operator: operator.insert_known("TP20190101", IN_A_YEAR), settings=ROTATE
    ),
    "no tape of the pool": Case(WAIT, settings=POOL),
    "an expired tape of the pool": Case(
        DONE,
        lambda operator: operator.insert_known("VAULT7", LONG_AGO, pool=TapePool(name="vault")),
        settings=POOL,
    ),
}

REST: dict[str, Case] = {
    "the month is done": Case(SKIP, Operator.succeed_before, by_hand=False),
    "the month is done, by hand": Case(DONE, Operator.succeed_before),
    "disabled": Case(SKIP, settings={"enabled": False}),
    "another run of it": Case(SKIP, Operator.leave_a_run_waiting),
    "no source": Case(FAIL, template={"sources": []}),
    "the only source is gone": Case(FAIL, template={"sources": ["/no/such/source"]}),
    "one of two sources is gone": Case(DONE, template={"sources": ["{source}", "/no/such/source"]}),
    "one of two sources is a device": Case(FAIL, template={"sources": ["{source}", "/dev/null"]}),
    "a pattern that is none": Case(FAIL, template={"excludes": ["!"]}),
    "a key that is none": Case(FAIL, template={"encrypt_to": ["age1nonsense"]}),
    "an increment on the tape of the full one": Case(DONE, Operator.back_up_first),
    "an increment and a blank tape": Case(
        WAIT, lambda operator: (operator.back_up_first(), operator.insert())
    ),
    "a clock that is behind": Case(
        FAIL,
        lambda operator: (
            operator.insert(),
            operator.system.ask(lambda session: session.execute(update(RunEvent).values(at=IN_A_YEAR))),
        ),
    ),
}

CODES = {DONE: 0, WAIT: 4, FAIL: 1, SKIP: 1}


@pytest.fixture
def operator(system: System, short_path: Path) -> Operator:
    source = short_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"x" * 10_000)
    system.environment["TAPELINE_RECOVER_SECONDS"] = "0.5"
    system.start("control", "tape")
    system.start_beat()
    return Operator(system, source)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("cases", [TAPES, REST], ids=["tapes", "rest"])
def test_a_run_decides_as_precheck_says(operator: Operator, cases: dict[str, Case]) -> None:
    """Exit code 0: it succeeds; 4: it waits for another tape, and says so once; 1: it fails or is skipped."""
    for number, (name, case) in enumerate(cases.items()):
        operator.name = f"s{number}"
        template = {
            key: [each.format(source=operator.source) for each in value]
            for key, value in case.template.items()
        }
        settings = {"wait_for_tape_seconds": 3600, "template": template, **case.settings}
        operator.system.schedule(operator.name, operator.source, **settings)
        case.arrange(operator)
        before = len(operator.runs())
        started = "--manual" if case.by_hand else "--now"
        done = operator.system.cli("precheck", operator.name, started, "--json", code=None)
        said = json.loads(done.stdout)
        code = done.returncode
        assert code == CODES[case.state], (name, said)
        assert said["would_run"] == (code == 0)
        operator.start(by_hand=case.by_hand)
        assert operator.rest(after=before) == case.state, (name, said)
        if case.state == WAIT:
            nothing_comes_of_waiting(operator, name)
        operator.clear()


def nothing_comes_of_waiting(operator: Operator, name: str) -> None:
    """The tape is looked at again and again: the run waits on, and has said so once."""
    [run] = operator.runs()[-1:]
    looks = operator.system.log("tape").count(b"tapeline.look[")
    operator.system.wait_for(
        lambda: operator.system.log("tape").count(b"tapeline.look[") >= looks + 2, "looks"
    )
    said = select(Notification.event).where(Notification.run_id == run.id)
    events = list(operator.system.ask(lambda session: session.scalars(said).all()))
    assert events.count("waiting_for_tape") == 1, (name, events)
    assert operator.runs()[-1].dispatch == run.dispatch, name
