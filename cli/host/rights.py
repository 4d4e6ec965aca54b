"""``tapeline drive rights``: a database user for a drive host, with only the rights that its worker needs."""

from __future__ import annotations

from secrets import token_urlsafe
from typing import Annotated
from urllib.parse import urlsplit

import typer
from sqlalchemy import make_url

from celery_app import settings, wiring
from celery_app.config import KEY_PREFIX, broker_url
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from db.admin import rights as of_database


def rights(
    role: Annotated[str, typer.Argument(help="Its name in the database and in Redis, e.g. drive_host_1.")],
    as_json: AsJson = False,
) -> None:
    """Create the database user of a drive host, or give it a new password, and print what to enter where.

    It can do what a tape worker does: it cannot change a schedule or template, create a run or drop a table.
    The line for Redis restricts the user there in the same way.
    """
    password = token_urlsafe(24)
    with stack.database() as database, database.transaction() as session:
        of_database.give(session, role, password)
    url = make_url(wiring.database_url()).set(username=role, password=password, query={})
    entries = {
        "database_url": url.render_as_string(hide_password=False),
        "redis": acl(role, password, broker_url(settings.load())),
    }
    if as_json:
        output.print_json(entries)
    else:
        output.console.print(f'database_url = "{entries["database_url"]}"', markup=False, soft_wrap=True)
        output.console.print(entries["redis"], markup=False, soft_wrap=True)


def acl(user: str, password: str, broker: str) -> str:
    """The line that creates the user in Redis: our keys and channels, and no administration."""
    # Subscriptions must be listed here letter by letter, even if a wider pattern covers them.
    topics = (f"/{_number(broker)}.{topic}" for topic in ("celery.pidbox", "celeryev/worker.*", "celeryev/*"))
    ours = " ".join([f"~{KEY_PREFIX}*", *(f"&{KEY_PREFIX}{topic}" for topic in topics)])
    return f"ACL SETUSER {user} reset on >{password} {ours} +@all -@admin -@dangerous +info"


def _number(broker: str) -> str:
    """The number of the database in the broker's address."""
    return urlsplit(broker).path.strip("/") or "0"
