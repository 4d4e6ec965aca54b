"""Two drives on one host and a third on another: each has its queue, its worker, its tape and its run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tape.virtual import shelf
from tests.system import System

SPEED = 4_000_000
"""Bytes a second, so that the runs have to be at work at the same time."""


def a_drive(folder: Path, name: str) -> dict[str, Any]:
    """A virtual drive with a blank cartridge of its own in it."""
    path = folder / name
    path.mkdir()
    shelf.new_cartridge(path, f"OF{name.upper()}", capacity=10**9, speed=SPEED)
    shelf.insert(path, f"OF{name.upper()}")
    return {"driver": "virtual", "path": str(path)}


def begins_and_ends(run: dict[str, Any]) -> tuple[str, str]:
    [step] = [step for step in run["steps"] if step["name"] == "run_backup"]
    return step["started_at"], step["finished_at"]


def test_runs_of_several_drives_go_on_at_once(system: System, short_path: Path) -> None:
    """Three runs are at work at the same time, each on its drive; none touches another's tape."""
    source = short_path / "source"
    source.mkdir()
    (source / "data").write_bytes(bytes(range(256)) * (8 * SPEED // 256))
    here = {name: a_drive(short_path, name) for name in ("tape0", "tape1")}
    there = {"tape2": a_drive(short_path, "tape2")}
    of_this_host = system.environment | {"TAPELINE_DRIVES": json.dumps(here)}
    of_another = system.environment | {
        "TAPELINE_DRIVES": json.dumps(there),
        "TAPELINE_STATE_DIR": str(short_path / "other-host"),
    }
    system.environment = of_another
    system.start("tape.tape2")
    system.environment = of_this_host
    for number in range(3):
        plain = {"compression": "none"}
        system.schedule(f"s{number}", source, drive=f"tape{number}", template=plain)
    runs = [system.run_schedule(f"s{number}") for number in range(3)]
    system.start("control", "tape", "tape.tape1")
    ended = [system.wait_for_state(run, "SUCCEEDED", "FAILED") for run in runs]
    assert [run["state"] for run in ended] == ["SUCCEEDED"] * 3
    assert [run["drive"] for run in ended] == ["tape0", "tape1", "tape2"]
    # One month, three cartridges: no two have the same label.
    tapes = system.json("tape", "list")
    assert sorted(tape["tape_id"][-2:] for tape in tapes) == ["01", "02", "03"]
    assert all(tape["generation"] == 1 for tape in tapes)
    times = [begins_and_ends(run) for run in ended]
    assert max(begin for begin, _ in times) < min(end for _, end in times)
    on_tape = {name: list((short_path / name).glob("cartridges/*/volume/sets/*")) for name in (*here, *there)}
    assert [[folder.name for folder in on_tape[run["drive"]]] for run in ended] == [
        [run["set_id"]] for run in ended
    ]
