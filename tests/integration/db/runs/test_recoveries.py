"""How often a run is resumed by itself."""

from __future__ import annotations

import pytest

from db.models import ChainRun, ChainStep
from db.runs import recoveries
from db.states import Step, StepState
from policy.message import M, Message

DIED = M("The worker died ({worker}).", worker="a")
SILENT = M("No sign of life.")


@pytest.fixture
def run() -> ChainRun:
    return ChainRun(id=1, part=1, recoveries=0, progress={"files": 1, "bytes": 10})


def ended(run: ChainRun, reason: Message = DIED, step: Step = Step.RUN_BACKUP) -> Message | None:
    row = ChainStep(run_id=1, part=run.part, step=step, state=StepState.RUNNING)
    return recoveries.count(run, row, reason)


def test_a_step_that_comes_no_further_is_resumed_twice(run: ChainRun) -> None:
    """The third end at the same place and for the same reason is the last, and says so."""
    assert [ended(run), ended(run, M(DIED.id, worker="b"))] == [None, None]
    why = ended(run)
    assert "run_backup was resumed 2 times and came no further: The worker died (a)." in str(why)


def test_a_step_that_was_silent_before_it_showed_anything_counts_too(run: ChainRun) -> None:
    """No progress at all is none."""
    run.progress = None
    assert [ended(run) is None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("further", [{"files": 1, "bytes": 11}, {"files": 2, "bytes": 10}])
def test_a_byte_of_progress_begins_the_count_anew(run: ChainRun, further: dict[str, int]) -> None:
    """As does another step, another part, or another reason."""
    assert [ended(run), ended(run)] == [None, None]
    run.progress = further
    assert [ended(run), ended(run)] == [None, None]
    assert ended(run) is not None


@pytest.mark.parametrize("other", ["step", "part", "reason"])
def test_another_end_begins_the_count_anew(run: ChainRun, other: str) -> None:
    """Only the same end twice over is the same."""
    assert [ended(run), ended(run)] == [None, None]
    run.part += other == "part"
    assert ended(
        run, SILENT if other == "reason" else DIED, Step.VERIFY if other == "step" else Step.RUN_BACKUP
    ) is None  # fmt: skip


def test_one_that_comes_further_each_time_is_resumed_five_times(run: ChainRun) -> None:
    """Not for ever: an operator has to look."""
    for size in range(5):
        run.progress = {"files": 1, "bytes": size}
        assert ended(run) is None
    run.progress = {"files": 1, "bytes": 99}
    assert "died 6 times" in str(ended(run))
