"""``tapeline``: the operator's commands."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer

from cli.lazy import group_of
from cli.tree import COMMANDS, SECTIONS
from policy.errors import TapelineError, UsageErrors
from policy.message import M

app = typer.Typer(
    name="tapeline",
    cls=group_of(COMMANDS, SECTIONS),
    help="Scheduled backups to LTO tape.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 skipped, 4 waiting for an operator.",
)
UNREAD = 141
"""The exit code of a program whose reader has gone, as in a shell."""

_debug = False

CommandLineError: type[Any] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""The parser's errors, whether Typer has its own parser or uses click's."""


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version  # noqa: PLC0415 - few commands need it

        sys.stdout.write(f"tapeline {version('tapeline')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")
    ] = False,
) -> None:
    del version
    global _debug  # noqa: PLW0603 - read where errors are shown, outside of any command
    _debug = debug
    from celery_app.worker import logs  # noqa: PLC0415 - help prints no logs, and should be there at once

    logs.set_up(as_json=False, level=logging.WARNING)


def main() -> None:
    """Run a command; every error is one line, of wrong fields one each, with the exit code of its class."""
    _open_streams()
    signal.signal(signal.SIGTERM, _end)
    try:
        code = app(standalone_mode=False)
    except CommandLineError as error:
        code = _show_usage(error)
    except (typer.Abort, KeyboardInterrupt):
        _print_error("interrupted")
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
        _print_error(f"unexpected error: {kind}: {error} (tapeline --debug … shows more)")
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
        _print_error(f"{error.format_message()} See '{command} --help'.")
    return int(error.exit_code)


def _translated(error: OSError) -> TapelineError:
    path = os.fsdecode(error.filename) if error.filename else "-"
    return TapelineError(
        M("{reason}: {path}.", reason=error.strerror or type(error).__name__, path=path),
        M("Make room or correct the permissions; TAPELINE_STATE_DIR names another state folder."),
    )


def _show(error: TapelineError) -> int:
    from celery_app import wiring  # noqa: PLC0415 - the settings may be what is wrong

    for each in error.errors if isinstance(error, UsageErrors) else (error,):
        try:
            text = wiring.words().error(each)
        except TapelineError:
            text = str(each)
        _print_error(text)
    return error.exit_code


def _print_error(text: str) -> None:
    from cli.render.output import errors  # noqa: PLC0415 - most commands make no error

    errors.print(f"tapeline: {text}", markup=False, soft_wrap=True)
