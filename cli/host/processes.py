"""The processes: all together (``up``), or one by one as services start them."""

from __future__ import annotations

import errno
import os
import runpy
import socket
import sys
from typing import Annotated

import typer

from celery_app import settings, wiring
from cli.host import audited, programs, stack
from cli.render import output
from dashboard import login
from db.admin import rights
from embedded.program import Program, ProgramEvent
from embedded.supervisor import Supervisor
from policy.errors import UsageError
from policy.message import M


def up() -> None:
    """Run everything on this machine until Ctrl-C: servers, workers, beat, dashboard.

    PostgreSQL and Redis are the embedded ones unless database_url and broker_url are set.
    """
    configured = settings.load()
    wanted = [
        programs.control_worker(),
        *(programs.tape_worker(name) for name in configured.drive_names),
        programs.beat(),
        programs.flower(),
    ]
    with stack.database():
        output.say(M("State folder: {folder}", folder=str(configured.state_dir)))
        _say_dashboard(configured.flower.address, configured.flower.port)
        if not (configured.flower.basic_auth or configured.flower.without_login):
            output.say(
                M("Login: user {user}, password in {file}", user=login.USER, file=str(login.login_file()))
            )
        output.say(M("Logs: {folder}", folder=str(configured.state_dir / "log")))
        Supervisor(configured.state_dir, wanted).run(show)
    output.say(M("Everything has stopped."))


def _say_dashboard(address: str, port: int) -> None:
    """Another program answers at a port that is taken."""
    if not _is_taken(address, port):
        output.say(M("Dashboard: http://{address}:{port}", address=address, port=port))
        return
    taken = M(
        "Another program has port {port} of {address}: there is no dashboard until it is free, or until the"
        " setting flower.port names another one.",
        address=address,
        port=port,
    )
    output.say(taken, style="yellow")


def _is_taken(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.create_server((address, port), family=family).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def show(event: ProgramEvent) -> None:
    """One line for a process's event."""
    pid = f"[{event.pid}]" if event.pid else ""
    text = wiring.words().text(event.text)
    output.console.print(f"{event.name:<10} {pid:<10} {text}", markup=False, soft_wrap=True)


def worker(
    queue: Annotated[str | None, typer.Argument(help="control, tape, or tape.DRIVE.")] = None,
    drive: Annotated[str | None, typer.Option("--drive", help="The worker of this drive.")] = None,
    concurrency: Annotated[int, typer.Option("-c", "--concurrency", min=1, help="For control only.")] = 2,
) -> None:
    """Run one worker in the foreground, as a service does: of a queue, or of a drive of this host."""
    if (queue is None) == (drive is None):
        raise UsageError(
            M("A worker is of one queue, or of one drive."),
            M("Start it with 'tapeline worker control' or 'tapeline worker --drive tape0'."),
        )
    queue = queue or _queue_of(drive or "")
    processes = concurrency if queue == "control" else 1
    _become(Program(queue, programs.worker(queue, processes, name=queue)))


def _queue_of(drive: str) -> str:
    """Raises BadConfiguration for a drive that this host does not have."""
    settings.load().drive(drive)
    return settings.load().queue_of(drive)


def beat() -> None:
    """Run beat in the foreground, as a service does."""
    _become(programs.beat())


def flower() -> None:
    """Run the dashboard in the foreground, as a service does."""
    _become(programs.flower())


def _become(program: Program) -> None:
    """Replace this process with the program: its signals and its exit code are its own."""
    sys.stdout.flush()
    os.environ.update(program.env or {})
    if sys.platform == "win32":
        # There exec returns at once and continues as another process: a service would count as ended.
        _, _, module, *sys.argv[1:] = program.argv
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    os.execv(program.argv[0], list(program.argv))  # noqa: S606 - no shell


def migrate() -> None:
    """Migrate the database's tables to this version. Does nothing if they have it."""
    with stack.servers():
        wiring.database().upgrade()
        with wiring.database().transaction() as session:
            rights.refresh(session)
        audited.note(wiring.database())
    output.say(M("The database has the tables of this version."))
