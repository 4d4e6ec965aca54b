"""Everything by TLS, with passwords and certificates on both sides; and what is said if one is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from cli.host.rights import acl
from tape.virtual.shelf import insert, new_cartridge
from tests.system import System
from tests.wire import servers
from tests.wire.certificates import Authority

pytestmark = pytest.mark.skipif(servers.missing() is not None, reason=f"NOT TESTED: TLS: {servers.missing()}")

DRIVE_HOST = "drive_host_tls"


@pytest.fixture
def wire(short_path: Path) -> Iterator[System]:
    """An installation whose servers are reached by TLS; the drive host has a user of its own in Redis."""
    authority = Authority(short_path, "authority")
    broker_port, database_port = servers.free_port(), servers.free_port()
    broker = f"rediss://:{servers.PASSWORD}@localhost:{broker_port}/0"
    user = acl(DRIVE_HOST, servers.PASSWORD, broker).removeprefix("ACL SETUSER ")
    certificate, key = authority.issue("client")
    tls = {"CA": authority.certificate, "CERTIFICATE": certificate, "KEY": key}
    with (
        servers.redis(short_path, authority, broker_port, f"user {user}"),
        servers.postgres(short_path, authority, database_port),
    ):
        database = f"postgresql+psycopg2://tapeline:{servers.PASSWORD}@localhost:{database_port}/tapeline"
        query = {"sslmode": "verify-full", "sslrootcert": tls["CA"], "sslcert": certificate, "sslkey": key}
        direct = make_url(database).update_query_dict({name: str(path) for name, path in query.items()})
        found = System(
            short_path,
            direct.render_as_string(hide_password=False),
            broker,
            **{
                f"TAPELINE_{server}_TLS__{name}": str(path)
                for server in ("BROKER", "DATABASE")
                for name, path in tls.items()
            },
        )
        found.environment["TAPELINE_DATABASE_URL"] = database
        found.cli("migrate")
        yield found
        found.close()


def _doctor(system: System) -> dict[str, dict[str, str]]:
    return {finding["check"]: finding for finding in system.json("doctor")}


def test_a_whole_run(wire: System, short_path: Path) -> None:
    """The drive host has users of its own with the least rights, in PostgreSQL and in Redis."""
    (short_path / "source").mkdir()
    (short_path / "source" / "data").write_bytes(bytes(1000))
    wire.schedule("monthly", short_path / "source")
    new_cartridge(wire.drive.path, "A00001L9", capacity=64 << 20)
    insert(wire.drive.path, "A00001L9")
    control = wire.environment
    wire.start("control")
    drive_host = {
        "TAPELINE_DATABASE_URL": wire.json("drive", "rights", DRIVE_HOST)["database_url"],
        "TAPELINE_BROKER_URL": control["TAPELINE_BROKER_URL"].replace("//:", f"//{DRIVE_HOST}:"),
    }
    wire.environment = {**control, **drive_host}
    wire.start("tape")
    seen = _doctor(wire)
    wire.environment = control
    run = wire.wait_for_state(wire.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", wire.logs()
    for check in ("Database", "Broker", "Workers", "Way to the database", "Way to the broker"):
        assert seen[check]["ok"], seen[check]
    assert "TLSv1" in seen["Way to the database"]["detail"]
    assert "encrypted" in seen["Way to the broker"]["detail"]
    assert "tape@test" in seen["Workers"]["detail"]


def test_what_is_wrong_is_named(wire: System, short_path: Path) -> None:
    """A foreign authority, a wrong password, and an address without TLS: one line each, with its remedy."""
    right = wire.environment
    (short_path / "foreign").mkdir()
    foreign = str(Authority(short_path / "foreign", "foreign").certificate)
    wire.environment = {**right, "TAPELINE_BROKER_TLS__CA": foreign, "TAPELINE_DATABASE_TLS__CA": foreign}
    found = _doctor(wire)
    assert "certificate" in found["Database"]["detail"]
    assert "database_tls" in found["Database"]["remedy"]
    assert "CERTIFICATE_VERIFY_FAILED" in found["Broker"]["detail"]
    assert "broker_tls" in found["Broker"]["remedy"]
    wrong = {
        name: right[name].replace(servers.PASSWORD, "wrong")
        for name in ("TAPELINE_BROKER_URL", "TAPELINE_DATABASE_URL")
    }
    wire.environment = {**right, **wrong}
    found = _doctor(wire)
    assert "database_url" in found["Database"]["remedy"]
    assert "broker_url" in found["Broker"]["remedy"]
    assert "refuses" in found["Broker"]["detail"]
    wire.environment = {
        **right,
        "TAPELINE_BROKER_URL": right["TAPELINE_BROKER_URL"].replace("rediss", "redis"),
    }
    assert (
        "broker_tls: the address in broker_url has to begin with rediss://"
        in wire.cli("doctor", code=2).stderr
    )
