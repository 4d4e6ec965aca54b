"""``tapeline``: the operator's commands."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer

from celery_app import logs
from cli.commands import (
    apply,
    calendar,
    doctor,
    drives,
    formats,
    freezes,
    health,
    labels,
    notify,
    precheck,
    run,
    runs,
    schedules,
    sets,
    status,
    tapes,
)
from cli.host import (
    clock,
    database,
    processes,
    rights,
    settings,
)
from cli.render.output import errors, examples
from policy.errors import TapelineError
from policy.message import M

app = typer.Typer(
    name="tapeline",
    help="Scheduled backups to LTO tape.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 skipped, 4 waiting for an operator.",
)
app.add_typer(runs.app, name="runs")
app.add_typer(sets.app, name="sets")
tapes.app.command(epilog=examples("tapeline tape register --pool yearly"))(labels.register)
tapes.app.command(epilog=examples("tapeline tape label TP20261102"))(labels.label)
tapes.app.command(
    "erasable",
    short_help="Permit one format of a tape that LTFS cannot read.",
    epilog=examples("tapeline tape erasable", "tapeline tape erasable --confirm AE2101170123"),
)(labels.say_erasable)
tapes.app.command(
    "format",
    short_help="Show whether a run would format the tape.",
    epilog=examples("tapeline tape format --dry-run", "tapeline tape format --schedule monthly --dry-run"),
)(formats.format_tape)
app.command(
    "format",
    short_help="Show whether a run would format the tape.",
    epilog=examples("tapeline format --dry-run", "tapeline format --drive tape1 --dry-run --json"),
)(formats.format_tape)
tapes.drives.command(epilog=examples("tapeline drive load tape0"))(drives.load)
tapes.drives.command(epilog=examples("tapeline drive eject tape0"))(drives.eject)
tapes.drives.command(epilog=examples("tapeline drive check tape0"))(drives.check)
tapes.drives.command(epilog=examples("tapeline drive rights drive_host_1"))(rights.rights)
app.add_typer(tapes.app, name="tape")
app.add_typer(tapes.drives, name="drive")
app.add_typer(schedules.app, name="schedule")
app.add_typer(notify.app, name="notify")
app.add_typer(database.app, name="database")
app.add_typer(clock.app, name="clock")
schedules.app.command(
    "apply",
    short_help="Apply a file of schedules.",
    epilog=examples(
        "tapeline schedule apply schedules.toml --dry-run", "tapeline schedule apply schedules.toml"
    ),
)(apply.apply)
schedules.app.command(
    "schema",
    short_help="Print the JSON Schema of that file.",
    epilog=examples("tapeline schedule schema > schedules.schema.json"),
)(apply.schema)
app.command(
    "freeze",
    short_help="Stop all formats until the freeze is lifted.",
    epilog=examples(
        "tapeline freeze --why 'files were encrypted on srv2'", "tapeline freeze audit --why 'audit'"
    ),
)(freezes.freeze)
app.command(
    "unfreeze",
    short_help="Lift a freeze by its name.",
    epilog=examples("tapeline unfreeze audit --why 'it is over'"),
)(freezes.unfreeze)
app.command(
    "run",
    short_help="Try Tapeline on a virtual tape.",
    epilog=examples("tapeline run", "tapeline run /home/me/documents"),
)(run.run)
app.command(
    "precheck",
    short_help="Show whether the next run of a schedule will go ahead.",
    epilog=examples(
        "tapeline precheck monthly-full",
        "tapeline precheck monthly-full --now",
        "tapeline precheck monthly-full --manual --json",
    ),
)(precheck.precheck)
app.command("up", short_help="Run everything on this machine.")(processes.up)
app.command(
    "calendar",
    short_help="Which run needs which tape.",
    epilog=examples("tapeline calendar", "tapeline calendar --days 400 --json"),
)(calendar.calendar)
app.command("status", short_help="Show an overview of everything.")(status.status)
app.command("doctor", short_help="Check this host, and name the remedies.")(doctor.doctor)
app.command("settings", short_help="Show the settings of this host.")(settings.settings)
app.command(
    "health",
    short_help="Ask this host's processes for a sign of life.",
    epilog=examples("tapeline health", "tapeline health tape beat"),
)(health.health)
app.command(
    "worker",
    short_help="Run one worker, as a service does.",
    epilog=examples("tapeline worker control", "tapeline worker tape"),
)(processes.worker)
app.command("beat", short_help="Run beat, as a service does.")(processes.beat)
app.command("flower", short_help="Run the dashboard, as a service does.")(processes.flower)
app.command("migrate", short_help="Migrate the database to this version.")(processes.migrate)

UNREAD = 141
"""The exit code of a program whose reader has gone, as in a shell."""

_debug = False

CommandLineError: type[Any] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""The parser's errors, whether Typer has its own parser or uses click's."""


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")
    ] = False,
) -> None:
    global _debug  # noqa: PLW0603 - read where errors are shown, outside of any command
    _debug = debug


def main() -> None:
    """Run a command; every error is one line, with the exit code of its class."""
    _open_streams()
    signal.signal(signal.SIGTERM, _end)
    logs.set_up(as_json=False, level=logging.WARNING)
    try:
        code = app(standalone_mode=False)
    except CommandLineError as error:
        code = _show_usage(error)
    except (typer.Abort, KeyboardInterrupt):
        errors.print("tapeline: interrupted")
        code = 130
    except TapelineError as error:
        code = _show(error)
    except BrokenPipeError:
        code = _left_alone()
    except OSError as error:
        if _debug:
            raise
        code = _show(_translated(error))
    except Exception as error:
        if _debug:
            raise
        kind = type(error).__name__
        errors.print(
            f"tapeline: unexpected error: {kind}: {error} (tapeline --debug … shows more)", markup=False
        )
        code = 1
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _left_alone()
    sys.exit(code or 0)


def _open_streams() -> None:
    """Streams that a program can write to, even if none was given."""
    if sys.stdout is None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        sys.stdout = open(nowhere, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the end
    sys.stderr = sys.stderr or sys.stdout
    for stream in (sys.stdout, sys.stderr):
        # A terminal without Chinese shows escapes instead of an error.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _left_alone() -> int:
    """Nobody reads the output any more, as behind ``| head``: the rest of it is discarded."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return UNREAD


def _end(number: int, _frame: FrameType | None) -> None:
    """A request to stop is a normal end: servers and workers are stopped in order."""
    raise SystemExit(128 + number)


def _show_usage(error: Any) -> int:
    """One line; the whole help only if no command was given."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "tapeline"
        errors.print(
            f"tapeline: {error.format_message()} See '{command} --help'.", markup=False, soft_wrap=True
        )
    return int(error.exit_code)


def _translated(error: OSError) -> TapelineError:
    path = os.fsdecode(error.filename) if error.filename else "-"
    return TapelineError(
        M("{reason}: {path}.", reason=error.strerror or type(error).__name__, path=path),
        M("Make room or correct the permissions; TAPELINE_STATE_DIR names another state folder."),
    )


def _show(error: TapelineError) -> int:
    from celery_app import wiring  # noqa: PLC0415 - the settings may be what is wrong

    try:
        text = wiring.words().error(error)
    except TapelineError:
        text = str(error)
    errors.print(f"tapeline: {text}", markup=False, soft_wrap=True)
    return error.exit_code
