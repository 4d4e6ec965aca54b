"""``tapeline run``: one real full backup on a virtual tape, restored and compared, on this machine only."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from backup.compare import compare_trees
from backup.entry import shown
from celery_app import settings, wiring
from celery_app.worker import messenger
from cli import sample, sample_library
from cli.commands import schedules
from cli.host import processes, programs, stack
from cli.render import ending, output, watch
from db import views
from db.engine import Database
from db.models import Options
from db.runs import lookup, starting, transitions
from db.runs.lookup import RunFilter
from db.schedules.schedules import put
from db.sets import catalog
from db.sets.as_json import sets_json
from db.states import ACTIVE
from embedded.errors import AlreadyUp
from embedded.program import ProgramEvent, ProgramEventKind
from embedded.supervisor import Supervisor
from notify import states
from policy import units
from policy.errors import UsageError
from policy.message import M
from policy.tapes.facts import described
from policy.times.period import ScheduleType
from tape.drive import MediumState
from tape.virtual import shelf
from tape.virtual.drive import VirtualDrive, insert, new_cartridge
from tape.virtual.record import VOLUME

NAME = "demo"
RESERVE = 500_000_000
"""Space that is left free on the disks, in bytes."""
MESSAGE_SECONDS = 45.0
"""How long the end waits for messages that are on their way."""
CAPACITY = 12_000_000_000
"""Of a virtual cartridge for the sample; a larger source gets one that it fits on several times."""


def run(
    source: Annotated[
        Path | None, typer.Argument(help="A folder to back up; a generated one if none is named.")
    ] = None,
    in_library: Annotated[
        bool,
        typer.Option("--library", help="With a virtual library: small tapes that change themselves."),
    ] = False,
) -> None:
    """Try Tapeline: back up a folder to a virtual tape through the real pipeline, restore it, compare it.

    Nothing needs to be installed and no real drive is used. Run it again this month and it appends to the
    same tape. With --library, the backup and the restore fill and change several small tapes by themselves;
    it has a state folder and servers of its own.
    """
    if in_library:
        sample_library.use()
    drive = _virtual_drive()
    asked = _check(source)
    output.say(M("Starting servers and workers in {folder} …", folder=str(settings.load().state_dir)))
    with stack.database() as database, _processes(database):
        folder = asked or _sample()
        _check_room(folder)
        if in_library:
            _fill_library(folder)
        else:
            _insert_tape(drive, folder)
        backup, folder = _backup(database, folder)
        restored = _restore_and_compare(database, backup, folder)
    _next_steps(backup, sample_library.file() if in_library else None)
    raise typer.Exit(0 if restored else 1)


def _virtual_drive() -> VirtualDrive:
    name = settings.load().default_drive
    drive = wiring.drive(name)
    if not isinstance(drive, VirtualDrive):
        raise UsageError(
            M(
                "'tapeline run' tries things out on a virtual drive, and drive '{name}' is a real one.",
                name=name,
            ),
            M("Run a schedule: tapeline schedule run NAME"),
        )
    return drive


def _check(source: Path | None) -> Path | None:
    if source is not None and not source.exists():
        raise UsageError(M("SOURCE: there is no {path}.", path=str(source)), M("Name a folder that exists."))
    return source.resolve() if source else None


def _sample() -> Path:
    """The sample, made once; beside its place and then moved there, because another start may make it too."""
    folder = settings.load().state_dir.resolve() / NAME / "sample"
    if not folder.exists():
        output.say(M("Making sample files in {folder} …", folder=str(folder)))
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "sample"
            sample.make(made)
            if not folder.exists():
                made.rename(folder)
    return folder


def _check_room(folder: Path) -> None:
    """The virtual tape and the restored copy are on this host's disks; a full disk would stop everything."""
    size = _size(folder)
    for place in (settings.load().state_dir, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(place).free
        if free < size + RESERVE:
            raise UsageError(
                M(
                    "{place} has only {free} free; the source has {size}.",
                    place=str(place),
                    free=units.size(free),
                    size=units.size(size),
                ),
                M("Name a smaller source, make room, or set TAPELINE_STATE_DIR and TMPDIR to another disk."),
            )


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in (folder, *folder.rglob("*")))


