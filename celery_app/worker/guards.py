"""Worker guards: a tape worker starts only if it has its drive to itself and runs one process."""

from __future__ import annotations

import mmap
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from typing import Any, NoReturn

import psutil
import structlog
from celery import Celery, bootsteps
from celery.signals import celeryd_init, task_postrun, task_prerun, worker_shutting_down
from celery.worker import state
from celery.worker.control import Panel
from kombu.exceptions import OperationalError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from celery_app import reading, settings, wiring
from celery_app.config import BRIEF, is_amqp
from celery_app.queues import CONTROL, is_tape_queue
from db.tapes import drives
from policy.errors import TapelineError
from policy.message import M
from tape.hostlock import HostLock

log = structlog.get_logger("tapeline.worker")

POOL = "threads" if sys.platform == "win32" else "prefork"
"""Never solo: a solo worker answers no remote command and acknowledges only at the end. Windows has no
fork."""

SEEN_SECONDS = 15.0
PID_BYTES = 8
EX_SOFTWARE = 70
"""The exit code of a worker that does not work; for any code but 0 and 2, a service starts it again."""


class WorkerRefused(TapelineError):
    """This worker must not start with these options."""


@dataclass
class Held:
    """The drive that this worker uses; the processes of its pool inherit it."""

    drive: str
    host_lock: HostLock
    connection: Connection

    @property
    def descriptor(self) -> int:
        """The open lock file: a program that inherits it keeps the drive locked even if the worker is
        killed."""
        return self.host_lock.descriptor


_held: Held | None = None


# One byte that the processes of the pool share with the worker: whether it is to stop.
_ending = mmap.mmap(-1, 1)
# The number of the process that runs a task, set by that process; 0: none runs one.
_busy = mmap.mmap(-1, PID_BYTES)


@worker_shutting_down.connect
def _note_the_end(**_: Any) -> None:
    _ending[0] = 1


@task_prerun.connect
def _note_a_task(**_: Any) -> None:
    _busy[:] = os.getpid().to_bytes(PID_BYTES)


@task_postrun.connect
def _note_no_task(**_: Any) -> None:
    _busy[:] = bytes(PID_BYTES)
    if _held is not None:
        # There may be a hundred drives: an idle one keeps no connection but that of its lock.
        wiring.database().close()


def is_ending() -> bool:
    """Whether this process's worker was asked to stop (a warm shutdown)."""
    return _ending[0] == 1


def held() -> Held | None:
    """The drive that this process's worker uses, or None on a control worker."""
    return _held


def install(app: Celery) -> None:
    """Put the guard into every worker of the application."""
    app.steps["worker"].add(DriveGuard)


@celeryd_init.connect
def check_queues(options: dict[str, Any], conf: Any, **_: Any) -> None:
    """Refuse a queue that does not exist, before Celery answers with a traceback."""
    asked = options.get("queues") or []
    names = asked.split(",") if isinstance(asked, str) else asked
    known = [queue.name for queue in conf.task_queues]
    unknown = [name for name in names if name not in known]
    if unknown:
        _refuse(
            WorkerRefused(
                M("There is no queue '{queue}' on this host.", queue=unknown[0]),
                M(
                    "There are: {queues}. A drive of the settings has a queue of its own.",
                    queues=", ".join(known),
                ),
            )
        )


def _refuse(error: TapelineError) -> NoReturn:
    sys.stderr.write(f"tapeline: {error}\n")
    raise SystemExit(1) from error


class DriveGuard(bootsteps.StartStopStep):  # type: ignore[misc]
    """Refuses to start, with one line and exit code 1, unless the worker may have its drive to itself. Ends a
    worker of any kind whose pool takes no task."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._keeper: Keeper | None = None

    def create(self, parent: Any) -> Any:
        try:
            self._guard(parent)
        except TapelineError as error:
            _refuse(error)
        return self

    def _guard(self, worker: Any) -> None:
        queues = list(worker.app.amqp.queues.consume_from)
        check(worker, queues)
        wiring.database().check_version()
        if queues != [CONTROL]:
            self._keeper = Keeper(take(settings.load().drive_of(queues[0])), worker.hostname, queues[0])
            _be_a_tape_worker(worker.app)

    def start(self, worker: Any) -> None:
        if self._keeper:
            self._keeper.start()
            _look_after_runs(worker.app)
        else:
            # Without it nobody would recover a run, or report one. The worker's own loop checks, not a
            # thread: pools come to hang after a fork beside threads.
            watch = PoolWatch(settings.load().pool_patience_seconds)
            worker.timer.call_repeatedly(watch.pause, watch.check, (watch.pause,))

    def stop(self, _worker: Any) -> None:
        if self._keeper:
            self._keeper.stop()


def check(worker: Any, queues: list[str]) -> None:
    """Raises WorkerRefused unless queues, concurrency and pool fit together."""
    if queues == [CONTROL]:
        return
    if len(queues) != 1 or not is_tape_queue(queues[0]):
        raise WorkerRefused(
            M("A worker consumes 'control' or one tape queue, not: {queues}.", queues=", ".join(queues)),
            M("Start it with '-Q control', or with '-Q tape -c 1' on the drive host."),
        )
    if worker.autoscale or worker.concurrency != 1:
        raise WorkerRefused(
            M(
                "A tape worker has concurrency 1, not {found}.",
                found=f"autoscale {worker.autoscale}" if worker.autoscale else worker.concurrency,
            ),
            M("Start it with '-Q {queue} -c 1' and without --autoscale.", queue=queues[0]),
        )
    pool = worker.pool_cls.__module__.rsplit(".", 1)[-1]
    if pool not in {POOL, "thread" if POOL == "threads" else POOL}:
        raise WorkerRefused(
            M("A tape worker runs on the pool '{wanted}' here, not '{found}'.", wanted=POOL, found=pool),
            M("Start it with '-P {wanted} -c 1'.", wanted=POOL),
        )


def take(drive: str) -> Held:
    """Reserve a drive on this host and in the database, for as long as this process lives."""
    global _held  # noqa: PLW0603 - the pool's children find the drive of their worker here
    folder = settings.load().drive_folder(drive)
    folder.mkdir(parents=True, exist_ok=True)
    host_lock = HostLock(folder / "drive.lock")
    host_lock.acquire()
    _held = Held(drive, host_lock, lock_in_database(drive))
    return _held


def lock_in_database(drive: str) -> Connection:
    """Take the drive's lock on a connection of its own. Raises WorkerRefused, DatabaseUnavailable."""
    database = wiring.database()
    database.check_version()
    connection = database.stay()
    if not drives.try_lock(connection, drive):
        connection.close()
        raise WorkerRefused(
            M("Another tape worker holds drive {drive}.", drive=drive),
            M("Stop it first: 'tapeline drive list' names its host."),
        )
    return connection


