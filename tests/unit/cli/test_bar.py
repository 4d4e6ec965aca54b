"""The bar of a run that is followed."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.progress import Progress

from cli.render.watch import SizeColumn


def test_the_bar_has_the_units_of_every_other_size() -> None:
    """How much of how much; without a total, as before a plan, nothing of it is made up."""
    out = StringIO()
    progress = Progress(SizeColumn(), console=Console(file=out, width=60))
    progress.add_task("", total=12_000_000_000, completed=1_234_567_890)
    progress.add_task("", total=None, completed=999)
    progress.print(progress.get_renderable())
    assert [line.strip() for line in out.getvalue().splitlines()] == ["1.2 GB / 12.0 GB", "999 B"]
