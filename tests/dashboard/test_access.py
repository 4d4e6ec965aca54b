"""Who may do what: each role at each route of the real application, and what the audit keeps of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import requests
from flower import urls
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tornado.web import URLSpec

from dashboard.routes import ROUTES
from db.admin import audit
from db.engine import Database
from embedded.servers import Servers
from policy.roles import Role
from tests.dashboard import seeds
from tests.dashboard.conftest import a_folder, a_system
from tests.dashboard.dashboard import Dashboard
from tests.system import System

LOGINS = {Role.VIEWER: "vic", Role.OPERATOR: "olga", Role.ADMIN: "ann"}

OPEN = {"/healthcheck", "/metrics", "/login", "/logout", "/static/1", "/tapeline/static/1", "/.*"}
"""What answers without a login, and shows nothing of ours but the figures, on loopback."""

SHOWS = {
    "/", "/today", "/runs", "/runs/1", "/files", "/files/versions", "/files/search", "/tapes", "/tapes/1",
    "/tapes/sheet",
    "/docs/1",
    "/schedules", "/schedules/1/toml", "/drives", "/library", "/audit", "/sets/1", "/workers", "/worker/1",
    "/task/1", "/tasks", "/tasks/datatable", "/broker", "/api/workers", "/api/tasks", "/api/task/types",
    "/api/queues/length", "/api/task/info/1", "/api/task/result/1",
}  # fmt: skip

NEEDS = {
    **dict.fromkeys(SHOWS, Role.VIEWER),
    "/runs/1/retry": Role.OPERATOR,
    "/runs/1/accept": Role.OPERATOR,
    "/runs/1/dismiss": Role.OPERATOR,
    "/runs/1/cancel": Role.OPERATOR,
    "/files/restore": Role.OPERATOR,
    "/files/restore/start": Role.OPERATOR,
    "/schedules/1/run": Role.OPERATOR,
    "/schedules/new": Role.ADMIN,
    "/schedules/new/preview": Role.ADMIN,
    "/schedules/1/edit": Role.ADMIN,
    "/schedules/1/edit/preview": Role.ADMIN,
    "/schedules/1/delete": Role.ADMIN,
    "/library/1/1": Role.OPERATOR,
    "/drives/1/1": Role.OPERATOR,
    "/sets/1/verify": Role.OPERATOR,
    "/sets/1/copy": Role.OPERATOR,
    "/api/task/apply/1": Role.OPERATOR,
    "/api/task/async-apply/1": Role.OPERATOR,
    "/api/task/send-task/1": Role.OPERATOR,
    "/api/task/abort/1": Role.OPERATOR,
    "/api/task/revoke/1": Role.OPERATOR,
    "/runs/1/release": Role.ADMIN,
    "/schedules/1/enable": Role.ADMIN,
    "/schedules/1/release": Role.ADMIN,
    "/sets/1/expire": Role.ADMIN,
    "/tapes/1/mark/1": Role.ADMIN,
    "/freeze": Role.ADMIN,
    "/freezes/1/lift": Role.ADMIN,
    "/api/worker/shutdown/1": Role.ADMIN,
    "/api/worker/pool/restart/1": Role.ADMIN,
    "/api/worker/pool/grow/1": Role.ADMIN,
    "/api/worker/pool/shrink/1": Role.ADMIN,
    "/api/worker/pool/autoscale/1": Role.ADMIN,
    "/api/worker/queue/add-consumer/1": Role.ADMIN,
    "/api/worker/queue/cancel-consumer/1": Role.ADMIN,
    "/api/task/timeout/1": Role.ADMIN,
    "/api/task/rate-limit/1": Role.ADMIN,
}
"""The least role for each address that needs a login."""


@pytest.fixture(scope="module")
def dashboard(
    servers: Servers, fresh_database: Callable[[], AbstractContextManager[str]]
) -> Iterator[Dashboard]:
    """A dashboard with a login of each role, and one without a role."""
    with a_folder() as folder, fresh_database() as url:
        system = a_system(folder, url, servers.broker_url)
        users = [*LOGINS.values(), "nobody"]
        system.environment["TAPELINE_FLOWER__BASIC_AUTH"] = json.dumps(
            [f"{user}:{user}-pw" for user in users]
        )
        roles = {user: role.value for role, user in LOGINS.items()}
        system.environment["TAPELINE_FLOWER__ROLES"] = json.dumps(roles)
        seeds.sow(system.database)
        try:
            yield Dashboard(system)
        finally:
            system.close()


def addresses() -> set[str]:
    """Every address of the application, ours and Flower's."""
    patterns = [pattern for pattern, _ in ROUTES]
    patterns += [each.regex.pattern if isinstance(each, URLSpec) else each[0] for each in urls.handlers]
    found = set()
    for pattern in patterns:
        one = pattern.replace("(enable|disable)", "enable").rstrip("$").removesuffix("/?")
        found.add(re.sub(r"\([^)]*\)", "1", one if one.startswith("/") else f"/{one}"))
    return found