@contextmanager
def _processes(database: Database) -> Iterator[None]:
    """A control worker, a tape worker and beat; those already running in this state folder, if there are
    any."""
    drive = settings.load().default_drive
    wanted = [programs.control_worker(), programs.tape_worker(drive), programs.beat()]
    supervisor = Supervisor(settings.load().state_dir, wanted)
    with ExitStack() as held:
        try:
            held.enter_context(supervisor.started(_tell))
        except AlreadyUp:
            output.say(M("Tapeline is up in this state folder already: its workers do the work."))
        else:
            held.callback(_say_stopping, database)
            held.callback(messenger.finish, MESSAGE_SECONDS)
            _adopt(database)
        yield


def _say_stopping(database: Database) -> None:
    """The workers are stopped in order now; an impatient second Ctrl-C would leave them behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    run_id = _under_way(database)
    if run_id is not None:
        output.say(M("Stopping. Run {id} goes on at the next start.", id=run_id), style="yellow")


def _adopt(database: Database) -> None:
    """Nobody works on what was unfinished when the last start ended: send it again."""
    run_id = _under_way(database)
    if run_id is not None:
        from tasks.periodic import recover  # noqa: PLC0415 - loading Celery takes half a second

        recover.adopt(run_id)


def _tell(event: ProgramEvent) -> None:
    if event.kind in {ProgramEventKind.DIED, ProgramEventKind.KILLED, ProgramEventKind.LEFT_BEHIND}:
        processes.show(event)


def _insert_tape(drive: VirtualDrive, folder: Path) -> None:
    """A blank tape, unless one is in the drive already."""
    medium = drive.look()
    if medium.state is not MediumState.NO_MEDIUM:
        output.say(M("In the virtual drive: {tape}.", tape=described(medium.state.value, medium.label)))
        return
    barcode = f"DEMO{len(shelf.barcodes(drive.path)) + 1:02d}L9"
    new_cartridge(drive.path, barcode, capacity=max(CAPACITY, 4 * _size(folder)))
    insert(drive.path, barcode)
    output.say(M("A blank virtual tape ({barcode}) is in the drive.", barcode=barcode))


def _fill_library(folder: Path) -> None:
    size = _size(folder)
    blanks = sample_library.fill(size)
    output.say(
        M(
            "{count} blank tapes of {capacity} are in the virtual library; nobody changes them from here on.",
            count=len(blanks),
            capacity=units.size(sample_library.capacity(size)),
        )
    )


def _backup(database: Database, folder: Path) -> tuple[dict[str, Any], Path]:
    """The run, and the folder that it backed up: that of an interrupted run if there is one."""
    run_id = _under_way(database)
    if run_id is None:
        run_id = _start(database, folder)
        output.say(M("Run {id}: full backup, step by step", id=run_id), style="bold")
    else:
        folder = _source_of(database, run_id)
        message = M("Run {id} of {folder} was interrupted; it goes on:", id=run_id, folder=str(folder))
        output.say(message, style="bold")
    run = watch.follow(run_id, stays=False)
    if run["state"] != "SUCCEEDED":
        output.say(M("Run {id}: {state}", id=run_id, state=run["state"]), style="red")
        ending.say_remedy(run)
        output.say(M("Its story: {command}", command=f"{_command()} runs show {run_id}"))
        raise typer.Exit(states.exit_code(run["state"]))
    _print_result(database, run)
    return run, folder


def _start(database: Database, folder: Path) -> int:
    """Start a run of this very folder, even if another start changes the schedule meanwhile."""
    configured = settings.load()
    sources = [str(folder)]
    with database.transaction() as session:
        put(
            session,
            NAME,
            drive=configured.default_drive,
            sources=sources,
            # Nobody expects this trial to fire automatically next month.
            schedule_type=ScheduleType.MANUAL,
            time_zone=configured.time_zone,
            template=_small_tapes(folder) if configured.changers else None,
        )
    run_id, *_ = schedules.start(database, NAME, Options(sources=tuple(sources)))
    return run_id


def _small_tapes(folder: Path) -> dict[str, Any]:
    """Archives of which several fit on a small tape, as large as the sources: the tapes are to become
    full."""
    return {"compression": "none", "archive_bytes": sample_library.capacity(_size(folder)) // 6}


def _source_of(database: Database, run_id: int) -> Path:
    with database.transaction() as session:
        [source] = transitions.get(session, run_id).options.sources or ()
        return Path(source)


def _under_way(database: Database) -> int | None:
    """The run that an interrupted start of this command left, if it is not finished."""
    with database.transaction() as session:
        return next(iter(lookup.ids(session, RunFilter(schedule=NAME, states=ACTIVE))), None)


def _print_result(database: Database, run: dict[str, Any]) -> None:
    with database.transaction() as session:
        stored = sets_json(session, [catalog.get(session, run["set_id"])])[0]
        labels = [tape.label or tape.tape_id for tape in catalog.tapes(session, run["set_id"])]
    step = next(step for step in run["steps"] if step["name"] == "run_backup")
    seconds = views.seconds_between(step["started_at"], step["finished_at"])
    output.say(M("Result"), style="bold")
    output.print_facts(
        [
            (M("Set"), stored["id"]),
            (M("Tape"), ", ".join(labels)),
            (M("Files"), wiring.words().number(stored["files"])),
            (M("Size"), units.size(stored["bytes"])),
            (M("Warnings"), stored["warnings"]),
            (M("Rate"), wiring.words().rate(stored["bytes"], seconds)),
            (M("Where it is"), _place(stored["id"])),
        ]
    )


def _place(set_id: str) -> Path:
    """The folder of the set on the virtual tape that is in the drive."""
    drive = _virtual_drive()
    barcode = shelf.inserted(drive.path) or ""
    return shelf.folder_of(drive.path, barcode) / VOLUME / "sets" / set_id


def _restore_and_compare(database: Database, backup: dict[str, Any], folder: Path) -> bool:
    output.say(M("Restoring everything into a temporary folder, and comparing"), style="bold")
    with tempfile.TemporaryDirectory(prefix="tapeline-restore-") as target:
        with database.transaction() as session:
            run = starting.start_restore(
                session,
                set_id=backup["set_id"],
                drive=backup["drive"],
                options=Options(target=target),
                requested_by=NAME,
            )
        from tasks import chain  # noqa: PLC0415 - loading Celery takes half a second

        chain.release(run.drive, brief=True)
        ended = watch.follow(run.id, stays=False)
        if ended["state"] != "SUCCEEDED":
            output.say(M("Run {id}: {state}", id=run.id, state=ended["state"]), style="red")
            ending.say_remedy(ended)
            return False
        left_out = _left_out(database, backup["id"], folder)
        return _compare(folder, Path(target) / folder.relative_to(folder.anchor), left_out)


def _left_out(database: Database, run_id: int, folder: Path) -> list[str]:
    """The files that the backup could not store completely, so that they cannot be compared."""
    with database.transaction() as session:
        paths = [event["message"]["params"].get("path") for event in views.events_json(session, run_id)]
    return [path.removeprefix(f"{shown(str(folder))}/") for path in paths if path]


def _compare(source: Path, restored: Path, left_out: list[str]) -> bool:
    try:
        differences = compare_trees(source, restored, left_out=left_out)
    except OSError as error:
        output.say(M("The source could not be read to compare it: {reason}.", reason=str(error)), style="red")
        return False
    if left_out:
        output.say(
            M("{count} files were left out of the backup, as the story above says.", count=len(left_out)),
            style="yellow",
        )
    for difference in differences[:20]:
        line = f"  ✗ {difference.path}: {difference.what}: {difference.expected} ≠ {difference.found}"
        output.console.print(line, markup=False, soft_wrap=True, style="red")
    if differences:
        output.say(M("{count} differences.", count=len(differences)), style="red")
        return False
    output.say(M("Every byte, name, time, mode, link and attribute is the same."), style="green")
    return True


def _command() -> str:
    return str(Path(sys.argv[0]))


def _next_steps(backup: dict[str, Any], file: Path | None) -> None:
    """``file``: the settings of the virtual library, if it was used."""
    output.say(M("Try next:"), style="bold")
    named = f"TAPELINE_CONFIG={shlex.quote(str(file))} " if file else ""
    for command in (
        f"{named}{_command()} runs show {backup['id']}",
        f"{named}{_command()} {'library list' if file else 'sets list'}",
        f"{named}{_command()} up",
    ):
        output.console.print(f"  {command}", markup=False, soft_wrap=True)
