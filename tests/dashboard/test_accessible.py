"""No page keeps out who uses a screen reader, the keyboard or another contrast: by the rules of axe-core."""

from __future__ import annotations

import pytest

from tests.dashboard import axe, seeds
from tests.dashboard.dashboard import Dashboard
from tests.dashboard.test_browser import Open, browser
from tests.dashboard.test_files import SET, in_chromium

__all__ = ["browser"]

PAGES = (
    "today", "runs", f"runs/{seeds.FAILED}", f"runs/{seeds.FAILED}/retry", f"runs/{seeds.FAILED}/dismiss",
    "files?template=monthly", "files/search?name=*&larger=x", "files/search?name=img",
    f"files/versions?template=monthly&path={seeds.A_FILE}", "tapes", "tapes/1", "tapes/1/mark/retired",
    f"sets/{SET}", f"sets/{SET}/verify", f"sets/{SET}/copy", f"sets/{SET}/expire", "schedules",
    "schedules/monthly/run",
    "schedules/new", "schedules/monthly/edit", "schedules/monthly/delete", "schedules/monthly/disable",
    "drives", "library", "audit", "freeze", "sets/nothing", "nothing",
    "docs/guide/restore.md", "docs/guide/zh_CN/library.md",
)  # fmt: skip
OPENED = "document.querySelectorAll('details').forEach(each => { each.open = true; })"


@in_chromium
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "zh-CN")])
def test_no_page_breaks_a_rule(shared: Dashboard, browser: Open, theme: str, language: str) -> None:
    """With everything that is folded opened, in both themes and languages."""
    script = axe.source()
    if script is None:
        pytest.skip("npm is not installed, or does not reach its registry")
    chrome = browser(shared, language=language)
    chrome.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    )
    broken: list[str] = []
    for page in PAGES:
        chrome.get(f"{shared.url}/{page}")
        assert "could not make this page" not in chrome.page_source, page
        assert "无法生成" not in chrome.page_source, page
        shown = chrome.execute_script("return document.documentElement.dataset.bsTheme || 'light'")
        assert shown == theme, page
        chrome.execute_script(OPENED)
        chrome.execute_script(script)
        broken += [f"{page}: {each}" for each in chrome.execute_async_script(axe.RUN)]
    assert not broken, "\n".join(broken)