def login(dashboard: Dashboard, user: str) -> requests.Session:
    """A browser with a login and the token of our forms."""
    session = requests.Session()
    session.auth = (user, f"{user}-pw")
    assert session.get(dashboard.url + "/today", timeout=20).ok
    session.headers["X-XSRFToken"] = session.cookies["_xsrf"]
    return session


def test_every_route_has_a_rule() -> None:
    """A new route of ours or of Flower's is here, or it fails."""
    assert addresses() == NEEDS.keys() | OPEN


@pytest.mark.parametrize("role", Role)
def test_a_role_at_every_route(dashboard: Dashboard, role: Role) -> None:
    """What it may not do is answered with 403, which names the role that may; nothing else is."""
    browser = login(dashboard, LOGINS[role])
    for path, needed in NEEDS.items():
        for method in ("GET", "POST"):
            answer = browser.request(method, dashboard.url + path, timeout=20, allow_redirects=False)
            is_refused = answer.status_code == 403
            assert is_refused == (not role.may(needed)), f"{method} {path}: {answer.status_code}"
            if is_refused:
                assert f"Your role is {role}; this needs the role {needed}" in answer.text, path
    assert [run["state"] for run in dashboard.system.json("runs")] == ["FAILED"]


def test_a_login_without_a_role_is_a_viewer(dashboard: Dashboard) -> None:
    """As soon as anybody has one; and it sees no button that it may not press."""
    browser = login(dashboard, "nobody")
    assert browser.post(f"{dashboard.url}/api/task/revoke/1", timeout=20).status_code == 403
    for path in ("/today", "/runs/1", "/schedules", "/tapes"):
        page = browser.get(dashboard.url + path, timeout=20).text
        assert not re.findall(
            r'href="[^"]*/(retry|dismiss|cancel|run|enable|disable|freeze|edit|delete|new)"', page
        ), path
    operators = login(dashboard, "olga").get(dashboard.url + "/schedules", timeout=20).text
    assert "/schedules/monthly/run" in operators
    assert "/schedules/monthly/disable" not in operators
    assert "/schedules/monthly/edit" not in operators
    assert (
        "/schedules/monthly/disable"
        in login(dashboard, "ann").get(dashboard.url + "/schedules", timeout=20).text
    )


def test_what_was_done_and_refused_is_in_the_audit(dashboard: Dashboard) -> None:
    """Who, with which role, from where, what, and how it ended; no page that was only looked at, and no more
    of a form than its reason."""
    login(dashboard, "vic").post(
        f"{dashboard.url}/schedules/monthly/disable", data={"password": "secret-1"}, timeout=20
    )
    admin = login(dashboard, "ann")
    admin.post(
        f"{dashboard.url}/schedules/monthly/disable", data={"why": "a <test>", "x": "secret-2"}, timeout=20
    )
    admin.post(f"{dashboard.url}/schedules/monthly/enable", timeout=20)
    admin.post(f"{dashboard.url}/schedules/none/enable", timeout=20)
    admin.post(f"{dashboard.url}/tasks/datatable", timeout=20)
    dashboard.system.wait_for(lambda: entries(dashboard)[0]["outcome"], "the last outcome")
    newest = entries(dashboard)[:4]
    assert [(each["who"], each["role"], each["what"], each["outcome"]) for each in newest] == [
        ("ann", "admin", "POST /schedules/none/enable", "failed"),
        ("ann", "admin", "POST /schedules/monthly/enable", "done"),
        ("ann", "admin", "POST /schedules/monthly/disable", "done"),
        ("vic", "viewer", "POST /schedules/monthly/disable", "refused"),
    ]
    assert {each["origin"] for each in newest} == {"127.0.0.1"}
    assert newest[2]["details"] == {"why": "a <test>"}
    page = login(dashboard, "vic").get(f"{dashboard.url}/audit?who=ann", timeout=20).text
    assert "a &lt;test&gt;" in page
    assert ">vic" not in page
    assert "No entry is like that" in admin.get(f"{dashboard.url}/audit?who=none", timeout=20).text
    assert "is not a number" in admin.get(f"{dashboard.url}/audit?before=x", timeout=20).text
    assert "secret" not in json.dumps(entries(dashboard)) + page


def entries(dashboard: Dashboard) -> list[dict[str, Any]]:
    return list(dashboard.system.json("audit"))


