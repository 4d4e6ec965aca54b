"""Output for the operator: tables and lines on a terminal, JSON for scripts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Span, Text

from celery_app import settings, wiring
from notify import states
from policy.errors import UsageError
from policy.message import M, Message
from policy.tapes.facts import described
from policy.times.local_time import zone_named

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def examples(*lines: str) -> str:
    """The end of a command's help: each example on its own line."""
    # The backspace makes click keep the lines as they are.
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def in_words(text: Message) -> str:
    """A text in the operator's language, the states in it too."""
    return wiring.words().text(_with_states(text))


def state(name: str) -> Text:
    """A state for a cell. In English it is the word that options and JSON use."""
    return Text(_state_word(name), states.style(name) or "")


def _state_word(name: str) -> str:
    state = states.STATES.get(name)
    words = wiring.words()
    return name if state is None or words.language == "en" else words.text(state.word)


_STATED = frozenset({"before", "after", "state", "to"})
"""Parameters of messages that name the state of a run or a tape."""


def _with_states(text: Message) -> Message:
    params = {
        name: _state_word(value) if name in _STATED and isinstance(value, str) else value
        for name, value in text.params.items()
    }
    return Message(text.id, params)


@contextmanager
def elapsed(*, show: bool) -> Iterator[Callable[[str], None]]:
    """Show the lines of a program as they come, and on a terminal its running time."""
    if not show:
        yield lambda _line: None
        return
    from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn  # noqa: PLC0415 - few commands wait

    with Progress(SpinnerColumn(), TimeElapsedColumn(), console=console, transient=True) as progress:
        progress.add_task("", total=None)
        yield lambda line: console.print(f"  {line}", markup=False, soft_wrap=True)


def say(text: Message, style: str | None = None) -> None:
    """A line in the operator's language."""
    console.print(in_words(text), style=style, markup=False, soft_wrap=True)


def add(text: Message) -> None:
    """A line besides the output, on standard error: also with JSON."""
    errors.print(in_words(text), markup=False, soft_wrap=True)


