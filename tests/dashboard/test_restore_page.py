"""Restoring from the pages: ticked, looked at beforehand, started, followed; and what is refused."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dashboard.show import Show
from db.models import BackupSet
from notify.words import Words
from tests.dashboard.dashboard import Dashboard
from tests.dashboard.test_browser import Open, browser, shoot
from tests.dashboard.test_files import SET, UNLABELLED, in_chromium
from tests.system import System

__all__ = ["browser"]


@pytest.fixture
def restorable(system: System) -> tuple[Dashboard, str, Path]:
    """A dashboard, a set on the tape in the drive, and a folder that the drive's host allows."""
    root = system.folder / "restore"
    root.mkdir()
    source = system.folder / "source"
    (source / "sub").mkdir()
    (source / "sub" / "deep.txt").write_text("deep")
    (source / "other.txt").write_text("other")
    system.environment["TAPELINE_RESTORE_ROOTS"] = json.dumps([str(root)])
    system.insert_blank()
    system.start("control", "tape")
    done = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    return Dashboard(system), str(done["set_id"]), root


def send(dashboard: Dashboard, path: str, fields: list[tuple[str, str]]) -> requests.Response:
    dashboard.get("/today")
    data = [("_xsrf", dashboard.session.cookies["_xsrf"]), *fields]
    return dashboard.session.post(dashboard.url + path, data=data, timeout=60, allow_redirects=False)


def seen(answer: requests.Response) -> str:
    [found] = re.findall(r'name="seen" value="([^"]*)"', answer.text)
    return html.unescape(found)


def restores(dashboard: Dashboard) -> list[dict[str, Any]]:
    return [run for run in dashboard.system.json("runs") if run["kind"] == "restore"]


@in_chromium
def test_files_are_ticked_restored_and_followed(
    restorable: tuple[Dashboard, str, Path], browser: Open
) -> None:
    """The plan names tape and size before it starts; a different file stays, and the backup is put beside
    it; the run's page says where it all is."""
    dashboard, _, root = restorable
    system = dashboard.system
    source = str(system.folder / "source")
    (root / source[1:]).mkdir(parents=True)
    (root / source[1:] / "file.txt").write_text("mine")
    chrome = browser(dashboard)
    chrome.get(f"{dashboard.url}/files?template=monthly")
    for name in ("file.txt", "sub"):
        chrome.find_element(By.CSS_SELECTOR, f'input[value="{source}/{name}"]').click()
    chrome.find_element(By.ID, "restore").click()
    assert chrome.execute_script(UNLABELLED) == []
    chosen = chrome.find_element(By.ID, "chosen").text.splitlines()
    assert chosen == [f"{source}/file.txt", f"{source}/sub"]
    plan = chrome.find_element(By.ID, "plan").text
    assert "in drive tape0" in plan
    there = chrome.find_element(By.ID, "there").text
    assert "0 files as in the backup" in there
    assert "1 different" in there
    assert "file.txt" in there
    shoot(chrome, "restore")
    chrome.find_element(By.ID, "existing-beside").click()
    chrome.find_element(By.ID, "do").click()
    run_id = int(chrome.current_url.rpartition("/")[2])
    done = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", done
    below = root / source[1:]
    assert (below / "file.txt").read_text() == "mine"
    assert (below / "file.restored-1.txt").read_text() == "content" * 1000
    assert (below / "sub" / "deep.txt").read_text() == "deep"
    assert not (below / "other.txt").exists()
    chrome.get(f"{dashboard.url}/runs/{run_id}?story=whole")
    page = chrome.find_element(By.TAG_NAME, "body").text
    assert str(root) in page
    assert "file.restored-1.txt" in page
    shoot(chrome, "restored")


