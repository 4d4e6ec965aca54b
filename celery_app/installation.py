"""Whether a process of this host belongs to this installation, judged by the broker in its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil

from celery_app import settings, settings_file
from celery_app.settings import HOST_FILE, PREFIX

_PORTS = {"amqp": 5672, "amqps": 5671}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def is_ours(process: psutil.Process) -> bool:
    """Whether it uses this installation's broker. A process whose settings cannot be read counts as ours: a
    check may name one process too many, but never one too few."""
    try:
        theirs = _settings_of(process)
        return _is_same(theirs)
    except (psutil.Error, OSError, ValueError):
        return True


def _settings_of(process: psutil.Process) -> Mapping[str, Any]:
    """The address of its broker and its state folder, as far as its environment and its file name them."""
    environment, folder = process.environ(), Path(process.cwd())
    named = environment.get(f"{PREFIX}CONFIG")
    files = [folder / named] if named else [folder / "tapeline.toml", HOST_FILE]
    file = next((file for file in files if file.is_file()), None)
    written = settings_file.read_toml(file) if file else {}
    values = {name: environment.get(f"{PREFIX}{name.upper()}", written.get(name)) for name in _TELLING}
    if values["state_dir"]:
        values["state_dir"] = (folder / Path(values["state_dir"]).expanduser()).resolve()
    return values


_TELLING = ("broker_url", "state_dir")


def _is_same(theirs: Mapping[str, Any]) -> bool:
    ours = settings.load()
    broker = ours.broker_url.get_secret_value() if ours.broker_url else None
    if broker or theirs["broker_url"]:
        return _server(broker) == _server(theirs["broker_url"])
    # Both use the embedded broker, which is in the state folder.
    return theirs["state_dir"] in {None, ours.state_dir.resolve()}


def _server(url: str | None) -> tuple[object, ...] | None:
    """Which broker an address leads to, for any user: hosts may have users of their own."""
    if not url:
        return None
    parts = urlsplit(url)
    query = parse_qs(parts.query).get("virtual_host", ["0"])
    if parts.scheme == "redis+socket":
        return (parts.path, *query)
    host = "loopback" if parts.hostname in _LOOPBACK else parts.hostname
    return host, parts.port or _PORTS.get(parts.scheme, 6379), parts.path.strip("/") or "0"
