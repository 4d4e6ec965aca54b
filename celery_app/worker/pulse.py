"""Which of Tapeline's processes run on this host, and whether each is working."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import psutil
from celery.beat import beat_nodename
from celery.utils.nodenames import default_nodename, host_format

from celery_app import (
    health,
    installation,
    settings,
    wiring,
)
from celery_app.queues import CONTROL
from celery_app.worker import guards
from db.tapes import drives
from policy.errors import TapelineError
from policy.message import M, Message

ANSWER_SECONDS = 5.0
"""How long to wait for an answer of a process."""

MISSED_BEATS = 4
"""How many times in a row a tape worker may miss its sign of life."""

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where the dashboard listens, if it is told to
"""Listening addresses that cannot be connected to, and the address to use instead."""


class NoPulse(TapelineError):
    """A process runs and does not work, or does not run."""


@dataclass(frozen=True, slots=True)
class OwnProcess:
    """One of Tapeline's processes on this host. ``name``: its queue, or ``beat`` or ``flower``."""

    name: str
    node: str
    """Its name in the broker."""


def processes() -> list[OwnProcess]:
    """The processes of this installation that run here, however they were started, each once."""
    ours, _ = _sorted_out()
    return sorted(ours, key=lambda process: process.name)


def of_others() -> int:
    """How many processes of other installations, with another broker, run on this host."""
    _, others = _sorted_out()
    return len(others)


def _sorted_out() -> tuple[set[OwnProcess], set[OwnProcess]]:
    """The processes of this installation, and those of others, that run here."""
    ours: set[OwnProcess] = set()
    others: set[OwnProcess] = set()
    for running in psutil.process_iter(["cmdline"]):
        process = _process(running.info["cmdline"] or [])
        if process:
            (ours if installation.is_ours(running) else others).add(process)
    return ours, others


def named(name: str) -> OwnProcess:
    """The process of this name, or the worker of this node name, that runs here. Raises NoPulse."""
    for process in processes():
        if name in {process.name, process.node}:
            return process
    raise NoPulse(M("It does not run on this host."), M("Start it, and read its log if it ended by itself."))


def check(process: OwnProcess) -> Message:
    """Ask a process for a sign of life. Raises NoPulse, BrokerUnavailable, DatabaseUnavailable."""
    if process.name == "flower":
        return _flower()
    _ping(process)
    return M("answers") if process.name in {"beat", CONTROL} else _drive(process)


def _process(command: Sequence[str]) -> OwnProcess | None:
    """What a command line starts: ``celery -A celery_app worker -Q tape ...``, or None."""
    words = list(_split(command))
    if ("-A", "celery_app") not in pairwise(words):
        return None
    if "worker" in words:
        node = host_format(default_nodename(_option(words, "-n", "--hostname")))
        return OwnProcess(_option(words, "-Q", "--queues") or CONTROL, node)
    name = next((name for name in ("beat", "flower") if name in words), None)
    return OwnProcess(name, beat_nodename() if name == "beat" else name) if name else None


def _split(command: Sequence[str]) -> Iterator[str]:
    for word in command:
        option, equals, value = word.partition("=")
        parts = [option, value] if equals and word.startswith("--") else [word]
        yield from ("-A" if part == "--app" else part for part in parts)


def _option(words: Sequence[str], *names: str) -> str:
    given = [value for name, value in pairwise(words) if name in names]
    return given[-1] if given else ""


def _ping(process: OwnProcess) -> None:
    """A worker answers while its task works; beat is silent once its scheduler hangs for a minute."""
    if not health.ping([process.node], ANSWER_SECONDS):
        raise NoPulse(
            M("{node} runs and does not answer.", node=process.node),
            M("Read its log; if it goes on, start it again."),
        )


def _drive(process: OwnProcess) -> Message:
    """The worker also records in the database that it keeps its drive."""
    name = settings.load().drive_of(process.name)
    with wiring.database().transaction() as session:
        keeper = drives.keeper(session, name)
        within = timedelta(seconds=MISSED_BEATS * guards.SEEN_SECONDS)
        kept = keeper == process.node and drives.is_alive(session, name, within)
    if not kept:
        raise NoPulse(
            M(
                "{node} answers, and has not said lately that it keeps drive {drive}.",
                node=process.node,
                drive=name,
            ),
            M("See that the database can be reached from here; read the worker's log."),
        )
    return M("answers, and keeps drive {drive}", drive=name)


def _flower() -> Message:
    flower = settings.load().flower
    address = EVERYWHERE.get(flower.address, flower.address)
    connection = http.client.HTTPConnection(address, flower.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/healthcheck")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise _no_dashboard(f"{address}:{flower.port}", type(error).__name__) from error
    finally:
        connection.close()
    if status != http.HTTPStatus.OK:
        raise _no_dashboard(f"{address}:{flower.port}", str(status))
    return M("answers at {address}", address=f"{address}:{flower.port}")


def _no_dashboard(address: str, reason: str) -> NoPulse:
    return NoPulse(
        M("The dashboard does not answer at {address} ({reason}).", address=address, reason=reason),
        M("Read its log; if it goes on, start it again."),
    )
