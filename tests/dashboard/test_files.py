"""The pages of the files: the tree at a moment, the versions of a file, the search; asked for and clicked."""

from __future__ import annotations

import html
import re

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.dashboard import seeds
from tests.dashboard.dashboard import Dashboard
from tests.dashboard.test_browser import CHROMIUM, DRIVER, Open, browser, shoot

__all__ = ["browser"]

SET = "20261001T000000Z-0002"
UNLABELLED = """
return [...document.querySelectorAll('.page-section input, .page-section select')]
  .filter(field => field.type !== 'hidden' && !field.labels.length && !field.getAttribute('aria-label'))
  .map(field => field.name)
"""
"""The fields of a page that a screen reader has no name for."""
in_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium and its driver are not installed"
)


def rows(page: str) -> list[str]:
    return [html.unescape(path) for path in re.findall(r'data-path="([^"]*)"', page)]


def test_the_tree_begins_at_the_sources_and_leads_to_the_versions(shared: Dashboard) -> None:
    """Whatever a name says is text; a version names its tape, and where that is."""
    page = shared.get("/files?template=monthly")
    assert rows(page) == [f"/data/{seeds.HOSTILE.replace('/', '')}", seeds.A_FILE, "/data/sub"]
    assert "<img src=x" not in page
    assert f"From set {SET}" in page
    assert "1.0 MB" in page
    assert rows(shared.get("/files?template=monthly&path=/data/sub")) == ["/data/sub/file.txt"]
    assert rows(shared.get("/files?template=monthly&path=/")) == ["/data"]
    assert "Nothing is in this folder" in shared.get("/files?template=monthly&path=/other")
    versions = shared.get(f"/files/versions?template=monthly&path={seeds.A_FILE}")
    assert re.findall(r'data-set="([^"]+)"', versions) == [SET]
    assert f">{seeds.OLD}</a>" in versions
    assert "in drive tape0" in versions
    assert "/data/nothing" in shared.get("/files/versions?template=monthly&path=/data/nothing", status=404)


def test_the_sizes_of_folders_are_counted_when_they_are_asked_for(shared: Dashboard) -> None:
    """As they were in the set; a page without folders offers nothing."""
    page = shared.get("/files?template=monthly")
    assert size_of(page, "/data/sub") == "–"
    [address] = re.findall(r'id="sizes" href="([^"]+)"', page)
    counted = shared.get(html.unescape(address))
    assert size_of(counted, "/data/sub") == "1.0 MB"
    assert 'id="sizes"' not in counted
    assert size_of(shared.get("/files?template=monthly&path=/&sizes=1"), "/data") == "3.0 MB"
    assert 'id="sizes"' not in shared.get("/files?template=monthly&path=/data/sub")


def size_of(page: str, path: str) -> str:
    row = page.partition(f'data-path="{path}"')[2].partition("</tr>")[0]
    [size] = re.findall(r'data-name="Size"[^>]*>([^<]*)<', row)
    return str(size)


@in_chromium
def test_what_is_ticked_stays_ticked_in_other_folders(shared: Dashboard, browser: Open) -> None:
    """The form sends it from any folder of the set; a click unticks it again."""
    chrome = browser(shared)
    top = f"{shared.url}/files?template=monthly"
    chrome.get(top)
    chrome.find_element(By.CSS_SELECTOR, f'input[value="{seeds.A_FILE}"]').click()
    assert not chrome.find_element(By.ID, "elsewhere").is_displayed()
    chrome.get(f"{top}&path=/data/sub")
    assert seeds.A_FILE in chrome.find_element(By.ID, "elsewhere").text
    chrome.find_element(By.CSS_SELECTOR, 'input[value="/data/sub/file.txt"]').click()
    shoot(chrome, "files-elsewhere")
    chrome.find_element(By.ID, "restore").click()
    chosen = chrome.find_element(By.ID, "chosen").text.splitlines()
    assert sorted(chosen) == [seeds.A_FILE, "/data/sub/file.txt"]
    chrome.get(top)
    assert chrome.find_element(By.CSS_SELECTOR, f'input[value="{seeds.A_FILE}"]').is_selected()
    assert "/data/sub/file.txt" in chrome.find_element(By.ID, "elsewhere").text
    chrome.find_element(By.CSS_SELECTOR, "#elsewhere button").click()
    assert not chrome.find_element(By.ID, "elsewhere").is_displayed()
    chrome.get(f"{top}&path=/data/sub")
    assert not chrome.find_element(By.CSS_SELECTOR, 'input[value="/data/sub/file.txt"]').is_selected()
    assert chrome.get_log("browser") == []


def test_a_moment_chooses_the_set_and_a_wrong_one_is_named_beside_its_field(shared: Dashboard) -> None:
    assert "There is no backup of 2020-01-01 or before" in shared.get("/files?template=monthly&at=2020-01-01")
    wrong = shared.get("/files?template=monthly&at=yesterday")
    assert re.search(r'id="wrong-at">[^<]*yesterday[^<]* is not a time', wrong)
    assert 'aria-describedby="wrong-at"' in wrong
    assert rows(shared.get("/files?template=monthly&at=2099-01-01T00:00"))
    shared.get("/files?template=none", status=404)
    shared.get("/files?set=20260101T000000Z-ffff", status=404)
    shared.get("/files?template=monthly&after=zz", status=400)


def test_the_search_names_each_wrong_field(shared: Dashboard) -> None:
    """All at once, each beside its own; nothing is searched."""
    page = shared.get("/files/search?name=*&larger=big&smaller=-1&since=x&until=y", status=400)
    assert re.findall(r'id="wrong-(\w+)"', page) == ["name", "larger", "smaller", "since", "until"]
    assert 'id="found"' not in page
    found = shared.get("/files/search?name=REPORT&larger=1+MB&smaller=1MB&since=2025-10-09&until=2025-10-09")
    assert re.findall(r'data-set="([^"]+)"', found) == [SET]
    assert "These are all" in found
    assert "No file matches" in shared.get("/files/search?name=report&larger=1.1MB")
    assert "No file matches" in shared.get("/files/search?name=report&until=2025-10-08")
    shared.get("/files/search?name=report&after=x,y", status=400)


@in_chromium
def test_a_file_is_found_with_the_keyboard_alone(shared: Dashboard, browser: Open) -> None:
    """By its name, and through the folders; every field has a label, in each language."""
    chrome = browser(shared)
    chrome.get(f"{shared.url}/files?template=monthly")
    shoot(chrome, "files")
    assert chrome.execute_script(UNLABELLED) == []
    _tab_to(chrome, "sub/").send_keys(Keys.ENTER)
    assert "file.txt" in chrome.find_element(By.ID, "children").text
    _tab_to(chrome, "file.txt").send_keys(Keys.ENTER)
    assert chrome.find_element(By.ID, "versions").text.count(SET) == 1
    shoot(chrome, "versions")
    chrome.get(f"{shared.url}/files")
    chrome.find_element(By.ID, "name").send_keys("REPORT", Keys.ENTER)
    assert seeds.A_FILE in chrome.find_element(By.ID, "found").text
    assert chrome.execute_script(UNLABELLED) == []
    shoot(chrome, "search")
    assert chrome.get_log("browser") == []


def _tab_to(chrome: webdriver.Chrome, text: str) -> webdriver.remote.webelement.WebElement:
    """What has the focus after so many presses of the tabulator that it has this text."""
    for _ in range(80):
        chrome.switch_to.active_element.send_keys(Keys.TAB)
        if chrome.switch_to.active_element.text == text:
            return chrome.switch_to.active_element
    raise AssertionError(f"the tabulator does not lead to {text}")
