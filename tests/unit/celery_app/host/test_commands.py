"""The commands of this host's file: what is wrong with one, in one line with its field and the remedy."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from celery_app import settings
from celery_app.host import commands
from celery_app.host.defaults import BadConfiguration
from celery_app.host.sections import MOST, seconds_of

Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    file = tmp_path / "tapeline.toml"
    monkeypatch.setenv("TAPELINE_CONFIG", str(file))

    def written(text: str) -> None:
        file.write_text(text, "utf-8")
        settings.SOURCE.forget()

    yield written
    settings.SOURCE.forget()


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [("30s", 30), ("10min", 600), ("10m", 600), ("2h", 7200), ("1h 30min", 5400), ("7d", MOST)],
)
def test_a_limit(limit: str, seconds: int) -> None:
    assert seconds_of(limit) == seconds


@pytest.mark.parametrize("limit", ["soon", "", "10", "0s", "8d", "-1h", "10 minutes", "1.5h"])
def test_a_limit_that_is_none(write: Write, limit: str) -> None:
    write(f'[commands.quiesce]\nargv = ["true"]\nlimit = "{limit}"\n')
    with pytest.raises(BadConfiguration, match=r"commands\.quiesce\.limit: .* is no length of time"):
        settings.load()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[commands.quiesce]\nargv = []\n", r"commands\.quiesce\.argv"),
        ('[commands.quiesce]\nargv = "lvcreate -s"\n', r"commands\.quiesce\.argv"),
        ("[commands.quiesce]\n", r"commands\.quiesce\.argv: Field required"),
        ('[commands."two words"]\nargv = ["true"]\n', r"commands\.two words"),
        ('[commands.quiesce]\nargv = ["true"]\nshell = true\n', "there is no such setting"),
    ],
)
def test_a_table_that_is_wrong(write: Write, text: str, problem: str) -> None:
    write(text)
    with pytest.raises(BadConfiguration, match=problem):
        settings.load()


def test_a_command_that_is_not_there(write: Write) -> None:
    write('[commands.quiesce]\nargv = ["true"]\n[commands.gone]\nargv = ["no-such-program"]\n')
    assert Path(commands.find("quiesce").argv[0]).is_absolute()
    with pytest.raises(commands.CommandUnusable, match=r"has no command 'other'\. Add \[commands\.other\]"):
        commands.find("other")
    with pytest.raises(commands.CommandUnusable, match=r"commands\.gone\.argv: there is no program no-such"):
        commands.find("gone")
    found = commands.problems(["quiesce", "gone", "other", "gone"])
    assert [str(each)[:13] for each in found] == ["commands.gone", "tapeline.toml"]


def test_another_user(write: Write) -> None:
    """Only root can change it; whoever it is has its own home, and none of our variables."""
    write('[commands.quiesce]\nargv = ["true"]\nuser = "no-such-user"\n')
    with pytest.raises(commands.CommandUnusable, match=r"commands\.quiesce\.user: there is no user"):
        commands.find("quiesce")
    own = pwd.getpwuid(os.geteuid()).pw_name
    write(f'[commands.quiesce]\nargv = ["true"]\nuser = "{own}"\n')
    assert commands.find("quiesce").account is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as another user")
def test_it_runs_as_its_user(write: Write) -> None:
    write(
        "[commands.who]\nargv = ['/bin/sh', '-c', 'id -u; id -G; echo $HOME $BACKUP_RUN']\nuser = 'nobody'\n"
    )
    found = commands.find("who")
    user = pwd.getpwnam("nobody")
    assert found.account is not None
    done = found.run({"BACKUP_RUN": "7"})
    assert done.output.splitlines() == [str(user.pw_uid), str(user.pw_gid), f"{user.pw_dir} 7"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may start programs as anybody")
def test_only_root_starts_programs_as_another_user(write: Write) -> None:
    write('[commands.quiesce]\nargv = ["true"]\nuser = "root"\n')
    with pytest.raises(commands.CommandUnusable, match="only a worker of root starts programs as root"):
        commands.find("quiesce")


def test_it_gets_no_password_of_ours(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPELINE_BROKER_URL", "redis://:secret@h:6379/0")
    write('[commands.show]\nargv = ["env"]\n')
    output = commands.find("show").run({"BACKUP_MOMENT": "before"}).output
    assert "BACKUP_MOMENT=before" in output
    assert "TAPELINE_" not in output


def test_who_waits_can_end_it(write: Write) -> None:
    """A cancelled run does not wait for the end of its command."""

    class Cancelled(Exception):
        pass

    def watch() -> None:
        raise Cancelled

    write('[commands.long]\nargv = ["sleep", "60"]\n')
    with pytest.raises(Cancelled):
        commands.find("long").run({}, watch=watch)
