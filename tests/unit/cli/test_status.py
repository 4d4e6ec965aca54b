"""What ``tapeline status`` shows of a run that is under way."""

from __future__ import annotations

from typing import Any

import pytest

from cli.commands import status


def shown(capsys: pytest.CaptureFixture[str], **values: Any) -> str:
    run = {"state": "RUNNING", "progress": None, **values}
    status._print_progress(run)
    return capsys.readouterr().out.strip()


def test_how_far_it_is_and_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """Share, sizes, rate and time left; before the total is known nothing."""
    progress = {"bytes": 41 * 10**9, "bytes_total": 10**11, "bytes_per_second": 148e6, "seconds_left": 398}
    assert shown(capsys, progress=progress) == "41.0 % · 41.0 GB / 100.0 GB · 148.0 MB/s · 6 min 38 s left"
    assert shown(capsys, progress={**progress, "seconds_left": None}).endswith("148.0 MB/s")
    assert shown(capsys, progress={**progress, "bytes": 2 * 10**11}).startswith("100.0 %")
    assert shown(capsys, progress={"bytes": 5, "bytes_total": 0}) == ""
    assert shown(capsys, progress=None) == ""
    assert shown(capsys, progress=progress, state="WAITING_FOR_TAPE") == ""
