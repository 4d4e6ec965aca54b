"""A virtual library for ``tapeline run --library``: small blank tapes, and settings of its own beside the
host's."""

from __future__ import annotations

from pathlib import Path

from celery_app import settings, wiring
from policy.errors import UsageError
from policy.message import M
from tape.virtual import library, shelf
from tape.virtual.record import read

NAME = "lib0"
SLOTS = 8
BLANKS = 7
"""How many blank tapes wait in it."""
MOVE_SECONDS = 0.5
FULL_TAPES = 5.5
"""How many of its tapes a source fills, more or less."""
MIN_CAPACITY = 24_000_000

_SETTINGS = """\
# Made by 'tapeline run --library': a virtual library to try things out, apart from everything else.
language = "{language}"
time_zone = "{time_zone}"
state_dir = '{folder}'

[drives.tape0]
driver = "virtual"
path = '{folder}/drive'

[changers.{name}]
driver = "virtual"
path = '{folder}/library'
drives = {{ 0 = "tape0" }}
slots = {slots}
move_seconds = {seconds}
"""


def file() -> Path:
    """The settings of the virtual library, once they are in use."""
    return settings.load().state_dir / "tapeline.toml"


def use() -> None:
    """Let this process and those that it starts use the settings of the virtual library.

    Raises UsageError where servers of an installation are configured: a trial does not belong into them.
    """
    configured = settings.load()
    if configured.database_url is not None or configured.broker_url is not None:
        raise UsageError(
            M("'tapeline run --library' has servers of its own, and this host has others configured."),
            M("Run it as another user, or without database_url and broker_url."),
        )
    folder = configured.state_dir / "library-demo"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "tapeline.toml"
    text = _SETTINGS.format(
        language=configured.language,
        time_zone=configured.time_zone,
        folder=folder,
        name=NAME,
        slots=SLOTS,
        seconds=MOVE_SECONDS,
    )
    target.write_text(text, encoding="utf-8")
    settings.use(target)


def capacity(size: int) -> int:
    """Of a tape, so that a source of this size fills several."""
    return max(MIN_CAPACITY, round(size / FULL_TAPES))


def fill(size: int) -> list[str]:
    """Fill the slots with blank tapes, as an operator does before the night; their barcodes. Tapes that were
    written are taken out: they are on the shelf."""
    path = Path(wiring.changer_settings(NAME).place)
    wiring.changer(NAME)
    for number, barcode in library.read(path).slots.items():
        if barcode is not None and read(shelf.folder_of(path, barcode)).volume is not None:
            library.put(path, number, None)
    blanks = [barcode for barcode in library.read(path).slots.values() if barcode is not None]
    made = len(shelf.barcodes(path))
    for number, barcode in library.read(path).slots.items():
        if barcode is None and len(blanks) < BLANKS:
            made += 1
            blanks.append(f"DEMO{made:02d}L9")
            shelf.new_cartridge(path, blanks[-1], capacity=capacity(size))
            library.put(path, number, blanks[-1])
    return blanks
