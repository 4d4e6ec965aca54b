"""Sources on a share: what shows a change there, and a server that stops answering."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from db.models import ScheduledTask
from policy.message import Message
from tests.mounts import needs_fuse, shared
from tests.system import System

pytestmark = needs_fuse


@pytest.fixture
def folder(system: System) -> Path:
    """What the server has; a blank tape is in the drive."""
    folder = system.folder / "served"
    folder.mkdir()
    for number in range(60):
        (folder / f"file-{number}").write_bytes(b"content %d" % number)
    system.insert_blank()
    system.start("control", "tape")
    return folder


def back_up(system: System, *options: str) -> dict[str, Any]:
    run = int(system.json("schedule", "run", "nightly", *options)["run"])
    system.wait_for_state(run, "SUCCEEDED")
    return {"set": system.json("sets", "list")[0], "story": system.cli("runs", "show", str(run)).stdout}


def change(system: System, **fields: Any) -> None:
    """Change fields of the template."""

    def put(session: Any) -> None:
        template = session.query(ScheduledTask).filter_by(name="nightly").one().template
        for name, value in fields.items():
            setattr(template, name, value)

    system.ask(put)


def test_a_share_that_numbers_its_files_anew_at_each_mount(system: System, folder: Path) -> None:
    """An increment has what changed and nothing else, also after a change of the rule; the story names the
    rule."""
    point = system.folder / "share"
    with shared(folder, point):
        system.schedule("nightly", point, template={"guard": {"mount": False}})
        assert back_up(system)["set"]["files"] == 61
        told = system.cli("precheck", "nightly", "--manual").stdout
        assert "these fields show that a file has changed: mtime+size." in " ".join(told.split())
    (folder / "file-7").write_bytes(b"changed")
    with shared(folder, point):
        increment = back_up(system, "--type", "incremental")
    assert increment["set"]["files"] == 1
    assert f"Below {point}, these fields show that a file has changed: mtime+size." in increment["story"]
    # Every field counts again from the next full backup on: until then nothing is read once more.
    change(system, source_options={str(point): {"detect": "ctime+mtime+size+inode"}})
    (folder / "file-8").write_bytes(b"changed")
    with shared(folder, point):
        increment = back_up(system, "--type", "incremental")
        assert increment["set"]["files"] == 1
        words = " ".join(increment["story"].split())
        assert "ctime+mtime+size+inode counts from the next full backup on." in words
        back_up(system, "--type", "full")
        assert back_up(system, "--type", "incremental")["set"]["files"] == 0
    with shared(folder, point):
        change(system, guard={"mount": False, "changed": "off"})
        assert back_up(system, "--type", "incremental")["set"]["files"] == 61


def test_a_share_that_stops_answering(system: System, folder: Path) -> None:
    """The run fails with one line that names it, or goes on with the other sources if its template says so.
    The worker is free for the next run; what was on the share is not recorded as deleted."""
    (folder / "long").write_bytes(b"x" * (4 << 20))
    system.kill("tape", signal.SIGTERM)
    system.environment["TAPELINE_SOURCE_PATIENCE_SECONDS"] = "8"
    system.start("tape")
    other, point = system.folder / "zafter", system.folder / "share"
    other.mkdir()
    (other / "file").write_text("local")
    template = {"guard": {"mount": False}}
    with shared(folder, point):
        system.schedule("nightly", point, other, template=template)
        back_up(system)
    with shared(folder, point, stops=("read on", "/long")):
        run = int(system.json("schedule", "run", "nightly", "--type", "full")["run"])
        reason = system.wait_for_state(run, "FAILED")["reason"]
        assert str(Message.from_json(reason)) == f"The source does not answer: {point}/long (8 s)."
        (other / "file").write_text("changed")
        change(system, on_silent_source="continue")
        increment = back_up(system, "--type", "incremental")
    (changed,) = [
        row["path"] for row in system.json("sets", "find", f"{other}/*", "--set", increment["set"]["id"])
    ]
    assert changed == f"{other}/file"
    words = " ".join(increment["story"].split())
    assert f"{point} did not answer for 8 s: the backup goes on without it (on_silent_source)." in words
    assert increment["set"]["warnings"] >= 1
    assert increment["set"]["deleted"] == 0
    # Its files are compared with what they were before it was silent.
    with shared(folder, point):
        assert back_up(system, "--type", "incremental")["set"]["files"] == 0
