"""Addresses in the settings. They may contain a password or a key, so no error shows any part of them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

_QUOTED = "write # in the password as %23, / as %2F, ? as %3F, @ as %40, [ as %5B, ] as %5D"


def _check_server(secret: SecretStr) -> SecretStr:
    """A password that would be read as something else is an error."""
    try:
        parts = urlsplit(secret.get_secret_value())
        parts.port  # noqa: B018 - it raises for a port that is none
    except ValueError:
        raise ValueError(f"not an address; {_QUOTED}") from None
    behind = parts.path + parts.fragment if parts.netloc else ""
    is_cut_off = "@" in parts.query and "@" not in parts.netloc and bool(parts.netloc)
    if parts.fragment or "@" in behind or parts.netloc.count("@") > 1 or is_cut_off:
        raise ValueError(_QUOTED)
    return secret


def _check_ping(secret: SecretStr) -> SecretStr:
    """The resolver's codec cannot encode every host."""
    try:
        parts = urlsplit(secret.get_secret_value())
        parts.port  # noqa: B018 - as above
        is_address = parts.scheme in {"http", "https"} and bool((parts.hostname or "").encode("idna"))
    except ValueError:
        is_address = False
    if not is_address:
        raise ValueError("write the whole address, with http:// or https://")
    return secret


ServerUrl = Annotated[SecretStr, AfterValidator(_check_server)]
"""The address of a broker or a database, possibly with a password."""

PingUrl = Annotated[SecretStr, AfterValidator(_check_ping)]
"""The address of a check at a monitoring service."""
