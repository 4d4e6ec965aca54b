"""The settings of this process: some are read again when the file changes, the others are fixed until it
ends."""

from __future__ import annotations

import codecs
import time
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic_settings import BaseSettings, TomlConfigSettingsSource

from policy.errors import TapelineError
from policy.message import Message

LOOK_SECONDS = 1.0
"""How often the file is checked, at most."""

FIXED = frozenset(
    {
        "state_dir",
        "broker_url",
        "broker_tls",
        "database_url",
        "database_tls",
        "signing",
        "default_drive",
        "drives",
        "changers",
        "flower",
        "recover_seconds",
        "ping_alive_seconds",
        "pool_patience_seconds",
        "log_json",
    }
)
"""The settings that a process is built from. A change takes effect when the process is restarted."""


S = TypeVar("S", bound=BaseSettings)


class SettingsFile(Generic[S]):
    """``read`` returns the present settings, ``find`` their file. Both raise BadConfiguration."""

    def __init__(self, read: Callable[[], S], find: Callable[[], Path | None]) -> None:
        self._read = read
        self._find = find
        self.forget()

    def forget(self) -> None:
        """The state of a new process."""
        self._first: S | None = None
        self._now: S | None = None
        self._looked = 0.0
        self._stamp: object = None
        self.file: Path | None = None
        self.read_at = datetime.now(UTC)
        self.behind: list[str] = []
        """The settings that differ between the file and this process, until it is restarted."""
        self.problem: Message | None = None
        """Why the file cannot be read now; the values that were read before stay in use."""

    def settings(self) -> S:
        """Raises BadConfiguration, but only the first time."""
        if self._now is None:
            self._looked = time.monotonic()
            file = self._find()
            self._stamp = _stamp(file)
            self._first = self._now = self._read()
            self._note(file)
        elif time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked = time.monotonic()
            self._look(self._now)
        return self._now

    def _look(self, held: S) -> None:
        try:
            file = self._find()
            stamp = _stamp(file)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._take(self._read())
            self._note(file)
        except TapelineError as error:
            self._now, self.problem = held, error.message

    def _take(self, loaded: S) -> None:
        first = self._first
        assert first is not None
        self.behind = sorted(name for name in FIXED if getattr(loaded, name) != getattr(first, name))
        self._now = loaded.model_copy(update={name: getattr(first, name) for name in FIXED})

    def _note(self, file: Path | None) -> None:
        self.file, self.read_at, self.problem = file and file.absolute(), datetime.now(UTC), None


def _stamp(file: Path | None) -> object:
    """What changes when a file is saved, or another one takes its place."""
    if file is None:
        return None
    try:
        status = file.stat()
    except OSError as error:
        return (str(file), error.errno)
    return (str(file), status.st_mtime_ns, status.st_size, status.st_ino)


class TomlFile(TomlConfigSettingsSource):
    """``tapeline.toml``, as editors save it."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return read_toml(file_path)


def read_toml(file: Path) -> dict[str, Any]:
    """The contents of a TOML file, with a byte order mark or without. Raises OSError, ValueError."""
    raw = file.read_bytes()
    is_utf_16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return tomllib.loads(raw.decode("utf-16" if is_utf_16 else "utf-8-sig"))


def place_of(error: Any) -> list[str]:
    """Where a wrong value is in the file; pydantic's path also contains the driver or type that it chose."""
    place = [str(part) for part in error["loc"]]
    if not place:
        # Two values that contradict each other: the problem names both.
        return ["settings"]
    if place[0] in {"drives", "changers", "channels"} and len(place) > 2:
        del place[2]
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        place.append(error["ctx"]["discriminator"].strip("'"))
    return place


def problem_of(error: Any) -> str:
    """What pydantic finds wrong, in our words."""
    if error["type"] == "extra_forbidden":
        return "there is no such setting"
    if error["type"] == "union_tag_invalid":
        return f"'{error['ctx']['tag']}' is none of {error['ctx']['expected_tags']}"
    if error["type"] == "union_tag_not_found":
        return "Field required"
    return str(error["msg"]).removeprefix("Value error, ")