def test_an_operator_changes_no_schedule(dashboard: Dashboard) -> None:
    """The answer says which role may, nothing is done, and the audit has who tried what."""
    browser = login(dashboard, "olga")
    wanted = {"enabled": "false", "backup.sources": "/olga"}
    for path in ("/schedules/monthly/edit", "/schedules/monthly/edit/preview", "/schedules/monthly/delete"):
        answer = browser.post(dashboard.url + path, data=wanted, timeout=20)
        assert answer.status_code == 403
        assert "Your role is operator; this needs the role admin" in answer.text
        newest = entries(dashboard)[0]
        assert (newest["who"], newest["what"], newest["outcome"]) == ("olga", f"POST {path}", "refused")
    shown = dashboard.system.json("schedule", "show", "monthly")
    assert shown["enabled"]
    assert shown["sources"] != ["/olga"]


def test_the_audit_is_paged(dashboard: Dashboard) -> None:
    """Newest first, a hundred at a time, and none of them missing."""

    def fill(session: Any) -> None:
        for number in range(150):
            audit.enter(session, who="robot", origin="h", what=f"deed {number}")

    dashboard.system.ask(fill)
    browser = login(dashboard, "vic")
    first = browser.get(f"{dashboard.url}/audit?who=robot", timeout=20).text
    [older] = re.findall(r'id="older" href="([^"]+)"', first)
    second = browser.get(dashboard.url + older.replace("&amp;", "&"), timeout=20).text
    deeds = [re.findall(r"deed (\d+)", page) for page in (first, second)]
    assert [list(map(int, each)) for each in deeds] == [list(range(149, 49, -1)), list(range(49, -1, -1))]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET who = 'x'",
        "UPDATE audit_entries SET outcome = 'done', outcome_at = now()",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
    ],
)
def test_an_entry_is_never_changed(database: Database, statement: str) -> None:
    """Once its outcome is there, nothing can be added either."""
    with database.transaction() as session:
        number = audit.enter(session, who="ann", origin="h", what="deed")
        audit.settle(session, number, audit.Outcome.DONE)
        audit.settle(session, number, audit.Outcome.FAILED)
    with pytest.raises(DBAPIError, match="only grows"), database.transaction() as session:
        session.execute(text(statement))
    with database.transaction() as session:
        [entry] = audit.entries(session, limit=9)
        assert (entry.who, entry.outcome) == ("ann", "done")


def test_commands_are_in_the_audit_too(system: System) -> None:
    """Before they act, as they were typed, without passwords; what only shows, and a dry run, is not."""
    system.cli("schedule", "disable", "monthly")
    system.cli("schedule", "enable", "nothing", code=None)
    system.cli("schedule", "list")
    system.cli("schedule", "run", "monthly", "--dry-run", code=None)
    system.cli("freeze", "--why", "see redis://user:pa-ss@host/0")
    found = system.json("audit")
    assert [(each["what"], each["outcome"]) for each in found] == [
        ("tapeline freeze --why see redis://user:***@host/0", "done"),
        ("tapeline schedule enable nothing", "failed"),
        ("tapeline schedule disable monthly", "done"),
    ]
    assert all(each["who"] and each["origin"] and each["role"] is None for each in found)
    assert "pa-ss" not in system.cli("audit").stdout
    assert len(system.json("audit", "-n", "1")) == 1
    assert "… and older ones: --before" in system.cli("audit", "-n", "1").stdout
    assert system.json("audit", "--since", "2099-01-01") == []
    assert "--since" in system.cli("audit", "--since", "yesterday", code=2).stderr


def test_what_cannot_be_entered_is_not_done(system: System, short_path: Path) -> None:
    """Without the table of the audit nothing is changed by anybody."""
    dashboard = Dashboard(system)
    with system.database.transaction() as session:
        session.execute(text("ALTER TABLE audit_entries RENAME TO gone"))
    form = dashboard.form("/schedules/monthly/disable")
    answer = dashboard.session.post(f"{dashboard.url}/schedules/monthly/disable", data=form, timeout=20)
    assert answer.status_code == 503
    system.cli("schedule", "disable", "monthly", code=1)
    assert system.json("schedule", "show", "monthly")["enabled"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("without_login = true\nroles = { ann = 'viewer' }", "roles need logins"),
        ("roles = { ann = 'boss' }", "flower.roles.ann"),
    ],
)
def test_a_wrong_role_is_one_line(system: System, lines: str, problem: str) -> None:
    (system.folder / "tapeline.toml").write_text(f"[flower]\n{lines}\n")
    assert problem in system.cli("schedule", "list", code=2).stderr