def print_json(data: Any) -> None:
    """JSON, with nothing else on standard output."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def print_raw(text: str) -> None:
    """A document as it is, with nothing else on standard output."""
    sys.stdout.write(text)


def print_table(columns: Sequence[Message], rows: Iterable[Sequence[Any]], empty: Message) -> None:
    """A table, or one line with the reason why there is none."""
    lines = [[_cell(value) for value in row] for row in rows]
    if not lines:
        say(empty)
        return
    titles = [(in_words(column), "bold") for column in columns]
    widths = [max(cell_len(text) for text, _ in cells) for cells in zip(titles, *lines, strict=True)]
    if console.is_terminal and len(titles) > 2 and sum(widths) + 2 * len(widths) - 2 > console.width:
        _print_cards(titles, lines)
        return
    # Printed together: ten thousand rows by themselves would take seconds.
    plain, spans, at = [], [], 0
    for line in (titles, *lines):
        for text, style in _padded(line, widths):
            if style and text:
                spans.append(Span(at, at + len(text), style))
            plain.append(text)
            at += len(text)
        plain.append("\n")
        at += 1
    table = Text("".join(plain[:-1]), spans=spans)
    if console.color_system is None and not console.is_terminal:
        console.file.write(f"{table.plain}\n")
    else:
        console.print(table, soft_wrap=True)


_Cell = tuple[str, str]
"""A text and its style."""


def _print_cards(titles: Sequence[_Cell], lines: Sequence[Sequence[_Cell]]) -> None:
    """On a terminal that is too narrow for the table: each row as names and values below each other."""
    width = max(cell_len(title) for title, _ in titles)
    for number, line in enumerate(lines):
        if number:
            console.print()
        for (title, bold), (text, style) in zip(titles, line, strict=True):
            padding = " " * (width - cell_len(title) + 2)
            console.print(Text.assemble((title, bold), padding, (text, style)), soft_wrap=True)


def _cell(value: Any) -> _Cell:
    if isinstance(value, Text):
        return value.plain, str(value.style)
    text = _shown(value)
    return text, states.style(text) or ""


def _padded(cells: Sequence[_Cell], widths: Sequence[int]) -> Iterator[_Cell]:
    """Nothing is cut or folded, so that ids and paths can be copied; a narrow terminal wraps the lines, and
    the last column has no trailing blanks that would make empty ones."""
    last = max((place for place, (text, _) in enumerate(cells) if text.rstrip()), default=-1)
    for place, (text, style) in enumerate(cells[: last + 1]):
        if place < last:
            yield text, style
            yield " " * (widths[place] - cell_len(text) + 2), ""
        else:
            yield text.rstrip(), style


def print_facts(facts: Iterable[tuple[Message | str, Any]]) -> None:
    """Names and values, one a line; values are never cut or folded, so that they can be copied."""
    words = wiring.words()
    named = [(name if isinstance(name, str) else words.text(name), value) for name, value in facts]
    width = max(cell_len(name) for name, _ in named)
    for name, value in named:
        padding = " " * (width - cell_len(name))
        console.print(f"  {name}{padding}  {value}", markup=False, soft_wrap=True)


def set_state(stored: Mapping[str, Any]) -> Text | str:
    """The state of a set; one that needs a destroyed set cannot be restored, regardless of its own state."""
    if stored["state"] == "destroyed" or stored["lost_parent"] is None:
        return state(stored["state"])
    return in_words(M("{state}, but {set} is lost", state=stored["state"], set=stored["lost_parent"]))


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Text without control characters that a terminal would obey: a file name may contain anything."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _shown(value: Any) -> str:
    return "-" if value is None else clean(str(value))


def print_finding(mark: str, name: Message, width: int, text: str, style: str) -> None:
    """A line of a list of checks; ``width``: cells of the longest name."""
    shown = in_words(name)
    padding = " " * (width - cell_len(shown))
    console.print(clean(f"{mark} {shown}{padding}  {text}"), style=style, markup=False, soft_wrap=True)


def widest(names: Iterable[Message]) -> int:
    """The cells of the longest name."""
    return max(cell_len(in_words(name)) for name in names)


def message(data: Mapping[str, Any] | None) -> str | None:
    """A stored message in the operator's language."""
    return clean(in_words(Message.from_json(dict(data)))) if data else None


def tape(medium: Mapping[str, Any] | None) -> str | None:
    """The contents of a drive, in the operator's language: its label, or its state in words."""
    if not medium:
        return None
    text = described(medium["state"], medium.get("label"))
    return clean(text) if isinstance(text, str) else message(text)


def local(iso: str | None) -> str | None:
    """A stored time on the clock of the setting ``time_zone``, without the year where it is this one."""
    if not iso:
        return None
    zone = settings.load().zone
    moment = datetime.fromisoformat(iso).astimezone(zone)
    is_this_year = moment.year == datetime.now(zone).year
    return f"{moment:%m-%d %H:%M:%S}" if is_this_year else f"{moment:%Y-%m-%d %H:%M:%S}"


def local_ns(moment: int) -> str | None:
    """The time of a file, in nanoseconds since 1970, in the same way; None if no calendar reaches that
    far."""
    try:
        return local(datetime.fromtimestamp(moment // 10**9, UTC).isoformat())
    except (ValueError, OverflowError, OSError):
        return None


def on_clock(iso: str | None, time_zone: str) -> str | None:
    """A stored time on the clock of a schedule: ``2026-12-01 Tue 02:00``; on that of the setting if the
    schedule names a zone that does not exist."""
    if not iso:
        return None
    moment = datetime.fromisoformat(iso)
    try:
        return wiring.words().clock(moment.astimezone(zone_named(time_zone)))
    except UsageError:
        return wiring.words().clock(moment.astimezone(settings.load().zone))


def on_named_clock(iso: str, time_zone: str) -> str:
    """The same with the zone named: ``2026-12-01 Tue 02:00 (Asia/Shanghai)``."""
    return f"{on_clock(iso, time_zone)} ({time_zone})"
