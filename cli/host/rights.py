"""``tapeline drive rights``: a database user for a drive host, with only the rights that its worker needs."""

from __future__ import annotations

from secrets import token_urlsafe
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer
from sqlalchemy import make_url

from celery_app import settings, wiring
from celery_app.config import KEY_PREFIX, broker_url, is_amqp
from cli.host import stack
from cli.render import output
from cli.render.output import AsJson
from db.admin import rights as of_database

OURS = r"^(control|tape(\..+)?|celeryev.*|.*celery\.pidbox|amq\.(gen|default).*|)$"
"""The queues and exchanges that a worker uses: its own, remote control and events. The empty name is the
default exchange."""


def rights(
    role: Annotated[str, typer.Argument(help="Its name in the database and the broker, e.g. drive_host_1.")],
    as_json: AsJson = False,
) -> None:
    """Create the database user of a drive host, or give it a new password, and print what to enter where.

    It can do what a tape worker does: it cannot change a schedule or template, create a run or drop a table.
    The last line restricts the user in the same way in Redis or RabbitMQ, whichever is the broker.
    """
    password = token_urlsafe(24)
    with stack.database() as database, database.transaction() as session:
        of_database.give(session, role, password)
    url = make_url(wiring.database_url()).set(username=role, password=password, query={})
    broker = broker_url(settings.load())
    kind, line = (
        ("rabbitmq", permissions(role, password, broker))
        if is_amqp(broker)
        else ("redis", acl(role, password, broker))
    )
    entries = {"database_url": url.render_as_string(hide_password=False), kind: line}
    if as_json:
        output.print_json(entries)
    else:
        output.console.print(f'database_url = "{entries["database_url"]}"', markup=False, soft_wrap=True)
        output.console.print(line, markup=False, soft_wrap=True)


def acl(user: str, password: str, broker: str) -> str:
    """The line that creates the user in Redis: our keys and channels, and no administration."""
    # Subscriptions must be listed here letter by letter, even if a wider pattern covers them.
    topics = (f"/{_number(broker)}.{topic}" for topic in ("celery.pidbox", "celeryev/worker.*", "celeryev/*"))
    ours = " ".join([f"~{KEY_PREFIX}*", *(f"&{KEY_PREFIX}{topic}" for topic in topics)])
    return f"ACL SETUSER {user} reset on >{password} {ours} +@all -@admin -@dangerous +info"


def permissions(user: str, password: str, broker: str) -> str:
    """The line for a shell that creates the user in RabbitMQ: our queues and exchanges, no administration."""
    host = unquote(urlsplit(broker).path[1:]) or "/"
    rights = " ".join([f"'{OURS}'"] * 3)
    return (
        f"rabbitmqctl add_user {user} '{password}' || rabbitmqctl change_password {user} '{password}';"
        f" rabbitmqctl set_permissions -p '{host}' {user} {rights}"
    )


def _number(broker: str) -> str:
    """The number of the database in the broker's address."""
    return urlsplit(broker).path.strip("/") or "0"