def test_what_is_wrong_is_named_beside_its_field_and_nothing_is_done(
    restorable: tuple[Dashboard, str, Path],
) -> None:
    """Nothing ticked is nothing; each field at once; an old form says what has changed; twice is once."""
    dashboard, set_id, root = restorable
    source = str(dashboard.system.folder / "source")
    assert "Nothing is ticked" in send(dashboard, "/files/restore", [("set", set_id)]).text
    nothing = send(dashboard, "/files/restore/start", [("set", set_id), ("to", f"tape0:{root}")])
    assert nothing.status_code == 400
    ticked = [("set", set_id), ("path", f"{source}/sub")]
    wrong = [*ticked, ("to", "tape0:/etc"), ("below", "../x"), ("existing", "burn")]
    for path in ("/files/restore", "/files/restore/start"):
        answer = send(dashboard, path, wrong)
        assert answer.status_code == 400
        assert set(re.findall(r'id="wrong-(\w+)"', answer.text)) == {"to", "below", "existing"}
    assert send(dashboard, "/files/restore", [("set", set_id), ("path", "/not/there")]).status_code == 404
    good = [*ticked, ("to", f"tape0:{root}"), ("below", "new"), ("existing", "keep")]
    shown = send(dashboard, "/files/restore", good)
    assert shown.status_code == 200
    old = json.dumps({**json.loads(seen(shown)), "files": 99})
    stale = send(dashboard, "/files/restore/start", [*good, ("seen", old)])
    assert stale.status_code == 409
    assert "Files: 99 is now 2" in stale.text
    assert restores(dashboard) == []
    dashboard.system.kill("tape")
    started = send(dashboard, "/files/restore/start", [*good, ("seen", seen(shown))])
    assert started.status_code == 303, started.text
    again = send(dashboard, "/files/restore/start", [*good, ("seen", seen(shown))])
    assert (again.status_code, len(restores(dashboard))) == (409, 1)
    audit = [each for each in dashboard.system.json("audit") if each["what"] == "POST /files/restore/start"]
    assert {"set": set_id, "to": f"tape0:{root}", "below": "new", "existing": "keep"}.items() <= audit[0][
        "details"
    ].items()
    assert audit[0]["details"]["path"] == f"{source}/sub"
    assert {each["outcome"] for each in audit} <= {"done", "failed"}


def test_the_host_itself_refuses_a_folder_outside(restorable: tuple[Dashboard, str, Path]) -> None:
    """By command, and through a link that was made after the form was sent."""
    dashboard, set_id, root = restorable
    system = dashboard.system
    outside = system.folder / "outside"
    outside.mkdir()
    (root / "link").symlink_to(outside)
    for target in (outside, root / "link"):
        answer = system.cli("sets", "restore", set_id, "--to", str(target), code=1)
        assert "restore_roots" in answer.stdout + answer.stderr
    assert list(outside.iterdir()) == []
    source = str(system.folder / "source")
    fields = [
        ("set", set_id),
        ("path", source),
        ("to", f"tape0:{root}"),
        ("below", "link"),
        ("existing", "keep"),
    ]
    shown = send(dashboard, "/files/restore", fields)
    assert shown.status_code == 400
    assert re.search(r'id="wrong-to">[^<]*in no folder that this host allows', shown.text)
    run = send(dashboard, "/files/restore/start", [*fields, ("seen", seen(shown))])
    assert run.status_code == 303
    done = system.wait_for_state(int(run.headers["Location"].rpartition("/")[2]), "SUCCEEDED", "FAILED")
    assert done["state"] == "FAILED"
    assert list(outside.iterdir()) == []


@in_chromium
def test_the_form_of_an_encrypted_set_fits_a_phone_in_chinese(shared: Dashboard, browser: Open) -> None:
    """It asks for the key's file, names what is missing beside the field, and estimates in words."""

    def close(session: Any) -> None:
        session.get(BackupSet, SET).encrypted = True

    shared.system.ask(close)
    chrome = browser(shared, language="zh-CN", phone=True)
    chrome.get(f"{shared.url}/files?template=monthly")
    for box in chrome.find_elements(By.CSS_SELECTOR, "#children input[type=checkbox]"):
        box.send_keys(Keys.SPACE)
    chrome.find_element(By.ID, "restore").send_keys(Keys.ENTER)
    shoot(chrome, "phone-zh-CN-restore")
    for _ in range(2):
        wide = chrome.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{wide} pixels wider than a phone"
        assert chrome.execute_script(UNLABELLED) == []
        assert "私钥" in chrome.find_element(By.CSS_SELECTOR, "label[for=identity]").text
        chrome.find_element(By.ID, "do").send_keys(Keys.ENTER)
    assert "已加密" in chrome.find_element(By.ID, "wrong-identity").text
    shoot(chrome, "phone-zh-CN-restore-wrong")


def test_of_many_paths_the_first_few_and_their_number_are_in_the_audit(shared: Dashboard) -> None:
    paths = [("path", f"/data/{number:04}" + "x" * 300) for number in range(40)]
    answer = send(shared, "/files/restore/start", [("set", SET), *paths])
    assert answer.status_code == 404
    entered = next(
        each for each in shared.system.json("audit") if each["what"] == "POST /files/restore/start"
    )["details"]["path"]
    assert entered.startswith("/data/0000xxx")
    assert entered.endswith("… (40)")
    assert [f"/data/{number:04}" in entered for number in (1, 2, 3)] == [True, True, False]


def test_a_short_time_is_put_in_words() -> None:
    show = Show(Words("en"))
    assert [show.about(each) for each in (None, 0.2, 59.6, 60, 3700)] == [
        "–",
        "under a minute",
        "under a minute",
        "1 min 0 s",
        "1 h 1 min",
    ]
