"""The dashboard in a real browser, clicked as an operator does."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.dashboard import seeds
from tests.dashboard.dashboard import Dashboard

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SHOTS = os.environ.get("DASHBOARD_SHOTS")
"""A folder for screenshots of each page."""

CUT_OFF = """
return [...document.querySelectorAll('.tl-name')].filter(name => name.textContent
  && name.getBoundingClientRect().left < name.ownerSVGElement.getBoundingClientRect().left)
  .map(name => name.textContent)
"""
"""The names in charts that begin outside of them."""

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and its driver are not installed")

Open = Callable[..., webdriver.Chrome]


@pytest.fixture
def browser(short_path: Path) -> Iterator[Open]:
    """Starts Chromium without a window, as wide as a desk's or a phone's, in a language, with or without
    scripts, logged in."""
    with ExitStack() as stack:

        def started(
            dashboard: Dashboard, *, language: str = "en", phone: bool = False, scripts: bool = True
        ) -> webdriver.Chrome:
            options = _options(short_path, language)
            if not scripts:
                options.add_experimental_option(
                    "prefs",
                    {
                        "profile.managed_default_content_settings.javascript": 2,
                        "intl.accept_languages": language,
                    },
                )
            driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
            stack.callback(driver.quit)
            if phone:
                size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            # The login goes with the first address, and the browser keeps it.
            driver.get(dashboard.url.replace("http://", f"http://tapeline:{dashboard.password}@") + "/drives")
            return driver

        yield started


def _options(folder: Path, language: str) -> webdriver.ChromeOptions:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "disable-dev-shm-usage",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        f"lang={language}",
        f"user-data-dir={folder}/chromium",
        "window-size=1280,1000",
    ):
        options.add_argument(f"--{argument}")
    # The option "lang" is of the browser's own menus; this is what it asks a site for.
    options.add_experimental_option("prefs", {"intl.accept_languages": language})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return options


def shoot(browser: webdriver.Chrome, name: str) -> None:
    if SHOTS:
        browser.save_screenshot(f"{SHOTS}/{name}.png")


def test_a_failed_run_is_retried_with_clicks_and_the_page_follows_it(
    dashboard: Dashboard, browser: Open
) -> None:
    """The first page names the failure; Retry, the question, the deed; the run's page shows the success, and
    the first page that all is well, neither loaded again."""
    system = dashboard.system
    system.start("control", "tape")
    system.start_beat()
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "FAILED")
    chrome = browser(dashboard)
    chrome.get(f"{dashboard.url}/")
    first_page = chrome.current_window_handle
    assert chrome.find_element(By.ID, "verdict").get_dom_attribute("data-urgent") == "1"
    shoot(chrome, "today-failed")
    chrome.switch_to.new_window("tab")
    chrome.get(f"{dashboard.url}/runs/{run_id}")
    shoot(chrome, "run-failed")
    system.insert_blank()
    chrome.find_element(By.ID, "retry").click()
    shoot(chrome, "retry")
    chrome.find_element(By.ID, "do").click()

    def attribute(element: str, name: str) -> str | None:
        script = f"return document.getElementById('{element}')?.dataset.{name}"
        found: str | None = chrome.execute_script(script)
        return found

    system.wait_for(lambda: attribute("state", "state") == "SUCCEEDED", "the page to show the success")
    shoot(chrome, "run")
    chrome.switch_to.window(first_page)
    system.wait_for(lambda: attribute("verdict", "urgent") == "0", "the first page to show that all is well")
    shoot(chrome, "today")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_page_fits_a_phone_and_breaks_no_rule(shared: Dashboard, browser: Open, language: str) -> None:
    """Nothing is wider than the screen, whatever it is called, and no name in a chart is cut off; no script
    fails, nothing is refused by the page's own policy, and nothing that a name says is done."""
    chrome = browser(shared, language=language, phone=True)
    for page in (
        "today", "runs", f"runs/{seeds.FAILED}", "files?template=monthly", "files/search?name=img",
        f"files/versions?template=monthly&path={seeds.A_FILE}", "tapes", "tapes/1", "schedules",
        "schedules/new", "schedules/monthly/delete", "drives", "audit",
        "sets/20261001T000000Z-0002", "sets/20261001T000000Z-0002/expire",
    ):  # fmt: skip
        chrome.get(f"{shared.url}/{page}")
        wide = chrome.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{page} is {wide} pixels wider than a phone"
        assert chrome.get_log("browser") == [], page
        assert ("今日" in chrome.page_source) == (language == "zh-CN"), page
        assert chrome.execute_script(CUT_OFF) == [], page
        shoot(chrome, f"phone-{language}-" + re.sub(r"\?.*", "", page).replace("/", "-"))


def test_the_pages_do_without_scripts(shared: Dashboard, browser: Open) -> None:
    """What there is to read is on the page; a button asks and does its deed."""
    chrome = browser(shared, scripts=False)
    chrome.get(f"{shared.url}/tapes")
    chrome.find_element(By.TAG_NAME, "summary").click()
    assert "is kept until" in chrome.find_element(By.ID, "tapes").text
    chrome.get(f"{shared.url}/schedules/monthly/disable")
    chrome.find_element(By.ID, "do").click()
    assert not shared.system.json("schedule", "show", "monthly")["enabled"]
    chrome.get(f"{shared.url}/schedules/monthly/enable")
    chrome.find_element(By.ID, "do").click()
    assert shared.system.json("schedule", "show", "monthly")["enabled"]
