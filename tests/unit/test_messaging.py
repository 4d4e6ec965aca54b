"""What keeps Celery from delivering a message of a tape twice (docs/decisions/early-acknowledgement.md)."""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

import tasks
from celery_app.celery import app
from celery_app.config import VISIBILITY_SECONDS, celery_config
from celery_app.settings import Settings
from db.engine import GONE_AFTER
from db.states import Step

WEEK = 7 * 24 * 3600
OFF = (
    "task_acks_late",
    "task_reject_on_worker_lost",
    "task_retry_on_worker_lost",
    "worker_cancel_long_running_tasks_on_connection_loss",
    "task_create_missing_queues",
)


def test_nothing_is_delivered_again(tmp_path: Path) -> None:
    """Early acknowledgement, said explicitly, and a visibility time-out longer than any run, in all three
    places and under a prefix of our own."""
    config = celery_config(Settings(state_dir=tmp_path))
    assert {name: config[name] for name in OFF} == dict.fromkeys(OFF, False)
    assert config["visibility_timeout"] == VISIBILITY_SECONDS >= WEEK
    for options in ("broker_transport_options", "result_backend_transport_options"):
        assert config[options]["visibility_timeout"] == VISIBILITY_SECONDS
        assert config[options]["global_keyprefix"] == "tapeline:"
    assert config["accept_content"] == ["json"]
    assert not config.get("result_backend")
    names = [(queue.name, queue.exchange.name, queue.routing_key) for queue in config["task_queues"]]
    assert all(len(set(parts)) == 1 for parts in names), names


def test_a_silent_broker_counts_as_gone_as_soon_as_a_silent_database(tmp_path: Path) -> None:
    """A worker that was cut off takes messages again soon after the network is back."""
    options = celery_config(Settings(state_dir=tmp_path))["broker_transport_options"]
    assert options["socket_keepalive"]
    assert options["socket_keepalive_options"][socket.TCP_USER_TIMEOUT] == GONE_AFTER * 1000
    assert options["socket_keepalive_options"][socket.TCP_KEEPIDLE] <= GONE_AFTER


def test_publishing_outlasts_ten_minutes(tmp_path: Path) -> None:
    policy = celery_config(Settings(state_dir=tmp_path))["task_publish_retry_policy"]
    pauses = [
        min(policy["interval_start"] + number * policy["interval_step"], policy["interval_max"])
        for number in range(policy["max_retries"])
    ]
    assert sum(pauses) > 600


def test_each_task_has_a_name_of_ours_and_is_never_repeated() -> None:
    """Whatever a decorator may say later on: no late acknowledgement, no retry of Celery's own."""
    app.loader.import_default_modules()
    ours = {name: task for name, task in app.tasks.items() if name.startswith("tapeline.")}
    assert set(ours) >= {f"tapeline.{step.value}" for step in Step}
    for name, task in ours.items():
        assert not task.acks_late, name
        assert not task.reject_on_worker_lost, name
        assert not getattr(task, "autoretry_for", ()), name


@pytest.mark.parametrize(
    "path", sorted(Path(tasks.__file__).parent.rglob("*.py")), ids=lambda path: path.stem
)
def test_waiting_lies_in_the_database(path: Path) -> None:
    """A message with a time of its own is redelivered when that is longer than the visibility time-out."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            assert not {keyword.arg for keyword in node.keywords} & {"countdown", "eta"}
            assert not (isinstance(node.func, ast.Attribute) and ast.unparse(node.func) == "self.retry")


def test_rabbitmq_gives_no_message_back_while_a_run_works(tmp_path: Path) -> None:
    """Each consumer asks to keep a message for as long as the longest run; what is sent is confirmed; no rule
    changes."""
    redis = celery_config(Settings(state_dir=tmp_path))
    rabbit = celery_config(Settings(state_dir=tmp_path, broker_url=SecretStr("amqp://u:p@host//")))
    assert {name: rabbit[name] for name in OFF} == dict.fromkeys(OFF, False)
    assert rabbit["worker_prefetch_multiplier"] == 1
    asked = {queue.name: queue.consumer_arguments for queue in rabbit["task_queues"]}
    week = {"x-consumer-timeout": WEEK * 1000}
    assert asked == {"control": week, "tape": week}
    assert [queue.consumer_arguments for queue in redis["task_queues"]] == [None, None]
    options = rabbit["broker_transport_options"]
    assert options["confirm_publish"]
    assert options["socket_settings"][socket.TCP_USER_TIMEOUT] == GONE_AFTER * 1000
    assert rabbit["broker_use_ssl"] is None


@pytest.mark.parametrize("url", ["foo://host", "sqs://", "host:6379", "memory://"])
def test_a_broker_of_another_kind_is_refused(tmp_path: Path, url: str) -> None:
    """In one line that names the field and what an address begins with."""
    with pytest.raises(ValueError, match=r"(?s)broker_url.*begin it with one of: redis://.*amqps://"):
        Settings(state_dir=tmp_path, broker_url=SecretStr(url))
