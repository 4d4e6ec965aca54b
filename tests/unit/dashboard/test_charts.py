"""The pictures of a tape."""

from __future__ import annotations

import re

from dashboard import charts
from dashboard.show import Show
from notify.words import Words

SHOW = Show(Words("en"))


def stored(name: str, size: int) -> dict[str, object]:
    return {"id": name, "bytes_here": size, "started_at": "2026-11-01T00:00:00+00:00"}


def test_a_tape_is_a_strip_of_its_sets_in_their_order() -> None:
    """Each is as long as it is, up to the tape's capacity; one without data here, and markup, is none."""
    strip = charts.laid_out([stored("a", 25), stored("<b>", 50), stored("c", 0)], 100, SHOW)
    assert strip is not None
    bars = re.findall(r'class="tl-bar[^"]*" x="([\d.]+)"[^>]* width="([\d.]+)"', strip)
    assert [tuple(map(float, each)) for each in bars] == [(0, 180), (180, 360)]
    assert "<b>" not in strip
    assert "&lt;b&gt;: 50 B" in strip
    assert charts.laid_out([stored("c", 0)], 100, SHOW) is None
    # A drive that reports less than is on the tape, or nothing, cuts off none.
    for capacity in (None, 10):
        full = charts.laid_out([stored("a", 25), stored("b", 75)], capacity, SHOW) or ""
        assert re.findall(r'tl-bar[^>]* width="([\d.]+)"', full) == ["180.0", "540.0"]