def _look_after_runs(app: Celery) -> None:
    """Resume at once what this drive's last worker left unfinished, not a minute later."""
    try:
        app.send_task("tapeline.recover", queue=CONTROL, retry_policy=BRIEF)
    except (OperationalError, OSError) as error:
        log.warning("the broker does not answer; beat has the runs looked after", error=str(error))


def _be_a_tape_worker(app: Celery) -> None:
    # This worker must not prefetch a second job: it would be redelivered after the time-out. RabbitMQ always
    # hands one out; its consumer may keep it for long (config.consumer_arguments).
    app.conf.worker_disable_prefetch = not is_amqp(app.conf.broker_url)
    for command in (
        "pool_grow",
        "pool_shrink",
        "pool_restart",
        "autoscale",
        "add_consumer",
        "cancel_consumer",
    ):
        Panel.data[command] = _refused


def _refused(_state: Any, **_: Any) -> dict[str, str]:
    """The answer to a remote command that would take away the drive's one process or queue."""
    return {"error": "a worker of this kind has one process and one queue: nothing was changed"}


class PoolWatch:
    """Ends the worker as a crash would if its pool leaves a task for longer than ``patience`` seconds."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.pause = min(SEEN_SECONDS, patience)
        """Seconds from one check to the next."""
        self._untaken = 0.0

    def check(self, seconds: float) -> None:
        """Call this every so many seconds. It counts calls, not the clock: while this process itself was
        stopped, nothing could be taken."""
        if state.active_requests or not state.reserved_requests or _is_busy():
            self._untaken = 0.0
            return
        self._untaken += seconds
        if self._untaken > self.patience:
            log.critical("the pool takes no task; this worker ends, to be started anew")
            for child in psutil.Process().children():
                child.kill()
            os._exit(EX_SOFTWARE)


def _is_busy() -> bool:
    """Whether this process or a living child reports that it runs a task. The worker's own knowledge may come
    late, and a worker that formats must never be ended because of that."""
    return int.from_bytes(_busy[:]) in {os.getpid(), *(child.pid for child in psutil.Process().children())}


class Keeper(threading.Thread):
    """Keeps the drive: records a sign of life every few seconds, and takes a lost lock again.

    The lock is lost silently with its connection. If another worker has it then, this one ends. It also ends
    if its pool does not take the task that it was given: a process that hangs in its fork looks idle to
    everybody, and a run would wait for it all night.
    """

    def __init__(self, holding: Held, worker: str, queue: str) -> None:
        super().__init__(name="drive-keeper", daemon=True)
        self._holding = holding
        self._worker = worker
        self._queue = queue
        self._ended = threading.Event()
        self._pool = PoolWatch(settings.load().pool_patience_seconds)

    def start(self) -> None:
        self._register()
        super().start()

    def stop(self) -> None:
        self._ended.set()

    def run(self) -> None:
        while not self._ended.wait(self._pool.pause):
            self._pool.check(self._pool.pause)
            try:
                self._keep()
            except (TapelineError, SQLAlchemyError) as error:
                log.warning(
                    "the database does not answer; the drive stays locked on this host", error=str(error)
                )

    def _keep(self) -> None:
        try:
            self._holding.connection.exec_driver_sql("SELECT 1")
        except SQLAlchemyError:
            self._lock_again()
        with wiring.database().transaction() as session:
            drives.seen(session, self._holding.drive)
        reading.enter(self._queue)
        wiring.database().close()

    def _lock_again(self) -> None:
        try:
            self._holding.connection = lock_in_database(self._holding.drive)
        except WorkerRefused as error:
            log.critical("the drive is held elsewhere; this worker ends", error=str(error))
            os.kill(os.getpid(), signal.SIGTERM)

    def _register(self) -> None:
        configured = settings.load().drive(self._holding.drive)
        with wiring.database().transaction() as session:
            drives.register(
                session,
                name=self._holding.drive,
                driver=configured.driver,
                host=socket.gethostname(),
                worker=self._worker,
                queue=self._queue,
                restore_roots=[str(root) for root in settings.load().restore_roots],
            )
