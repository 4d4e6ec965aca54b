"""The snapshots of a run's sources on the drive's host: made after ``before``, removed before ``after``.

Each is entered in the bracket of its run before it is made, and leaves it when it is removed. So whoever ends
the bracket of a dead worker finds it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from backup.elsewhere import ReadFrom
from backup.source.lookout import opened
from backup.source.place import identity, whereabouts
from backup.source.scan import unreadable
from celery_app import settings
from celery_app.host.commands import CommandUnusable
from celery_app.host.snapshots import kinds
from celery_app.host.snapshots.kind import (
    LIMIT,
    PlannedSnapshot,
    Programs,
    Snapshot,
    SnapshotUnusable,
    gone,
    is_of,
    joined,
    named,
    not_ours,
)
from db.runs import brackets
from db.states import Step
from policy.errors import TapelineError
from policy.message import M
from tape.programs.aside import Eyes, Wait
from tasks.work import Work
from tasks.writing import telling
from tasks.writing.sources import for_step

CHECK_SECONDS = 30.0
"""How often a snapshot is checked while it is read, besides the check before an archive counts."""
REMOVE_TRIES = 5
"""A process that was left behind may have a file of it open for a moment."""

Wanted = Mapping[str, Mapping[str, Any]]
"""By source, the options of those that are read from a snapshot."""


def wanted(sources: list[str], options: Wanted) -> dict[str, Mapping[str, Any]]:
    """From the columns of a template."""
    return {path: options[path] for path in sources if options.get(path, {}).get("snapshot")}


def exclusive(snapshots: Wanted) -> set[str]:
    """So that of each source there is at most one at a time on a host."""
    return {f"snapshot of {source}" for source in snapshots}


def planned(snapshots: Wanted, wait: Wait | None) -> list[PlannedSnapshot]:
    """What would be made now. Raises SnapshotUnusable, CommandUnusable, SnapshotFailed, DriveError, and what
    ``wait`` raises."""
    with opened(wait) as eyes:
        return [_planned(source, options, eyes) for source, options in snapshots.items()]


def _planned(source: str, options: Mapping[str, Any], eyes: Eyes) -> PlannedSnapshot:
    kind = kinds.of(options["snapshot"])
    try:
        at = eyes.ask(whereabouts, source, about=source)
    except OSError as error:
        raise SnapshotUnusable(
            M(
                "Source {source}: no snapshot can be made. {why}",
                source=source,
                why=unreadable(error).to_json(),
            ),
            M("Correct the path, mount what holds it, or let the drive's worker read it."),
        ) from error
    return kind.plan(source, at, options)


def foresee(work: Work, snapshots: Wanted) -> None:
    """In the precheck: the story shows what would be made. Raises as ``planned``."""
    for plan in planned(snapshots, for_step(work)):
        work.tell(plan.words)


def make(work: Work, snapshots: Wanted, environment: Mapping[str, str]) -> None:
    """Make one of each source, which its row knows before. Raises as ``planned``."""
    run_id = work.held.run_id
    home = work.db(lambda session, _run: brackets.home(session))
    for plan in planned(snapshots, for_step(work)):
        taken = {each["name"] for each in work.db(lambda session, _run: _rows(session, run_id))}
        name = next(
            name for name in (named(home, run_id, count) for count in range(1, 10**6)) if name not in taken
        )
        snapshot = Snapshot(name, plan)
        work.db(partial(_enter, data=snapshot.to_json()))
        with telling.locked(run_id, plan.kind, LIMIT, work.heed) as inherit:
            kinds.of(plan.kind).make(snapshot, Programs(inherit, environment))
        work.tell(M("Snapshot {name} of source {source} is made.", name=name, source=plan.source))


def _rows(session: Session, run_id: int) -> list[dict[str, Any]]:
    bracket = brackets.of(session, run_id)
    return list(bracket.snapshots) if bracket is not None else []


def _enter(session: Session, run: Any, *, data: dict[str, Any]) -> None:
    brackets.snapshot_begins(session, run.id, data)


class Opened:
    """The snapshots of a run that are read now; a context manager for the process that looks at them."""

    def __init__(self, work: Work, environment: Mapping[str, str]) -> None:
        """Raises SnapshotLost, SnapshotFailed, DriveError, and what stops the step."""
        self._work = work
        self._programs = Programs(environment=environment)
        rows = work.db(lambda session, run: _rows(session, run.id))
        self._snapshots = [Snapshot.from_json(row) for row in rows if not row.get("stuck")]
        self._checked = time.monotonic()
        self.rules: tuple[ReadFrom, ...] = ()
        self._seen: list[tuple[bytes, tuple[int, int]]] = []
        self._stack = ExitStack()
        with ExitStack() as stack:
            if self._snapshots:
                self._eyes = stack.enter_context(opened(for_step(work)))
            for snapshot in self._snapshots:
                self._open(snapshot, self._eyes)
            self._stack = stack.pop_all()

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self, snapshot: Snapshot, eyes: Eyes) -> None:
        kind, plan = kinds.of(snapshot.plan.kind), snapshot.plan
        with telling.locked(self._work.held.run_id, plan.kind, LIMIT, self._work.heed) as inherit:
            programs = Programs(inherit, self._programs.environment)
            folder = joined(kind.open(snapshot, programs), plan.inside).encode()
            live = {os.fsencode(each) for each in kind.live(snapshot, programs)}
        path = plan.path.encode()
        try:
            live |= set(eyes.ask(whereabouts, plan.source, about=plan.source).below)
            self._seen.append((folder, eyes.ask(identity, folder, about=plan.source)))
        except OSError as error:
            raise gone(snapshot) from error
        own = os.fsencode(settings.load().state_dir / "snapshots") + b"/"
        above = path.rstrip(b"/") + b"/"
        live = {each for each in live if each.startswith(above) and not each.startswith(own)}
        self.rules += (ReadFrom(path, folder), *(ReadFrom(each, each) for each in sorted(live)))
        if live:
            names = ", ".join(os.fsdecode(each) for each in sorted(live))
            self._work.tell(
                M(
                    "Not in the snapshot of {source}, and read as they are: {paths}.",
                    source=plan.source,
                    paths=names.encode(errors="replace").decode(),
                ),
                level="warning",
            )

    def check_whole(self) -> None:
        """Raises SnapshotLost if what was read until now may not be all that was there."""
        self._checked = time.monotonic()
        for snapshot, (folder, seen) in zip(self._snapshots, self._seen, strict=True):
            kinds.of(snapshot.plan.kind).whole(snapshot, self._programs)
            try:
                now = self._eyes.ask(identity, folder, about=snapshot.plan.source)
            except OSError as error:
                raise gone(snapshot) from error
            if now != seen:
                raise gone(snapshot)

    def check_now_and_then(self) -> None:
        """The same, unless the last check is recent."""
        if self._snapshots and time.monotonic() - self._checked > CHECK_SECONDS:
            self.check_whole()


def remove(run_id: int, outcome: str, environment: Mapping[str, str]) -> None:
    """At the end of a bracket. What does not go is a warning, and is tried again by the next run here."""
    for data in telling.attempted(lambda session: brackets.ending(session, run_id, outcome)):
        if data.get("stuck"):
            continue
        try:
            _remove(run_id, data, environment)
        except TapelineError as error:
            telling.attempted(partial(_stuck, run_id=run_id, data=data, error=error, outcome=outcome))


def clear_up(work: Work, environment: Mapping[str, str]) -> None:
    """Before a run makes its own: remove what earlier runs on this host could not."""
    left = work.db(lambda session, _run: brackets.left_behind(session, socket.gethostname()))
    for run_id, data in left:
        try:
            _remove(run_id, data, environment)
        except TapelineError as error:
            left_over = M(
                "A snapshot of run {run} is still there: {error}", run=run_id, error=error.message.to_json()
            )
            work.tell(left_over, level="warning")


def _remove(run_id: int, data: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Raises SnapshotFailed, CommandUnusable, DriveError."""
    name = str(data["name"])
    if not is_of(name, telling.attempted(brackets.home), run_id):
        raise not_ours(name)
    snapshot = Snapshot.from_json(data)
    for tries in range(1, REMOVE_TRIES + 1):
        try:
            with telling.locked(run_id, snapshot.plan.kind, LIMIT, None) as inherit:
                was_there = kinds.of(snapshot.plan.kind).remove(snapshot, Programs(inherit, environment))
            break
        except (CommandUnusable, SnapshotUnusable):
            raise
        except TapelineError:
            if tries == REMOVE_TRIES:
                raise
            time.sleep(1.0)
    telling.attempted(partial(_is_gone, run_id=run_id, name=name))
    if was_there:
        telling.tell(run_id, Step.RUN_BACKUP, [M("Snapshot {name} is removed.", name=name)])


def _is_gone(session: Session, *, run_id: int, name: str) -> None:
    brackets.snapshot_is_gone(session, run_id, name)


def _stuck(
    session: Session, *, run_id: int, data: dict[str, Any], error: TapelineError, outcome: str
) -> None:
    brackets.snapshot_is_stuck(session, run_id, str(data["name"]))
    remedy = M(
        "Remove snapshot {name} of {origin} by hand on the drive's host; the next run with a snapshot tries"
        " it, too.",
        name=str(data["name"]),
        origin=data["plan"]["origin"],
    )
    telling.warn(session, run_id=run_id, error=error, outcome=outcome, remedy=remedy)
