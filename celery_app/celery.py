"""The application that ``celery -A celery_app`` finds."""

from __future__ import annotations

import logging
import sys

from celery import Celery, platforms
from celery.signals import setup_logging, worker_process_init

from celery_app import (
    monitor,
    settings,
    signing,
    transport,
    wiring,
)
from celery_app.config import celery_config
from celery_app.worker import guards, logs
from policy.errors import TapelineError


def _make() -> Celery:
    made = Celery(
        "tapeline",
        amqp="celery_app.queues:DriveAMQP",
        include=[
            "tasks.requests.start",
            "tasks.steps.precheck",
            "tasks.steps.create_record",
            "tasks.steps.format_tape",
            "tasks.steps.update_label",
            "tasks.steps.run_backup",
            "tasks.steps.restore",
            "tasks.steps.verify",
            "tasks.steps.import_tape",
            "tasks.steps.read_set",
            "tasks.steps.write_copy",
            "tasks.steps.notify",
            "tasks.requests.retry",
            "tasks.periodic.recover",
            "tasks.periodic.poll_waiting",
            "tasks.requests.check_drive",
            "tasks.requests.clean",
            "tasks.requests.look_at_target",
            "tasks.requests.library_move",
            "tasks.requests.at_drive",
            "tasks.periodic.drive_liveness",
            "tasks.periodic.remind",
            "tasks.periodic.alive",
            "tasks.periodic.names",
            "tasks.periodic.report",
            "tasks.periodic.tidy",
            "tasks.requests.eject",
            "tasks.requests.run_after",
        ],
    )
    transport.install()
    made.conf.update(celery_config(settings.load()))
    signing.install(made, settings.load().signing)
    guards.install(made)
    monitor.extend_flower()
    return made


@setup_logging.connect
def _set_up_logging(loglevel: int | None = None, **_: object) -> None:
    # Celery's default level hides what operators want to read; any other level was requested.
    level = logging.INFO if loglevel in {None, logging.WARNING} else loglevel
    logs.set_up(settings.load().log_json, level)


@worker_process_init.connect
def _after_fork(**_: object) -> None:
    wiring.database().abandon()


# Where setproctitle is installed, Celery writes a title over the command line and the environment of each
# process. 'tapeline health' reads both and would find none of them.
platforms._setproctitle = None

try:
    app = _make()
except TapelineError as error:
    sys.stderr.write(f"tapeline: {error}\n")
    raise SystemExit(error.exit_code) from error
