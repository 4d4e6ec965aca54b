"""How a page calls what it shows."""

from __future__ import annotations

import pytest

from dashboard.show import Show
from notify.words import Words


@pytest.mark.parametrize(("language", "tape", "backup"), [
    ("zh_CN", "已满", "全量备份"), ("en", "full", "full backup"),
])  # fmt: skip
def test_a_full_tape_is_no_full_backup(language: str, tape: str, backup: str) -> None:
    """What English calls by one word has two in Chinese."""
    show = Show(Words(language))  # type: ignore[arg-type]
    assert f">{tape}<" in show.badge("full")
    assert show.type("full") == backup


def test_a_step_whose_run_waits_for_a_tape_is_not_one_that_has_not_begun() -> None:
    """It has looked at a tape, and looks again."""
    show = Show(Words("en"))
    step = {"name": "precheck", "state": "PENDING"}
    assert "not yet" in show.badge_of_step(step)
    assert "waiting for a tape" in show.badge_of_step({**step, "waits": True})
    assert show.colour_of_step({**step, "waits": True}) == "warning"
