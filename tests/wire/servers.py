"""A Redis and a PostgreSQL that speak TLS alone, on loopback, and ask for passwords and certificates."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.wire.certificates import Authority

PASSWORD = "s3cret"
START_SECONDS = 30.0


def postgres_programs() -> Path | None:
    """The newest PostgreSQL of the system: that of the wheel was made without TLS."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


def missing() -> str | None:
    """Why nothing of this can be tested here, or None."""
    redis = shutil.which("redis-server")
    if redis is None or b"tls-auth-clients" not in Path(redis).resolve().read_bytes():
        return "no redis-server with TLS (Debian: apt install redis-server)"
    if postgres_programs() is None:
        return "no PostgreSQL with TLS (Debian: apt install postgresql)"
    return None


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def redis(folder: Path, authority: Authority, port: int, *users: str) -> Iterator[None]:
    """``users``: lines of its access list."""
    certificate, key = authority.issue("redis")
    (folder / "redis.conf").write_text(
        f"bind 127.0.0.1\nport 0\ntls-port {port}\ntls-auth-clients yes\ndir {folder}\nappendonly yes\n"
        f"maxmemory-policy noeviction\nrequirepass {PASSWORD}\ntls-ca-cert-file {authority.certificate}\n"
        f"tls-cert-file {certificate}\ntls-key-file {key}\n" + "".join(f"{user}\n" for user in users)
    )
    with _running(["redis-server", str(folder / "redis.conf")], folder / "redis.log", port):
        yield


@contextmanager
def postgres(folder: Path, authority: Authority, port: int) -> Iterator[None]:
    """A cluster with the user and the database ``tapeline``."""
    programs = postgres_programs()
    assert programs
    certificate, key = authority.issue("postgres")
    ca = authority.certificate.read_bytes()
    home = folder / "pg"
    home.mkdir()
    for name, content in (("ca", ca), ("crt", certificate.read_bytes()), ("key", key.read_bytes())):
        (home / name).write_bytes(content)
        (home / name).chmod(0o600)
    (home / "password").write_text(PASSWORD)
    account = "nobody" if os.geteuid() == 0 else None
    if account:
        nobody = pwd.getpwnam(account)
        for path in (home, *home.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    data = home / "data"
    subprocess.run(
        [
            *(
                str(programs / "initdb"),
                "-D",
                str(data),
                "-U",
                "tapeline",
                "--pwfile",
                str(home / "password"),
            ),
            *("--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--no-sync"),
        ],
        user=account,
        cwd=home,
        check=True,
        capture_output=True,
        timeout=120,
    )
    with (data / "postgresql.conf").open("a") as conf:
        conf.write(
            f"listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{home}'\n"
            f"ssl = on\nssl_ca_file = '{home}/ca'\nssl_cert_file = '{home}/crt'\n"
            f"ssl_key_file = '{home}/key'\n"
            "fsync = off\n"
        )
    (data / "pg_hba.conf").write_text(
        "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"
    )
    with _running([str(programs / "postgres"), "-D", str(data)], folder / "pg.log", port, account):
        subprocess.run(
            [str(programs / "createdb"), "-h", str(home), "-p", str(port), "-U", "tapeline", "tapeline"],
            check=True,
            capture_output=True,
            timeout=60,
        )
        yield


@contextmanager
def _running(command: list[str], log: Path, port: int, user: str | None = None) -> Iterator[None]:
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, stderr=written, user=user, cwd=log.parent)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(2)
        process.wait(START_SECONDS)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
