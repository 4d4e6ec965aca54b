"""Who may see the dashboard: the configured logins, else one that is made for this host."""

from __future__ import annotations

import os
from base64 import b64decode
from functools import cache
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from celery_app import settings
from celery_app.sections import LOOPBACK

USER = "tapeline"


def login_file() -> Path:
    """The file with the generated login: ``user:password``, readable only by this user."""
    return settings.load().state_dir / "dashboard.login"


def require(options: Any) -> None:
    """Make Flower require a login, unless it is configured to use another one or settings allow none."""
    # The callback runs each time options have been read; only then are they known.
    options.add_parse_callback(lambda: _require(options))


def _require(options: Any) -> None:
    if options.basic_auth and options.basic_auth != logins():
        return
    flower = settings.load().flower
    is_open = flower.without_login and options.address in LOOPBACK
    options.basic_auth = [] if options.auth or is_open else logins()


def user_of(handler: Any) -> str:
    """Who asks, in the form of a run's story; Flower has checked the login already."""
    if isinstance(handler.current_user, str):
        return str(handler.current_user)
    scheme, _, credentials = handler.request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic" and handler.application.options.basic_auth:
        return b64decode(credentials).decode().partition(":")[0]
    return f"dashboard ({handler.request.remote_ip})"


@cache
def logins() -> list[str]:
    """The logins ``user:password`` of the settings, else that of the file, which is made if it is missing."""
    configured = [each.get_secret_value() for each in settings.load().flower.basic_auth]
    return configured or [_made()]


def _made() -> str:
    path = login_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{USER}:{token_urlsafe(18)}\n")
    return path.read_text(encoding="ascii").strip()
