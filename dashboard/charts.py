"""Charts as SVG, made here: no script, and each bar shows its figure under the pointer."""

from __future__ import annotations

from math import ceil
from typing import Any

from tornado.escape import xhtml_escape

from dashboard.show import Show
from policy import units
from policy.message import M

WIDTH, HEIGHT, FOOT, HEAD = 720, 150, 18, 4
STRIP = 28
"""The height of a tape that is drawn as a strip."""
NAMED_EVERY = 90
"""The width of a name under a bar; if bars are closer, some have no name."""


def written(runs: list[dict[str, Any]], show: Show) -> str | None:
    """Bars: how much each run wrote; line: how fast. ``runs`` have run, bytes, seconds. None without any."""
    if not runs:
        return None
    rates = [run["bytes"] / run["seconds"] if run["seconds"] > 0 else 0 for run in runs]
    titles = [
        f"{show(M('Run {id}', id=run['run']))}: {show.size(run['bytes'])}, {units.rate(rate)}"
        for run, rate in zip(runs, rates, strict=True)
    ]
    bars = _bars([run["bytes"] for run in runs], [str(run["run"]) for run in runs], titles)
    most = show(
        M(
            "Bars: up to {size}; line: up to {rate}.",
            size=show.size(max(run["bytes"] for run in runs)),
            rate=units.rate(max(rates)),
        )
    )
    return _drawing(bars + _line(rates), show(M("Written by each run, and how fast")), most)


def by_month(months: list[tuple[str, int]], show: Show) -> str | None:
    """Bars: how much was written to tape in each month. None without any."""
    if not months:
        return None
    titles = [f"{month}: {show.size(count)}" for month, count in months]
    bars = _bars([count for _, count in months], [month for month, _ in months], titles)
    most = show(M("Bars: up to {size}.", size=show.size(max(count for _, count in months))))
    return _drawing(bars, show(M("Put on tape in each month")), most)


def filled(months: list[tuple[str, int]], capacity: int | None, show: Show) -> str | None:
    """Bars: how full a tape was after each month, up to its capacity if that is known. None without any."""
    if not months:
        return None
    top = max(capacity or 0, *(fill for _, fill in months))
    titles = [
        f"{month}: {show.size(fill)}" + (f" ({round(100 * fill / capacity)} %)" if capacity else "")
        for month, fill in months
    ]
    bars = _bars([fill for _, fill in months], [month for month, _ in months], titles, top=top)
    most = show(M("Bars: up to {size}.", size=show.size(top)))
    return _drawing(bars, show(M("How full it was after each month")), most)


def laid_out(sets: list[dict[str, Any]], capacity: int | None, show: Show) -> str | None:
    """The tape as a strip from its beginning: each set as long as it is, in the order of time. ``sets`` have
    id, bytes_here, started_at, the oldest first. None without any."""
    written_on_it = [each for each in sets if each["bytes_here"]]
    if not written_on_it:
        return None
    total = max(capacity or 0, sum(each["bytes_here"] for each in written_on_it))
    drawn, left, named_to = [], 0.0, 0.0
    for number, each in enumerate(written_on_it):
        wide = WIDTH * each["bytes_here"] / total
        day = show.day(each["started_at"])
        name = ""
        if left >= named_to:
            name, named_to = day, left + NAMED_EVERY
        about = xhtml_escape(f"{each['id']}: {show.size(each['bytes_here'])}, {day}")
        drawn.append(
            f"<g><title>{about}</title>"
            f'<rect class="tl-bar{" tl-other" if number % 2 else ""}" x="{left:.1f}" y="{HEAD}" '
            f'width="{max(wide, 1):.1f}" height="{STRIP}"/>'
            f'<text class="tl-name tl-from" x="{left:.1f}" y="{STRIP + FOOT}">{name}</text></g>'
        )
        left += wide
    title = show(M("The sets on it, from the beginning of the tape"))
    return (
        f'<svg class="tl-chart tl-strip" viewBox="0 0 {WIDTH} {STRIP + FOOT + HEAD}" role="img" '
        f'aria-label="{xhtml_escape(title)}">'
        f'<rect class="tl-empty-tape" x="0" y="{HEAD}" width="{WIDTH}" height="{STRIP}"/>'
        f"{''.join(drawn)}</svg>"
    )


def _drawing(inside: str, title: str, most: str) -> str:
    """``most``: the meaning of the chart's top."""
    return (
        f'<svg class="tl-chart" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="xMinYMid" role="img" '
        f'aria-label="{xhtml_escape(title)}">'
        f'<line class="tl-axis" x1="0" y1="{HEIGHT - FOOT}" x2="{WIDTH}" y2="{HEIGHT - FOOT}"/>{inside}</svg>'
        f'<p class="tl-quiet mb-0">{xhtml_escape(most)}</p>'
    )


def _bars(values: list[int], names: list[str], titles: list[str], top: int | None = None) -> str:
    top, slot = max(*values, top or 0, 1), _slot(values)
    step = ceil(NAMED_EVERY / slot)
    drawn = []
    for place, (value, name, title) in enumerate(zip(values, names, titles, strict=True)):
        tall = max((HEIGHT - FOOT - HEAD) * value / top, 1)
        middle = slot * (place + 0.5)
        left, top_edge = middle - slot * 0.35, HEIGHT - FOOT - tall
        named = name if place % step == (len(names) - 1) % step else ""
        drawn.append(
            f"<g><title>{xhtml_escape(title)}</title>"
            f'<rect class="tl-bar" rx="2" x="{left:.1f}" y="{top_edge:.1f}" '
            f'width="{slot * 0.7:.1f}" height="{tall:.1f}"/>'
            f'<text class="tl-name" x="{middle:.1f}" y="{HEIGHT - 5}">{xhtml_escape(named)}</text></g>'
        )
    return "".join(drawn)


def _line(values: list[float]) -> str:
    top, slot = max(*values, 1.0), _slot(values)
    points = " ".join(
        f"{slot * (place + 0.5):.1f},{HEIGHT - FOOT - (HEIGHT - FOOT - HEAD) * value / top:.1f}"
        for place, value in enumerate(values)
    )
    return f'<polyline class="tl-line" points="{points}"/>'


def _slot(values: list[Any]) -> float:
    """How wide a place is; a few bars do not fill the whole width."""
    return min(WIDTH / len(values), NAMED_EVERY)
