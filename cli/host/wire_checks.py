"""The connection checks of ``tapeline doctor`` for broker and database: who could read along."""

from __future__ import annotations

from urllib.parse import urlsplit

from sqlalchemy import make_url

from celery_app import settings, wiring
from celery_app.sections import LOOPBACK, is_encrypted
from cli.host.drive_checks import CheckFailed
from db.admin import server
from policy.message import M, Message


def broker() -> Message:
    """Raises CheckFailed if a broker on another host requires no password."""
    configured = settings.load().broker_url
    url = urlsplit(configured.get_secret_value() if configured else "")
    if not configured or "socket" in url.scheme:
        return M("a socket of this host")
    if url.hostname not in LOOPBACK and not url.password:
        raise CheckFailed(
            M("The broker at {host} asks for no password.", host=url.hostname),
            M("Whoever reaches it can have a tape formatted: set one (docs/security.md)."),
        )
    if is_encrypted(configured.get_secret_value()):
        return M("encrypted, the certificate is checked")
    return _plain(url.hostname)


def database() -> Message:
    """The server's own report of this connection. Raises CheckFailed if its certificate is not checked."""
    url = make_url(wiring.database_url())
    with wiring.database().transaction() as session:
        tls = server.encryption(session)
    if tls is None:
        return _plain(url.host) if url.host else M("a socket of this host")
    if url.query.get("sslmode") not in {"verify-ca", "verify-full"}:
        raise CheckFailed(
            M("The connection is encrypted, and the server's certificate is not checked."),
            M("Set database_tls.ca to the certificate that the server's is signed by."),
        )
    return M("encrypted ({version}), the certificate is checked", version=tls)


def _plain(host: str | None) -> Message:
    if host in LOOPBACK:
        return M("not encrypted, on this host alone")
    return M("not encrypted: the network to {host} has to be one that nobody else is in", host=host or "-")
