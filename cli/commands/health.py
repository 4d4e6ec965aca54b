"""``tapeline health``: whether Tapeline's processes on this host are working, for a monitoring system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands import doctor
from cli.commands.doctor import HostCheck
from cli.render.output import AsJson
from policy.message import M

if TYPE_CHECKING:
    from celery_app.worker.pulse import OwnProcess


def health(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROCESS",
            help="control, tape, tape.DRIVE, beat, flower or a worker's name; default: all here.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the processes of this host for a sign of life: a worker and beat answer through the broker, a tape
    worker must keep its drive in the database, the dashboard must serve a page. Processes of other
    installations, which have another broker, are left out. Changes nothing.

    Exit code 1 if one does not answer, or if none runs here.
    """
    from celery_app.worker import pulse  # noqa: PLC0415 - loading Celery takes half a second

    findings = [_of(name) for name in names or []] or [_asked(process) for process in pulse.processes()]
    doctor.report(findings or [_none()], as_json=as_json)


def _of(name: str) -> HostCheck:
    from celery_app.worker import pulse  # noqa: PLC0415 - loading Celery takes half a second

    return doctor.checked(M("{name}", name=name), lambda: pulse.check(pulse.named(name)))


def _asked(process: OwnProcess) -> HostCheck:
    from celery_app.worker import pulse  # noqa: PLC0415 - loading Celery takes half a second

    return doctor.checked(M("{name}", name=process.name), lambda: pulse.check(process))


def _none() -> HostCheck:
    from celery_app.worker import pulse  # noqa: PLC0415 - loading Celery takes half a second

    others = pulse.of_others()
    return HostCheck(
        M("Processes"),
        M(
            "None of this installation's processes runs here; of others, with another broker: {count}.",
            count=others,
        )
        if others
        else M("None of Tapeline's processes runs on this host."),
        M("Start them with 'tapeline up', or as services."),
        ok=False,
    )
