"""The cards to print: read back as a library's reader and a phone read them."""

from __future__ import annotations

from pathlib import Path

import pypdfium2
import zxingcpp

from db.models import TapeCartridge
from policy.tapes.facts import CartridgeState
from tests.dashboard.dashboard import Dashboard
from tests.system import System


def codes(pdf: bytes) -> list[list[tuple[str, str]]]:
    """What is in the codes of each page, by kind."""
    with pypdfium2.PdfDocument(pdf) as document:
        pages = [page.render(scale=4).to_pil() for page in document]
    kinds = {"Code39": "bars", "QRCode": "qr"}
    return [
        sorted((kinds[code.format.name], code.text) for code in zxingcpp.read_barcodes(page) if code.valid)
        for page in pages
    ]


def test_each_card_has_the_codes_of_its_cartridge(system: System) -> None:
    """By the command and from the pages; a name that is no library's barcode has no bars; four are a page."""
    system.environment["TAPELINE_DASHBOARD_URL"] = "https://backup.example/tapes-of-ours/"
    barcodes = ["TP0001L9", "TP0002L9", None, "TP0004L9", "TP0005L9"]
    assert "No tape is new" in system.cli("tape", "sheet", "--out", "x.pdf", code=2).stderr

    def sow(session: object) -> None:
        for number, barcode in enumerate(barcodes, 1):
            tape = TapeCartridge(tape_id=f"TP2026110{number}", label=f"TP2026110{number}", barcode=barcode)
            tape.state, tape.bytes_used = CartridgeState.ACTIVE, 0
            session.add(tape)  # type: ignore[attr-defined]
        used = TapeCartridge(tape_id="USED", barcode="TP0009L9", state=CartridgeState.ACTIVE, bytes_used=5)
        session.add(used)  # type: ignore[attr-defined]

    system.ask(sow)
    system.cli("tape", "sheet", "--out", "new.pdf")
    first, second = codes((system.folder / "new.pdf").read_bytes())

    def qr(number: int) -> tuple[str, str]:
        return "qr", f"https://backup.example/tapes-of-ours/tapes/{number}"

    assert first == [*(("bars", f"TP000{number}L9") for number in (1, 2, 4)), *map(qr, (1, 2, 3, 4))]
    assert second == [("bars", "TP0005L9"), qr(5)]
    dashboard = Dashboard(system)
    used = dashboard.session.get(f"{dashboard.url}/tapes/sheet?tape=USED", timeout=30)
    assert used.headers["Content-Type"] == "application/pdf"
    assert codes(used.content) == [[("bars", "TP0009L9"), qr(6)]]
    assert 'href="/tapes/sheet"' in dashboard.get("/tapes")
    assert 'href="/tapes/sheet?tape=USED"' in dashboard.get("/tapes/6")
    dashboard.get("/tapes/sheet?tape=NONE", status=404)
    assert "There is no tape 'NONE'" in system.cli("tape", "sheet", "NONE", "--out", "y.pdf", code=2).stderr
    assert not Path(system.folder / "y.pdf").exists()
