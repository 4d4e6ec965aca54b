"""The recipes of docs/dumps.md, each tried against the program itself where it is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from celery_app import settings
from celery_app.host import commands
from embedded import binaries

PAGE = (Path(__file__).parents[4] / "docs" / "dumps.md").read_text("utf-8")
Write = Callable[..., None]


def recipe(name: str) -> list[str]:
    """The argument list of a command, as the page has it."""
    for block in PAGE.split("```toml\n")[1:]:
        found = tomllib.loads(block.partition("```")[0]).get("commands", {})
        if name in found:
            return list(found[name]["argv"])
    raise AssertionError(name)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes commands into this host's file."""
    file = tmp_path / "tapeline.toml"
    monkeypatch.setenv("TAPELINE_CONFIG", str(file))

    def write(**argv: list[str]) -> None:
        lines = [f"[commands.{name}]\nargv = {words!r}\n" for name, words in argv.items()]
        file.write_text("".join(lines), "utf-8")
        settings.SOURCE.forget()

    yield write
    settings.SOURCE.forget()


def printed(name: str) -> bytes:
    """What a command prints; it has to end well, and say nothing else."""
    with commands.find(name).piped({}) as running:
        data = b"".join(iter(lambda: running.read(1 << 16), b""))
        done = running.finish()
    assert (done.return_code, done.output) == (0, "")
    return data


def needs(*programs: str) -> None:
    if missing := [name for name in programs if shutil.which(name) is None]:
        pytest.skip(f"not installed here: {', '.join(missing)}")


def test_postgresql(database_url: str, written: Write, tmp_path: Path) -> None:
    """The embedded server's own pg_dump; its pg_restore reads what was printed."""
    url = make_url(database_url)
    folder = binaries.postgres().folder
    where = ["--host", str(url.query["host"]), "--username", str(url.username)]
    program, *options = recipe("dump-postgresql")
    assert options[-1] == "accounts"
    written(dump=[str(folder / program), *where, *options[:-1], str(url.database)])
    with psycopg2.connect(user=url.username, host=url.query["host"], dbname=url.database) as connection:
        connection.cursor().execute("CREATE TABLE accounts AS SELECT generate_series(1, 5000) AS id")
    connection.close()
    path = tmp_path / "accounts.dump"
    path.write_bytes(printed("dump"))
    read = [folder / "pg_restore", "--data-only", "-t", "accounts", "-f", "-", path]
    listed = subprocess.run(read, capture_output=True, check=True)
    assert listed.stdout.count(b"\n4999\n") == 1


def test_a_postgresql_that_is_not_there(written: Write) -> None:
    """The code of the program shows that what it printed is not whole."""
    folder = binaries.postgres().folder
    written(dump=[str(folder / "pg_dump"), "--host", "/no/such/folder", "accounts"])
    with commands.find("dump").piped({}) as running:
        assert running.read(1 << 16) == b""
        done = running.finish()
    assert done.return_code == 1
    assert "/no/such/folder" in done.output


def test_mariadb(written: Write, short_path: Path) -> None:
    """A server of its own, on a socket; what was printed makes the database anew."""
    needs("mariadb-dump", "mariadbd", "mariadb-install-db", "mariadb")
    data, socket = short_path / "data", short_path / "socket"
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        shutil.chown(short_path, user)
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={user}"]
    install += ["--skip-test-db", "--auth-root-authentication-method=normal"]
    subprocess.run(install, check=True, capture_output=True)
    options = [f"--datadir={data}", f"--socket={socket}", f"--user={user}", "--skip-networking"]
    log = (short_path / "log").open("wb")
    server = subprocess.Popen(["mariadbd", "--no-defaults", *options], stdout=log, stderr=log)
    client = ["mariadb", "--no-defaults", f"--socket={socket}", "--user=root", "--connect-timeout=30"]
    try:
        for _ in range(300):
            if subprocess.run([*client, "-e", "SELECT 1"], capture_output=True, check=False).returncode == 0:
                break
            subprocess.run(["sleep", "0.2"], check=True)
        for make in ("DATABASE shop", "TABLE shop.t (id INT) ENGINE=InnoDB AS SELECT 4711 AS id"):
            subprocess.run([*client, "-e", f"CREATE {make}"], check=True)
        program, *rest = recipe("dump-mariadb")
        written(dump=[program, "--no-defaults", f"--socket={socket}", "--user=root", *rest])
        dumped = printed("dump")
        assert b"Dump completed" in dumped
        subprocess.run([*client, "-e", "DROP DATABASE shop"], check=True)
        subprocess.run(client, input=dumped, check=True)
        found = subprocess.run([*client, "-Ne", "SELECT id FROM shop.t"], check=True, capture_output=True)
        assert found.stdout == b"4711\n"
    finally:
        server.terminate()
        server.wait(60)
        log.close()


def test_sqlite(written: Write, tmp_path: Path) -> None:
    """A copy, and a dump, of a database in which somebody is writing: what was committed, and no more."""
    needs("sqlite3")
    place, copy = tmp_path / "app.db", tmp_path / "copy.db"
    database = sqlite3.connect(place)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE t AS SELECT 4711 AS id")
    database.commit()
    database.execute("INSERT INTO t VALUES (1)")

    def at(words: list[str]) -> list[str]:
        named = {"/srv/app/backup/app.db": str(copy), "/srv/app/app.db": str(place)}
        return [reduce(lambda text, each: text.replace(*each), named.items(), word) for word in words]

    written(backup=at(recipe("backup-sqlite")), dump=at(recipe("dump-sqlite")))
    assert commands.find("backup").run({}).return_code == 0
    copied = sqlite3.connect(copy)
    assert copied.execute("SELECT id FROM t").fetchall() == [(4711,)]
    anew = sqlite3.connect(":memory:")
    anew.executescript(printed("dump").decode())
    assert anew.execute("SELECT id FROM t").fetchall() == [(4711,)]
    for each in (copied, anew, database):
        each.close()


ZFS = """#!/bin/sh
# A stand-in: it keeps its snapshots as files beside itself.
cd "$(dirname "$0")" || exit 1
case "$1 $2" in
    "snapshot -r") test ! -e "snapshot-${3#*@}" && echo "stream of $3" > "snapshot-${3#*@}" ;;
    "send -R") cat "snapshot-${3#*@}" ;;
    "destroy -r") rm "snapshot-${3#*@}" ;;
    *) echo "unrecognized command" >&2; exit 2 ;;
esac
"""


def test_zfs(written: Write, tmp_path: Path) -> None:
    """The snapshot is made, sent and destroyed; a second run beside it would be refused by the name."""
    program = tmp_path / "zfs"
    program.write_text(ZFS)
    program.chmod(0o755)
    names = ("zfs-snapshot", "zfs-send", "zfs-destroy")
    written(**{name: [str(program), *recipe(name)[1:]] for name in names})
    assert commands.find("zfs-snapshot").run({}).return_code == 0
    assert commands.find("zfs-snapshot").run({}).return_code == 1
    assert printed("zfs-send") == b"stream of tank/mail@tapeline\n"
    assert commands.find("zfs-destroy").run({}).return_code == 0
    assert not list(tmp_path.glob("snapshot-*"))
