"""The dashboard in a real browser, clicked as an operator does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.dashboard.conftest import insert_blank
from tests.dashboard.site import Site

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SHOTS = os.environ.get("DASHBOARD_SHOTS")
"""A folder for screenshots of each page."""

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and its driver are not installed")


@pytest.fixture
def browser(short_path: Path) -> Iterator[webdriver.Chrome]:
    """Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "lang=en",
        f"user-data-dir={short_path}/chromium",
        "window-size=1200,1000",
    ):
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def shoot(browser: webdriver.Chrome, name: str) -> None:
    if SHOTS:
        browser.save_screenshot(f"{SHOTS}/{name}.png")


def test_a_failed_run_is_retried_with_clicks_and_the_page_follows_it(
    site: Site, browser: webdriver.Chrome
) -> None:
    """Retry, the question, the deed; the page shows the success without being loaded again."""
    system = site.system
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "FAILED")
    address = site.url.replace("http://", f"http://tapeline:{site.password}@")
    browser.get(f"{address}/runs/{run_id}")
    shoot(browser, "run-failed")
    insert_blank(system)
    browser.find_element(By.ID, "retry").click()
    shoot(browser, "retry")
    browser.find_element(By.ID, "do").click()

    def state() -> str | None:
        found: str | None = browser.execute_script("return document.getElementById('state')?.dataset.state")
        return found

    system.wait_for(lambda: state() == "SUCCEEDED", "the page to show the success")
    assert not [line for line in browser.get_log("browser") if "Content Security" in line["message"]]
    shoot(browser, "run")
    for page in ("runs", "tapes", "schedules", "drives"):
        browser.get(f"{site.url}/{page}")
        assert "monthly" in browser.page_source or page == "drives"
        shoot(browser, page)
    browser.set_window_size(420, 900)
    for page in ("runs", f"runs/{run_id}", "schedules"):
        browser.get(f"{site.url}/{page}")
        wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{page} is {wide} pixels wider than a phone"
        shoot(browser, "phone-" + page.replace("/", "-"))
