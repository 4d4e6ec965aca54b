"""The form of a schedule in a real browser, with the keyboard."""

from __future__ import annotations

from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import WebDriverWait

from db.schedules import schedules
from tests.dashboard.dashboard import Dashboard
from tests.dashboard.test_browser import Open, browser, shoot
from tests.dashboard.test_files import in_chromium
from tests.dashboard.test_schedule_forms import WRONG, names, shown

__all__ = ["browser"]

UNLABELLED = """
return [...document.querySelectorAll('.page-section input, .page-section select, .page-section textarea')]
  .filter(field => field.type !== 'hidden' && !field.labels.length).map(field => field.name)
"""
"""The fields of a form that a screen reader has no name for."""
VISIBLE = """
return [...document.querySelectorAll('#table-when .tl-input')].filter(field => field.offsetParent)
  .map(field => field.querySelector('input, select').name)
"""
"""The fields of ``when`` that are there to fill in."""


def tab_to(chrome: webdriver.Chrome, element: str) -> webdriver.remote.webelement.WebElement:
    """What has the focus after so many presses of the tabulator that it is this one."""
    for _ in range(120):
        focused = chrome.switch_to.active_element
        if focused.get_dom_attribute("id") == element:
            return focused
        focused.send_keys(Keys.TAB)
    raise AssertionError(f"the tabulator does not lead to {element}")


def press(chrome: webdriver.Chrome, element: str, then: str) -> webdriver.remote.webelement.WebElement:
    """Press a button with the keyboard; what the next page has."""
    tab_to(chrome, element).send_keys(Keys.ENTER)
    wait = WebDriverWait(chrome, 30)
    return wait.until(expected_conditions.presence_of_element_located((By.ID, then)))


def fill(chrome: webdriver.Chrome, **texts: str) -> None:
    """Fill in fields, in their order, with the keyboard alone."""
    for name, value in texts.items():
        field = tab_to(chrome, f"field-{name.replace('__', '.')}")
        if field.tag_name == "select":
            options = field.find_elements(By.TAG_NAME, "option")
            steps = [each.get_dom_attribute("value") for each in options].index(value)
            field.send_keys(Keys.HOME, *[Keys.ARROW_DOWN] * steps)
        else:
            field.send_keys(Keys.CONTROL, "a")
            field.send_keys(value)


@in_chromium
def test_a_schedule_is_made_and_edited_with_the_keyboard(dashboard: Dashboard, browser: Open) -> None:
    """The fields of the chosen type only; a preview, and back to the form with what was filled in; saved; an
    old form names what has changed, and can be saved then."""
    chrome = browser(dashboard)
    chrome.get(f"{dashboard.url}/schedules")
    press(chrome, "new", "schedule")
    assert chrome.execute_script(UNLABELLED) == []
    assert chrome.execute_script(VISIBLE) == ["when.type", "when.at", "when.day"]
    fill(chrome, name="weekend", when__type="weekly")
    assert chrome.execute_script(VISIBLE) == ["when.type", "when.at", "when.day"]
    fill(chrome, when__type="cron")
    assert chrome.execute_script(VISIBLE) == ["when.type", "when.expression"]
    fill(chrome, when__expression="30 2 * * 6", backup__sources="/srv/files")
    fill(chrome, backup__retention_days="90", time_zone="Asia/Shanghai")
    shoot(chrome, "schedule-form")
    times = press(chrome, "preview", "times").text.splitlines()
    assert len(times) == 5
    assert all(each.startswith("Sat 20") and each.endswith("02:30") for each in times)
    assert "tape0" in chrome.find_element(By.ID, "tapes").text
    assert "weekend" in chrome.find_element(By.ID, "moved").text
    assert names(dashboard) == {"monthly"}
    shoot(chrome, "schedule-preview")
    press(chrome, "again", "schedule")
    fill(chrome, backup__retention_days="60")
    press(chrome, "preview", "do")
    assert press(chrome, "do", "weekend").text
    assert shown(dashboard, "weekend")["backup.retention_days"] == 60

    chrome.get(f"{dashboard.url}/schedules/weekend/edit")

    def keep(session: Any) -> None:
        schedules.get(session, "weekend").template.retention_days = 365

    dashboard.system.ask(keep)
    fill(chrome, backup__keep_sets="4")
    assert "backup.retention_days: 60 is now 365." in press(chrome, "preview", "changed").text
    shoot(chrome, "schedule-stale")
    assert "365" in press(chrome, "preview", "fields").text
    press(chrome, "do", "weekend")
    assert shown(dashboard, "weekend")["backup.keep_sets"] == 4
    # The browser itself notes the 409.
    assert [each for each in chrome.get_log("browser") if "409" not in each["message"]] == []


@in_chromium
def test_each_wrong_field_is_marked_where_it_is(dashboard: Dashboard, browser: Open) -> None:
    """Without the script, which keeps some of them from being sent; the list on top leads to each."""
    chrome = browser(dashboard, phone=True, scripts=False)
    chrome.get(f"{dashboard.url}/schedules/new")
    for name, value in WRONG.items():
        field = chrome.find_element(By.ID, f"field-{name}")
        if field.tag_name != "select":
            field.clear()
            field.send_keys(value)
    chrome.find_element(By.CSS_SELECTOR, "#table-when option[value=weekly]").click()
    press(chrome, "preview", "wrong")
    marked = [each.get_dom_attribute("name") for each in chrome.find_elements(By.CSS_SELECTOR, ".is-invalid")]
    typed = {name for name in WRONG if chrome.find_element(By.ID, f"field-{name}").tag_name != "select"}
    assert set(marked) == typed
    for name in marked:
        error = chrome.find_element(By.ID, f"wrong-{name}")
        described = chrome.find_element(By.ID, f"field-{name}").get_dom_attribute("aria-describedby")
        assert error.get_dom_attribute("id") in str(described).split()
    links = [each.text for each in chrome.find_elements(By.CSS_SELECTOR, "#wrong a")]
    assert set(links) == typed
    shoot(chrome, "schedule-wrong")
    assert names(dashboard) == {"monthly"}
