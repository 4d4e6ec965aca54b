"""Cards to print for cartridges: label, barcode, and a QR code that opens the cartridge's page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from sqlalchemy.orm import Session

from celery_app import settings
from db.errors import NotFound
from db.models import TapeCartridge
from db.tapes import cartridges, listing
from policy.errors import TapelineError
from policy.message import M

MM = 72 / 25.4
WIDTH, HEIGHT = 105 * MM, 148 * MM
"""A card is A6: four of them are a page of A4."""
MARGIN = 10 * MM
LTO = re.compile(r"[A-Z0-9]{6}[A-Z0-9]{2}")
"""Six characters and two of the medium's kind: what a library's reader expects."""
NARROW, RATIO = 0.43 * MM, 2.75
"""The narrow bars of an LTO label, and how many times as wide the wide ones are."""


class SheetsMissing(TapelineError):
    """The library that draws is not installed."""


def chosen(session: Session, names: Sequence[str]) -> list[TapeCartridge]:
    """The cartridges of these labels; without any, the new ones: in use, and nothing is on them yet. Raises
    NotFound."""
    if not names:
        return listing.new(session)
    rows = {name: cartridges.find(session, name) for name in names}
    missing = next((name for name, row in rows.items() if row is None), None)
    if missing is not None:
        raise NotFound(M("There is no tape '{name}'.", name=missing), M("'tapeline tape list' lists them."))
    return [row for row in rows.values() if row is not None]


def drawn(tapes: Sequence[TapeCartridge]) -> bytes:
    """A PDF with four cards on each page. Raises NotFound for none, SheetsMissing."""
    if not tapes:
        raise NotFound(
            M("No tape is new: something is on each, or it is not in use."),
            M("Name the tapes: tapeline tape sheet LABEL"),
        )
    try:
        from reportlab.lib.pagesizes import A4  # noqa: PLC0415 - few need it, and it may be missing
        from reportlab.pdfgen.canvas import Canvas  # noqa: PLC0415 - as above
    except ImportError as error:
        raise SheetsMissing(
            M("reportlab, which draws the sheets, is not installed."), M("pip install 'tapeline[sheets]'")
        ) from error
    file = BytesIO()
    canvas = Canvas(file, pagesize=A4, invariant=True)
    canvas.setTitle("Tapeline")
    for number, tape in enumerate(tapes):
        place = number % 4
        if number and not place:
            canvas.showPage()
        _card(canvas, tape, (place % 2) * WIDTH, A4[1] - (1 + place // 2) * HEIGHT)
    canvas.save()
    return file.getvalue()


def _card(canvas: Any, tape: TapeCartridge, left: float, bottom: float) -> None:
    from reportlab.graphics import renderPDF  # noqa: PLC0415 - see above
    from reportlab.graphics.barcode.code39 import Standard39  # noqa: PLC0415 - see above
    from reportlab.graphics.barcode.qr import QrCodeWidget  # noqa: PLC0415 - see above
    from reportlab.graphics.shapes import Drawing  # noqa: PLC0415 - see above

    canvas.setLineWidth(0.25)
    canvas.setDash(2, 4)
    canvas.rect(left, bottom, WIDTH, HEIGHT)
    canvas.setDash()
    top = bottom + HEIGHT - MARGIN
    label = tape.label or tape.tape_id
    wide = canvas.stringWidth(label, "Helvetica-Bold", 30)
    canvas.setFont("Helvetica-Bold", 30 * min(1, (WIDTH - 2 * MARGIN) / max(wide, 1)))
    canvas.drawString(left + MARGIN, top - 30, label)
    canvas.setFont("Helvetica", 11)
    lines = [tape.tape_id, f"Barcode: {tape.barcode or '-'}"]
    # The PDF's own fonts have no other letters; labels and barcodes need none.
    if tape.pool and tape.pool.name.isascii():
        lines.append(f"Pool: {tape.pool.name}")
    for at, line in enumerate(lines):
        canvas.drawString(left + MARGIN, top - 52 - 15 * at, line)
    if tape.barcode and LTO.fullmatch(tape.barcode):
        bars = Standard39(
            tape.barcode, barWidth=NARROW, ratio=RATIO, barHeight=15 * MM, checksum=0, stop=1, quiet=False
        )
        bars.drawOn(canvas, left + (WIDTH - bars.width) / 2, bottom + 70 * MM)
    if (address := settings.load().dashboard_url) is not None:
        size = 50 * MM
        code = QrCodeWidget(f"{address.rstrip('/')}/tapes/{tape.id}", barWidth=size, barHeight=size)
        drawing = Drawing(size, size)
        drawing.add(code)
        renderPDF.draw(drawing, canvas, left + (WIDTH - size) / 2, bottom + MARGIN)
