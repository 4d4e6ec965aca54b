"""The files of docker/ by themselves: no engine needed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.containers.engine import NoEngine, compose_program

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = sorted(DOCKER.glob("compose*.yaml"))
WAYS = (["compose.yaml"], ["compose.drive-host.yaml"])
"""Which files are used together."""
BIN = Path(sys.executable).parent


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.name)
def test_compose_files_keep_the_specification(file: Path) -> None:
    """Each by itself, by the schema of the Compose specification."""
    _run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


def test_the_dockerfile_keeps_the_rules_of_hadolint() -> None:
    """Without a finding, down to its advice."""
    if not (BIN / "hadolint").exists():
        pytest.skip("hadolint has no wheel for this platform")
    _run(BIN / "hadolint", "--failure-threshold", "info", DOCKER / "Dockerfile")


def test_the_example_names_each_variable_that_a_file_reads() -> None:
    """And no other."""
    read = {name for file in COMPOSE for name in re.findall(r"(?<!\$)\$\{(\w+)", file.read_text())}
    named = set(re.findall(r"^(\w+)=", (DOCKER / ".env.example").read_text(), re.MULTILINE))
    assert named - {"COMPOSE_PROFILES"} == read


def test_no_secret_is_in_a_file() -> None:
    """Passwords come from the environment alone, and an empty one is refused."""
    for name, value in re.findall(
        r"^(\w*PASSWORD\w*)=(.*)$", (DOCKER / ".env.example").read_text(), re.MULTILINE
    ):
        assert value == "", name
    text = "".join(file.read_text() for file in COMPOSE)
    assert all(":?" in found for found in re.findall(r"(?<!\$)\$\{\w*PASSWORD[^}]*\}", text))


def _services(file: str) -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / file).read_text())["services"])


def test_nothing_of_ours_runs_as_root_or_gains_rights() -> None:
    """Only the drive host's worker keeps what mounting takes."""
    for name, service in _services("compose.yaml").items():
        if name != "postgres":
            assert service["cap_drop"] == ["ALL"], name
            assert service["read_only"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert "cap_add" not in service


def test_the_servers_stop_after_what_uses_them() -> None:
    """Compose 1.29 knows of direct dependencies only; a worker that seals still writes to the database."""
    services = _services("compose.yaml")
    for name in services.keys() - {"postgres", "redis", "migrate"}:
        assert services[name]["depends_on"].keys() >= {"postgres", "redis"}, name


def test_compose_reads_them(tmp_path: Path) -> None:
    """Variables, anchors and merges, by Compose itself."""
    try:
        program = compose_program(dict(os.environ))
    except NoEngine as error:
        pytest.skip(str(error))
    filled = re.sub(r"=$", "=x1", (DOCKER / ".env.example").read_text(), flags=re.MULTILINE)
    (tmp_path / "env").write_text(filled)
    for files in WAYS:
        named = [word for file in files for word in ("-f", str(DOCKER / file))]
        _run(*program, "--env-file", str(tmp_path / "env"), *named, "config", "--quiet")
